/** What is asked of the cluster on the rungs below a job. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Pod } from "@kubernetes/client-node";
import { judgePod } from "../src/kubernetes/find/judge-pod.ts";
import { ephemeralContainer, listenPort } from "../src/kubernetes/place/ephemeral-spec.ts";
import { agentObjects, targetlessObjects } from "../src/kubernetes/place/job-spec.ts";
import type { AgentPlacement } from "../src/kubernetes/place/placement.ts";

const runningPod = (spec: object = {}, container: object = {}): V1Pod => ({
  metadata: { name: "orders", namespace: "shop", uid: "11111111-2222-3333-4444-555555555555" },
  spec: { nodeName: "n1", containers: [{ name: "app", ...container }], ...spec },
  status: {
    phase: "Running",
    containerStatuses: [
      {
        name: "app",
        containerID: "containerd://abc123def456",
        image: "",
        imageID: "",
        ready: true,
        restartCount: 0,
        state: { running: {} },
      },
    ],
  },
});

function targetOf(pod: V1Pod) {
  const verdict = judgePod(pod, undefined);
  assert.equal(verdict.kind, "usable");
  return verdict.kind === "usable" ? verdict.target : assert.fail();
}

const facts = {
  owner: "eve@example.com",
  sessionId: "k3x",
  publicKey: "S0VZ",
  idleTimeoutMs: 30_000,
  communicationTimeoutMs: 60_000,
  startupTimeoutMs: 30_000,
};
const ephemeral = (pod: V1Pod, isPrivileged: boolean, more: Partial<AgentPlacement> = {}) =>
  ephemeralContainer(targetOf(pod), { image: "inpod/agent:1", ...more }, facts, {
    isPrivileged,
    nowMs: 0,
  });

test("an ephemeral container says whose it is and until when, as it has no labels", () => {
  const { name, targetContainerName, env } = ephemeral(runningPod(), true);
  assert.equal(name, "inpod-k3x");
  assert.equal(targetContainerName, "app");
  assert.deepEqual(env, [
    { name: "INPOD_OWNER", value: "eve@example.com" },
    { name: "INPOD_DEADLINE", value: "1970-01-02T00:00:00.000Z" },
  ]);
});

test("it lives in the pod's namespaces already, so it does without SYS_ADMIN", () => {
  const { securityContext, args = [] } = ephemeral(runningPod(), true);
  assert.deepEqual(securityContext?.capabilities, {
    drop: ["ALL"],
    add: ["NET_ADMIN", "NET_RAW", "SYS_PTRACE", "DAC_READ_SEARCH", "SETUID", "SETGID"],
  });
  assert.equal(securityContext?.runAsNonRoot, false, "the pod may say true for all its containers");
  assert.match(args.join(" "), /^--pid 1 --in-pod --allow-shared-network --listen 6\d{4} /);
});

test("with the target's rights alone it runs as the target's user and group", () => {
  const own = { runAsUser: 7, capabilities: { add: ["NET_BIND_SERVICE"] } };
  const pod = runningPod(
    { securityContext: { runAsUser: 5, runAsGroup: 6 } },
    { securityContext: own },
  );
  const { securityContext, args = [] } = ephemeral(pod, false);
  assert.deepEqual(securityContext, {
    runAsUser: 7,
    runAsGroup: 6,
    runAsNonRoot: true,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
  });
  assert.doesNotMatch(args.join(" "), /--node-uid|--node-gid/);
});

test("beside a root target it keeps that one's capabilities: the kernel shows nothing to whoever has fewer", () => {
  const own = { capabilities: { drop: ["CHOWN"] } };
  const { securityContext } = ephemeral(runningPod({}, { securityContext: own }), false);
  assert.equal(securityContext?.runAsUser, 0);
  assert.deepEqual(securityContext?.capabilities, { drop: ["CHOWN"] });
});

test("a user that only the image knows is taken from the container's status, where the runtime tells", () => {
  const pod = runningPod({ securityContext: { runAsNonRoot: true } });
  assert.equal(ephemeral(pod, false).securityContext?.runAsUser, 40404, "nobody's, but no root");
  const [status] = pod.status?.containerStatuses ?? [];
  Object.assign(status ?? {}, { user: { linux: { uid: 33, gid: 34 } } });
  const { securityContext } = ephemeral(pod, false);
  assert.deepEqual([securityContext?.runAsUser, securityContext?.runAsGroup], [33, 34]);
});

test("its port is no container's and no other agent's", () => {
  const first = listenPort(ephemeral(runningPod(), true));
  const taken = runningPod({}, { ports: [{ containerPort: first }] });
  const second = listenPort(ephemeral(taken, true));
  assert.notEqual(second, first);
  const agents = [{ ...ephemeral(runningPod(), true), name: "inpod-other" }];
  assert.equal(listenPort(ephemeral(runningPod({ ephemeralContainers: agents }), true)), second);
});

test("in its node's network it steals only with a yes of its own", () => {
  const pod = runningPod({ hostNetwork: true });
  const allows = (more: Partial<AgentPlacement>) =>
    ephemeral(pod, true, more).args?.includes("--allow-shared-network");
  assert.deepEqual([allows({}), allows({ allowHostNetwork: true })], [false, true]);
  const command = (more: Partial<AgentPlacement>) =>
    agentObjects(targetOf(pod), { image: "x", ...more }, facts, 0).pod.spec?.containers[0]?.command;
  assert.equal(command({})?.includes("--allow-shared-network"), false);
  assert.equal(command({ allowHostNetwork: true })?.includes("--allow-shared-network"), true);
});

test("in a pod with one pid namespace for all, the target is not process 1", () => {
  const { args = [] } = ephemeral(runningPod({ shareProcessNamespace: true }), true);
  assert.match(args.join(" "), /^--container-id abc123def456 --in-pod /);
});

test("without a target: no right, no node, no owner, and the namespace's services in its environment", () => {
  const { job, pod } = targetlessObjects("shop", { image: "inpod/agent:1" }, facts, 0);
  assert.equal(job.metadata?.ownerReferences, undefined);
  assert.equal(job.metadata?.annotations?.["inpod.dev/target"], "targetless");
  assert.equal(job.metadata?.labels?.["inpod.dev/target"], undefined);
  const { containers = [], ...spec } = pod.spec ?? {};
  assert.deepEqual(spec, {
    restartPolicy: "Never",
    automountServiceAccountToken: false,
    enableServiceLinks: true,
    terminationGracePeriodSeconds: 1,
  });
  assert.deepEqual(containers[0]?.securityContext, {
    runAsUser: 40404,
    runAsGroup: 40404,
    runAsNonRoot: true,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
  });
  assert.match(containers[0]?.command?.join(" ") ?? "", /^\/inpod\/inpod-enter --targetless /);
});

test("only a request said: it is the limit as well where inpod's own would be below it", () => {
  const of = (resources: AgentPlacement["resources"]) =>
    targetlessObjects("shop", { image: "x", resources }, facts, 0).pod.spec?.containers[0]
      ?.resources;
  assert.equal(of({ requests: { cpu: "4" } })?.limits?.cpu, "4");
  assert.equal(of({ limits: { memory: "64Mi" } })?.requests?.memory, "1Mi");
});
