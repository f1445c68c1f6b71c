/** What an examination takes from the cluster's objects, as the API server gives them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1NetworkPolicy, V1Node, V1Pod } from "@kubernetes/client-node";
import { policiesOf, selects } from "../src/kubernetes/examine/network-policies.ts";
import { nodeFacts, requestsOf, takenBy } from "../src/kubernetes/examine/node-facts.ts";
import { podFacts } from "../src/kubernetes/examine/pod-facts.ts";
import { quantityOrNone } from "../src/kubernetes/quantity.ts";

test("quantities: decimal, binary and exponents", () => {
  const values = {
    "250m": 0.25,
    "2": 2,
    "1.5": 1.5,
    "24581700Ki": 24581700 * 1024,
    "1Gi": 1024 ** 3,
    "1e3": 1000,
    "1E": 1e18,
    "12E-1": 1.2,
    "500u": 5e-4,
  };
  for (const [text, value] of Object.entries(values))
    assert.equal(quantityOrNone(text), value, text);
});

test("what is no quantity counts as nothing", () => {
  for (const text of [undefined, "", "much", "1 Gi", "1gi"]) assert.equal(quantityOrNone(text), 0);
});

/** `kubectl get node -o json` of a node of Kubernetes 1.35, shortened. */
const NODE = {
  apiVersion: "v1",
  kind: "Node",
  metadata: {
    name: "lab-1",
    labels: { "kubernetes.io/os": "linux" },
    annotations: { "node.alpha.kubernetes.io/ttl": "0" },
  },
  spec: { taints: [{ key: "dedicated", value: "db", effect: "NoSchedule" }] },
  status: {
    allocatable: { cpu: "2", memory: "24581700Ki", pods: "110", "hugepages-1Gi": "0" },
    conditions: [
      {
        type: "Ready",
        status: "True",
        reason: "KubeletReady",
        message: "kubelet is posting ready status",
      },
    ],
    images: [
      { names: ["docker.io/lab/kube:1"], sizeBytes: 144958103 },
      { names: ["docker.io/lab/busybox:1", "docker.io/lab/busybox:latest"], sizeBytes: 2130574 },
    ],
    nodeInfo: {
      architecture: "amd64",
      containerRuntimeVersion: "containerd://1.6.20",
      kernelVersion: "6.18.44",
      kubeletVersion: "v1.35.4",
      operatingSystem: "linux",
      osImage: "Debian GNU/Linux 12 (bookworm)",
    },
  },
} as unknown as V1Node;

test("a node's facts", () => {
  assert.deepEqual(nodeFacts(NODE), {
    name: "lab-1",
    operatingSystem: "linux",
    architecture: "amd64",
    kernelVersion: "6.18.44",
    kubeletVersion: "v1.35.4",
    containerRuntime: "containerd://1.6.20",
    osImage: "Debian GNU/Linux 12 (bookworm)",
    allocatable: { cpu: 2, memoryBytes: 24581700 * 1024, pods: 110 },
    conditions: { Ready: { status: "True", message: "kubelet is posting ready status" } },
    labels: { "kubernetes.io/os": "linux" },
    annotations: { "node.alpha.kubernetes.io/ttl": "0" },
    taints: ["dedicated"],
    images: ["docker.io/lab/kube:1", "docker.io/lab/busybox:1", "docker.io/lab/busybox:latest"],
    imageCount: 2,
  });
});

const asking = (cpu: string, more: object = {}) => ({
  name: cpu,
  resources: { requests: { cpu, memory: "1Mi" } },
  ...more,
});
const pod = (spec: object, phase = "Running"): V1Pod => ({ spec, status: { phase } }) as V1Pod;

test("a pod asks for the larger of its start and its run, sidecars in both, and its overhead", () => {
  const MIB = 1024 ** 2;
  assert.deepEqual(requestsOf(pod({ containers: [asking("1"), asking("500m")] })), {
    cpu: 1.5,
    memoryBytes: 2 * MIB,
  });
  const sidecar = asking("250m", { restartPolicy: "Always" });
  const containers = [asking("500m")];
  assert.equal(requestsOf(pod({ initContainers: [sidecar], containers })).cpu, 0.75);
  assert.equal(requestsOf(pod({ initContainers: [sidecar, asking("3")], containers })).cpu, 3.25);
  assert.equal(requestsOf(pod({ initContainers: [asking("3"), sidecar], containers })).cpu, 3);
  assert.equal(requestsOf(pod({ containers, overhead: { cpu: "100m" } })).cpu, 0.6);
});

