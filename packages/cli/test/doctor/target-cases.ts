/** Targets, by what real clusters say of them. */
import { UserError } from "@inpod/protocol";
import type { NamespaceFacts, PodFacts, TargetFacts, TargetPolicy } from "@inpod/targets";
import type { SessionWish } from "../../src/doctor/session-wish.ts";
import { judgeTarget } from "../../src/doctor/target/judge.ts";
import { judgeProcess } from "../../src/doctor/target/process.ts";
import type { Case } from "./case.ts";
import { type Found, forbidden, found, known, node, pod, type Row, wish } from "./orders-pod.ts";

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
const withPolicy = (policy: Partial<TargetPolicy>, more: Partial<SessionWish>, ...row: Row): Case =>
  target({ ...found, policy: { ...found.policy, ...policy } as TargetPolicy }, row, {}, more);
const ofProcess = (door: string, ...row: Row): Case => ({
  when: row[0],
  findings: () => [judgeProcess(77, door)],
  id: row[1],
  level: row[2],
  says: row[3],
});

export const targetCases: readonly Case[] = [
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
