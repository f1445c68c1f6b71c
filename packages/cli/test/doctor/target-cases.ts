/** Targets, nodes and agents, by what real clusters say of them. */
import { ALLOWS_ALL, UserError } from "@inpod/protocol";
import type {
  AgentOutlook,
  NamespaceFacts,
  NodeFacts,
  PodFacts,
  TargetFacts,
  TargetPolicy,
} from "@inpod/targets";
import { judgeAgent, judgeTargetless } from "../../src/doctor/agent/judge.ts";
import type { SessionWish } from "../../src/doctor/session-wish.ts";
import { judgeTarget } from "../../src/doctor/target/judge.ts";
import { judgeProcess } from "../../src/doctor/target/process.ts";
import type { Case } from "./case.ts";

const known = <Value>(value: Value) => ({ kind: "known", value }) as const;
const forbidden = (why: string) => ({ kind: "unknown", why, isForbidden: true }) as const;
const GIB = 1024 ** 3;
const VERSION = "0.1.0";

type Found = Extract<TargetFacts, { kind: "found" }>;

const pod: PodFacts = {
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
const node: NodeFacts = {
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
const agent: AgentOutlook = {
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
const error = (code: string, message: string) => new UserError(code, message);
/** `tried`: the rungs with what refused them. */
const onRungs = (
  more: Partial<SessionWish>,
  tried: Partial<Record<AgentOutlook["rungs"][number]["rung"], UserError | undefined>>,
  ...row: Row
): Case => {
  const rungs = Object.entries(tried).map(([rung, refused]) => ({
    rung: rung as AgentOutlook["rungs"][number]["rung"],
    isAsked: true,
    refused,
  }));
  const facts = { ...found, agent: { ...agent, rungs } };
  return {
    when: row[0],
    findings: () => judgeAgent(facts, VERSION, { ...wish, ...more }),
    id: row[1],
    level: row[2],
    says: row[3],
  };
};

type Row = readonly [when: string, id: string, level: Case["level"], says: RegExp];
const target = (
  facts: TargetFacts,
  row: Row,
  namespace: Partial<NamespaceFacts> = {},
  more: Partial<SessionWish> = {},
): Case => ({
  when: row[0],
  findings: () =>
    judgeTarget(facts, known({ labels: {}, ...namespace }), {
      ...wish,
      ...more,
    }),
  id: row[1],
  level: row[2],
  says: row[3],
});
const ofPod = (more: Partial<PodFacts>, ...row: Row): Case =>
  target({ ...found, pod: { ...pod, ...more } }, row);
const runtime = (runtimeClass: string, handler: Found["runtimeClass"], ...row: Row): Case =>
  target({ ...found, pod: { ...pod, runtimeClass }, runtimeClass: handler }, row);
const neighbour = (labels: Record<string, string>, ...row: Row): Case =>
  target({ ...found, nodePods: known([{ name: "x", namespace: "kube-system", labels }]) }, row);
const policy = (name: string, limitsOutgoing: boolean, deniesOutgoing: boolean) => ({
  name,
  limitsIncoming: !limitsOutgoing,
  limitsOutgoing,
  deniesOutgoing,
});
const beside = (facts: Partial<Found>, ...row: Row): Case => ({
  when: row[0],
  findings: () => judgeAgent({ ...found, ...facts }, VERSION, wish),
  id: row[1],
  level: row[2],
  says: row[3],
});
const onNode = (more: Partial<NodeFacts>, ...row: Row): Case =>
  beside({ node: known({ ...node, ...more }) }, ...row);
const withImage = (more: Partial<AgentOutlook>, ...row: Row): Case =>
  beside({ agent: { ...agent, ...more } }, ...row);
/** As the API server says it, through `inpod exec`'s own words for it. */
const refused = (code: string, cause: string, ...row: Row): Case =>
  beside(
    {
      agent: {
        ...agent,
        rungs: [
          {
            rung: "job",
            isAsked: true,
            refused: new UserError(code, "the cluster refused to create pods", {
              cause: new Error(cause),
            }),
          },
        ],
      },
    },
    ...row,
  );

const withPolicy = (policy: Partial<TargetPolicy>, more: Partial<SessionWish>, ...row: Row): Case =>
  target({ ...found, policy: { ...found.policy, ...policy } as TargetPolicy }, row, {}, more);
const ofProcess = (door: string, ...row: Row): Case => ({
  when: row[0],
  findings: () => [judgeProcess(77, door)],
  id: row[1],
  level: row[2],
  says: row[3],
});

const targets: readonly Case[] = [
  ofPod({}, "a ready pod", "target-found", "ok", /pod\/orders-7d4f/),
  target(
    { ...found, why: "pod/orders-7d4f: the newest of the 3 ready pods of deployment/orders" },
    [
      "a deployment",
      "target-found",
      "ok",
      /container\/app \(pod\/orders-7d4f: the newest of the 3 ready pods/,
    ],
  ),
  ofPod({}, "a ready pod", "target-ready", "ok", /ready/),
  target(
    {
      kind: "not-usable",
      error: new UserError("POD_NOT_FOUND", 'no pod "order" in namespace "shop"', {
        hints: ["did you mean pod/orders-7d4f?"],
      }),
    },
    ["a misspelt pod", "target-pod-not-found", "problem", /did you mean/],
  ),
  ofPod(
    { idleReason: "CrashLoopBackOff", isReady: false, restarts: 7 },
    "a crash-looping container",
    "target-waiting",
    "warning",
    /CrashLoopBackOff/,
  ),
  ofPod(
    { idleReason: "ended with code 3", isReady: false, restarts: 1 },
    "a container that has just ended",
    "target-waiting",
    "warning",
    /ended with code 3/,
  ),
  ofPod({ isReady: false }, "a failing readiness", "target-not-ready", "warning", /--steal/),
  ofPod({ restarts: 4 }, "restarts", "target-restarts", "note", /4 times/),
  ofPod(
    { isHostNetwork: true },
    "hostNetwork, to steal",
    "target-host-network-steal",
    "problem",
    /--allow-host-network/,
  ),
  target(
    { ...found, pod: { ...pod, isHostNetwork: true } },
    ["hostNetwork", "target-host-network", "warning", /as the node/],
    {},
    { isStealing: false },
  ),
  target(
    { ...found, pod: { ...pod, isHostNetwork: true } },
    ["hostNetwork, with the user's yes", "target-host-network", "warning", /whole node/],
    {},
    { allowsHostNetwork: true },
  ),
  ofPod({ hasOwnUsers: true }, "hostUsers: false", "target-own-users", "warning", /hostUsers/),
  runtime("gvisor", known("runsc"), "GKE Sandbox", "target-gvisor", "problem", /handler runsc/),
  runtime(
    "sandboxed",
    known("kata-qemu"),
    "Kata Containers",
    "target-virtual-machine",
    "problem",
    /another kernel/,
  ),
  runtime(
    "kata",
    forbidden("cannot get resource"),
    "Kata, whose class may not be read",
    "target-virtual-machine",
    "problem",
    /runtimeClass "kata"/,
  ),
  runtime("wasm", known("spin"), "an unknown runtime", "target-runtime-class", "note", /spin/),
  ofPod(
    { containers: ["app", "istio-proxy"] },
    "Istio",
    "target-mesh",
    "note",
    /Istio mesh \(container istio-proxy\)/,
  ),
  ofPod({ containers: ["linkerd-proxy", "app"] }, "Linkerd", "target-mesh", "note", /Linkerd/),
  ofPod({ containers: ["app", "kuma-sidecar"] }, "Kuma", "target-mesh", "note", /Kuma/),
  ofPod({ containers: ["app", "consul-dataplane"] }, "Consul", "target-mesh", "note", /Consul/),
  ofPod(
    { annotations: { "linkerd.io/proxy-version": "edge-24.11.3" } },
    "Linkerd by its annotation",
    "target-mesh",
    "note",
    /annotation linkerd\.io/,
  ),
  target(found, ["Istio ambient", "target-mesh-ambient", "note", /ztunnel/], {
    labels: { "istio.io/dataplane-mode": "ambient" },
  }),
  neighbour(
    { "k8s-app": "cilium" },
    "Cilium",
    "target-network-plugin",
    "note",
    /CiliumNetworkPolicy/,
  ),
  withPolicy(
    { steal: "forbidden", from: ["deployment/orders"] },
    {},
    "an owner who forbids to steal",
    "target-policy-steal",
    "problem",
    /deployment\/orders says no-steal/,
  ),
  withPolicy(
    { steal: "filtered", from: ["the pod"] },
    { isStealing: false },
    "an owner who wants filters, for who does not steal",
    "target-policy",
    "note",
    /steal-with-filter-only/,
  ),
  withPolicy(
    { files: "read-only", from: ['namespace "shop"'] },
    {},
    "a namespace with a policy",
    "target-policy",
    "note",
    /namespace "shop" says read-only-files/,
  ),
  target(
    {
      ...found,
      policy: new UserError("POLICY_UNKNOWN", "the annotation inpod.dev/policy is not understood", {
        cause: new Error('"nosteal" is none of no-steal'),
      }),
    },
    ["a misspelt policy", "target-policy-unknown", "problem", /"nosteal" is none of/],
  ),
  neighbour({ "k8s-app": "calico-node" }, "Calico", "target-network-plugin", "note", /Calico/),
  neighbour({ "k8s-app": "aws-node" }, "EKS", "target-network-plugin", "ok", /Amazon VPC/),
  target(
    {
      ...found,
      nodePods: forbidden("cannot list"),
      node: known({ ...node, annotations: { "projectcalico.org/IPv4Address": "10.0.1.7/24" } }),
    },
    ["Calico, seen at the node", "target-network-plugin", "note", /Calico/],
  ),
  target({ ...found, policies: known([policy("default-deny", true, true)]) }, [
    "a default-deny policy",
    "target-policies-outgoing",
    "warning",
    /name servers included/,
  ]),
  target({ ...found, policies: known([policy("db-only", true, false)]) }, [
    "an egress policy",
    "target-policies-outgoing",
    "note",
    /"db-only"/,
  ]),
  target({ ...found, policies: known([policy("from-web", false, false)]) }, [
    "an ingress policy",
    "target-policies-incoming",
    "note",
    /"from-web"/,
  ]),
  target({ ...found, policies: forbidden("cannot list networkpolicies") }, [
    "a namespace whose policies are secret",
    "target-policies-unknown",
    "note",
    /cannot list/,
  ]),
  ofPod(
    {
      probes: [{ kind: "liveness", port: "http", patienceSeconds: 30 }],
      ports: [{ name: "http", number: 8080 }],
    },
    "a liveness probe",
    "target-probes",
    "note",
    /port 8080 \(http\) for 30 s/,
  ),
  ofProcess("open", "a process of ours", "target-found", "ok", /process\/77/),
  ofProcess("ENOENT", "a process that has ended", "target-process-not-found", "problem", /ps -e/),
  ofProcess("EACCES", "somebody else's process", "target-process-closed", "problem", /as root/),
];

const baseline = error("POD_SECURITY", 'namespace "shop" enforces the level "baseline"');
const agents: readonly Case[] = [
  onRungs(
    {},
    { job: baseline, ephemeral: baseline, "unprivileged-ephemeral": undefined },
    "a baseline namespace that takes an unprivileged container",
    "agent-pod-security",
    "problem",
    /unprivileged ephemeral container.*everything but incoming traffic: -e/,
  ),
  onRungs(
    {},
    { job: error("QUOTA", "no room"), ephemeral: undefined },
    "a quota of pods",
    "agent-quota",
    "problem",
    /let it be an ephemeral container, which the cluster takes: -e/,
  ),
  onRungs(
    {},
    { job: baseline, ephemeral: error("FORBIDDEN", "you may not patch") },
    "a baseline namespace, and no right to add containers",
    "agent-pod-security",
    "problem",
    /refused as well: you may not patch/,
  ),
  onRungs(
    {},
    {
      job: error("CONFIG_CAPABILITIES", "a job cannot enter without SYS_PTRACE"),
      ephemeral: undefined,
    },
    "a capability taken away",
    "agent-config-capabilities",
    "problem",
    /let it be an ephemeral container/,
  ),
  onRungs(
    { isEphemeral: true },
    { ephemeral: undefined },
    "-e in an open namespace",
    "agent-ephemeral",
    "ok",
    /takes an ephemeral container/,
  ),
  onRungs(
    { isEphemeral: true },
    { ephemeral: baseline, "unprivileged-ephemeral": undefined },
    "-e --steal in a baseline namespace",
    "agent-no-incoming",
    "problem",
    /leave out --steal/,
  ),
  onRungs(
    { isEphemeral: true, isStealing: false },
    { ephemeral: baseline, "unprivileged-ephemeral": undefined },
    "-e in a baseline namespace",
    "agent-unprivileged",
    "note",
    /nothing comes in/,
  ),
  {
    when: "a session without a target",
    findings: () =>
      judgeTargetless(
        { ...agent, rungs: [{ rung: "targetless", isAsked: true, refused: undefined }] },
        VERSION,
      ),
    id: "agent-targetless",
    level: "ok",
    says: /takes a job without a target/,
  },
  beside({}, "an open namespace", "agent-job", "ok", /takes a job/),
  beside({}, "EKS", "agent-node", "ok", /Amazon Linux 2023/),
  beside({}, "EKS", "agent-node-kernel", "ok", /6\.1\.112/),
  beside({}, "EKS", "agent-room", "ok", /11 of 29 pods/),
  beside({}, "an image that is there", "agent-image", "ok", /has the image/),
  withImage(
    { rungs: [{ rung: "job", isAsked: false, refused: undefined }] },
    "who may not create pods",
    "agent-untried",
    "note",
    /dry run/,
  ),
  refused(
    "POD_SECURITY",
    "",
    "a baseline namespace",
    "agent-pod-security",
    "problem",
    /refused to create pods/,
  ),
  refused(
    "REFUSED",
    'pods "inpod-doctor" is forbidden: maximum memory usage per Container is 64Mi, but limit is 128Mi',
    "a LimitRange",
    "agent-limit-range",
    "problem",
    /describe limitrange/,
  ),
  refused(
    "REFUSED",
    'admission webhook "validate.kyverno.svc-fail" denied the request: policy Pod/shop/inpod-doctor for resource violation: disallow-host-namespaces',
    "Kyverno",
    "agent-webhook",
    "problem",
    /disallow-host-namespaces/,
  ),
  refused(
    "REFUSED",
    "pods \"inpod-doctor\" is forbidden: ValidatingAdmissionPolicy 'no-host-pid' with binding 'all' denied request: hostPID is not for us",
    "a ValidatingAdmissionPolicy",
    "agent-policy",
    "problem",
    /hostPID is not for us/,
  ),
  refused("REFUSED", "no", "anything else", "agent-refused", "problem", /^no$/m),
  beside(
    { node: forbidden('User "ada" cannot get resource "nodes"') },
    "a user who may not read nodes",
    "agent-node-unknown",
    "note",
    /does not need to/,
  ),
  beside(
    { node: forbidden("no") },
    "a user who may not read nodes",
    "agent-image-unknown",
    "note",
    /not known/,
  ),
  onNode({ operatingSystem: "windows" }, "Windows", "agent-node-windows", "problem", /Linux node/),
  onNode(
    { labels: { "eks.amazonaws.com/compute-type": "fargate" } },
    "Fargate",
    "agent-node-virtual",
    "problem",
    /AWS Fargate/,
  ),
  onNode(
    { taints: ["virtual-kubelet.io/provider"] },
    "Azure's virtual nodes",
    "agent-node-virtual",
    "problem",
    /virtual kubelet/,
  ),
  onNode({ architecture: "s390x" }, "IBM Z", "agent-node-architecture", "problem", /s390x/),
  onNode(
    { kernelVersion: "4.14.355-275.572.amzn2.x86_64" },
    "Amazon Linux 2 of old",
    "agent-node-kernel",
    "problem",
    /4\.18/,
  ),
  onNode(
    { kubeletVersion: "v1.19.16" },
    "an old kubelet",
    "agent-node-kubelet",
    "warning",
    /1\.21/,
  ),
  onNode(
    { kernelVersion: "5.10.226-214.880.amzn2.x86_64" },
    "Amazon Linux 2",
    "agent-node-kernel-rules",
    "note",
    /5\.12/,
  ),
  onNode(
    {
      conditions: {
        Ready: { status: "Unknown", message: "Kubelet stopped posting node status." },
      },
    },
    "a node that has gone",
    "agent-node-not-ready",
    "problem",
    /Kubelet stopped posting/,
  ),
  onNode(
    {
      conditions: {
        ...node.conditions,
        DiskPressure: { status: "True", message: "kubelet has disk pressure" },
      },
    },
    "a full disk",
    "agent-node-pressure",
    "warning",
    /DiskPressure/,
  ),
  beside(
    { taken: known({ cpu: 0, memoryBytes: 0, pods: 29 }) },
    "no slot for a pod",
    "agent-node-full",
    "problem",
    /29 of 29 pods/,
  ),
  beside(
    { taken: known({ cpu: 1.93, memoryBytes: 0, pods: 1 }) },
    "no millicore left",
    "agent-node-full",
    "problem",
    /1\.93 of 1\.93 cores/,
  ),
  beside(
    { taken: known({ cpu: 0, memoryBytes: 7 * GIB, pods: 1 }) },
    "no mebibyte left",
    "agent-node-full",
    "problem",
    /7168 of 7168 MiB/,
  ),
  beside(
    { taken: forbidden("cannot list resource") },
    "a user of one namespace",
    "agent-room-unknown",
    "note",
    /all namespaces/,
  ),
  withImage(
    { image: "registry.example.com/inpod/agent:0.0.9" },
    "an older image",
    "agent-image-version",
    "warning",
    /0\.1\.0/,
  ),
  withImage(
    { image: "inpod/agent:latest" },
    "an image by a name without a version",
    "agent-image-other",
    "note",
    /does not tell/,
  ),
  withImage(
    { image: "ghcr.io/x/agent:0.1.0" },
    "an image that the node has not",
    "agent-image-pull",
    "note",
    /will pull it/,
  ),
  onNode(
    { images: [], imageCount: 50 },
    "a node that lists 50 images",
    "agent-image-pull",
    "note",
    /50 largest/,
  ),
  withImage(
    { image: "ghcr.io/x/agent:0.1.0", imagePullPolicy: "Never" },
    "an image that is never pulled",
    "agent-image-missing",
    "problem",
    /Never/,
  ),
];

export const targetCases: readonly Case[] = [...targets, ...agents];