test("pods that have ended take nothing; those that ask for nothing take a slot", () => {
  const pods = [
    pod({ containers: [asking("1")] }),
    pod({ containers: [asking("1")] }, "Succeeded"),
    pod({ containers: [asking("1")] }, "Failed"),
    pod({ containers: [{ name: "app" }] }, "Pending"),
  ];
  assert.deepEqual(takenBy(pods), { cpu: 1, memoryBytes: 1024 ** 2, pods: 2 });
});

test("a pod's facts are those of the container that was chosen", () => {
  const facts = podFacts(
    {
      metadata: { name: "orders", namespace: "shop", labels: { app: "orders" } },
      spec: {
        nodeName: "lab-1",
        hostNetwork: true,
        hostUsers: false,
        runtimeClassName: "gvisor",
        initContainers: [{ name: "proxy", restartPolicy: "Always" }, { name: "migrate" }],
        containers: [
          {
            name: "app",
            ports: [{ name: "http", containerPort: 8080 }],
            livenessProbe: { httpGet: { port: "http" }, periodSeconds: 5, failureThreshold: 2 },
            readinessProbe: { exec: { command: ["true"] } },
            startupProbe: { grpc: { port: 9090 } },
          },
        ],
      },
      status: {
        phase: "Running",
        containerStatuses: [
          {
            name: "app",
            ready: false,
            restartCount: 3,
            state: { waiting: { reason: "CrashLoopBackOff" } },
          },
        ],
      },
    } as unknown as V1Pod,
    "app",
  );
  assert.deepEqual(facts, {
    name: "orders",
    namespace: "shop",
    node: "lab-1",
    phase: "Running",
    labels: { app: "orders" },
    annotations: {},
    containers: ["app", "proxy"],
    container: "app",
    isReady: false,
    restarts: 3,
    idleReason: "CrashLoopBackOff",
    probes: [
      { kind: "liveness", port: "http", patienceSeconds: 10 },
      { kind: "readiness", port: undefined, patienceSeconds: 30 },
      { kind: "startup", port: "9090", patienceSeconds: 30 },
    ],
    ports: [{ name: "http", number: 8080 }],
    runtimeClass: "gvisor",
    isHostNetwork: true,
    hasOwnUsers: true,
  });
});

test("a selector without anything selects all; each part must hold", () => {
  const labels = { app: "web", tier: "front" };
  assert.ok(selects({}, labels));
  assert.ok(selects({ matchLabels: { app: "web" } }, labels));
  assert.ok(!selects({ matchLabels: { app: "web", tier: "back" } }, labels));
  const by = (operator: string, key: string, values?: string[]): boolean =>
    selects({ matchExpressions: [{ key, operator, ...(values ? { values } : {}) }] }, labels);
  assert.ok(by("In", "app", ["web", "api"]));
  assert.ok(!by("In", "zone", ["a"]));
  assert.ok(!by("NotIn", "app", ["web"]));
  assert.ok(by("NotIn", "zone", ["a"]));
  assert.ok(by("Exists", "tier"));
  assert.ok(by("DoesNotExist", "zone"));
  assert.ok(!by("DoesNotExist", "app"));
});

test("policies: what each of those around the pod limits", () => {
  const policy = (name: string, spec: object): V1NetworkPolicy => ({
    metadata: { name },
    spec: { podSelector: {}, ...spec },
  });
  const facts = policiesOf(
    [
      policy("deny", { policyTypes: ["Egress"] }),
      policy("dns", { policyTypes: ["Egress"], egress: [{ ports: [{ port: 53 }] }] }),
      policy("old", { egress: [{}] }),
      policy("other", { podSelector: { matchLabels: { app: "db" } }, policyTypes: ["Ingress"] }),
    ],
    { app: "web" },
  );
  assert.deepEqual(
    facts.map(({ name, limitsIncoming, limitsOutgoing, deniesOutgoing }) => [
      ...[name, limitsIncoming, limitsOutgoing, deniesOutgoing],
    ]),
    [
      ["deny", false, true, true],
      ["dns", false, true, false],
      ["old", true, true, false],
    ],
  );
});
