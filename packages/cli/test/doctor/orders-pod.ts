/** A pod as most are, on a node as most are, which the cases change in one point each. */
import { ALLOWS_ALL } from "@inpod/protocol";
import type { AgentOutlook, NodeFacts, PodFacts, TargetFacts } from "@inpod/targets";
import type { SessionWish } from "../../src/doctor/session-wish.ts";
import type { Case } from "./case.ts";

export const known = <Value>(value: Value) => ({ kind: "known", value }) as const;
export const forbidden = (why: string) => ({ kind: "unknown", why, isForbidden: true }) as const;
export const GIB = 1024 ** 3;

export type Row = readonly [when: string, id: string, level: Case["level"], says: RegExp];

export type Found = Extract<TargetFacts, { kind: "found" }>;

export const pod: PodFacts = {
  name: "orders-7d4f",
  namespace: "shop",
  node: "ip-10-0-1-7",
  phase: "Running",
  labels: { app: "orders" },
  annotations: {},
  containers: ["app"],
  container: "app",
  isReady: true,
  restarts: 0,
  idleReason: undefined,
  probes: [],
  ports: [],
  runtimeClass: undefined,
  isHostNetwork: false,
  hasOwnUsers: false,
};
/** A node of EKS with Amazon Linux 2023. */
export const node: NodeFacts = {
  name: "ip-10-0-1-7",
  operatingSystem: "linux",
  architecture: "amd64",
  kernelVersion: "6.1.112-122.189.amzn2023.x86_64",
  kubeletVersion: "v1.31.2-eks-94953ac",
  containerRuntime: "containerd://1.7.22",
  osImage: "Amazon Linux 2023.6.20241010",
  allocatable: { cpu: 1.93, memoryBytes: 7 * GIB, pods: 29 },
  conditions: {
    MemoryPressure: { status: "False", message: "kubelet has sufficient memory available" },
    DiskPressure: { status: "False", message: "kubelet has no disk pressure" },
    Ready: { status: "True", message: "kubelet is posting ready status" },
  },
  labels: { "eks.amazonaws.com/nodegroup": "web" },
  annotations: {},
  taints: [],
  images: ["docker.io/inpod/agent:0.1.0", "registry.k8s.io/pause:3.10"],
  imageCount: 2,
};
export const agent: AgentOutlook = {
  namespace: "shop",
  image: "inpod/agent:0.1.0",
  imagePullPolicy: undefined,
  asks: { cpu: 0.001, memoryBytes: 1024 ** 2 },
  rungs: [{ rung: "job", isAsked: true, refused: undefined }],
};
export const found: Found = {
  kind: "found",
  path: "pod/orders-7d4f/container/app",
  why: "pod/orders-7d4f; container app: the only container",
  pod,
  policy: { ...ALLOWS_ALL, from: [] },
  policies: known([]),
  node: known(node),
  taken: known({ cpu: 1.2, memoryBytes: 2 * GIB, pods: 11 }),
  nodePods: known([]),
  runtimeClass: undefined,
  agent,
};

export const wish: SessionWish = {
  isStealing: true,
  takesProbes: false,
  isEphemeral: false,
  allowsHostNetwork: false,
  protectedContexts: [],
};
