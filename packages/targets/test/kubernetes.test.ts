import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { UserError } from "@inpod/protocol";
import type { CoreV1Event, V1Pod } from "@kubernetes/client-node";
import { chooseContainer } from "../src/kubernetes/find/choose-container.ts";
import { describePod, type TargetPod } from "../src/kubernetes/find/target-pod.ts";
import { explainAdmission } from "../src/kubernetes/place/admission.ts";
import { lastWords } from "../src/kubernetes/place/agent-log.ts";
import { agentObjects } from "../src/kubernetes/place/job-spec.ts";
import { eventVerdict, podVerdict } from "../src/kubernetes/place/startup-verdict.ts";
import {
  type ApiCall,
  ApiError,
  explain,
  unreachable,
} from "../src/kubernetes/reach/api-errors.ts";
import { loadAccess } from "../src/kubernetes/reach/kubeconfig.ts";

const folder = mkdtempSync(join(tmpdir(), "inpod-kube-"));
after(() => rmSync(folder, { recursive: true }));

/** The error's code, its words and hints as one text. */
function said(make: () => unknown): string {
  let error: unknown;
  try {
    error = make();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error instanceof UserError, String(error));
  const cause = error.cause instanceof Error ? ` because: ${error.cause.message}` : "";
  return `${error.code}: ${error.message}${cause}${error.hints.map((hint) => ` hint: ${hint}`).join("")}`;
}

test("the container nobody named: kubectl's annotation, else the first that is no sidecar", () => {
  const containers = ["istio-proxy", "app", "metrics"];
  const annotations = { "kubectl.kubernetes.io/default-container": "metrics" };
  assert.equal(chooseContainer({ containers, annotations }).name, "metrics");
  assert.equal(chooseContainer({ containers, annotations: {} }).name, "app");
  assert.equal(chooseContainer({ containers: ["envoy"], annotations: {} }).name, "envoy");
  const older = { "kubectl.kubernetes.io/default-logs-container": "metrics" };
  assert.equal(chooseContainer({ containers, annotations: older }).name, "metrics");
  const sql = ["csql-orders", "linkerd-proxy", "web"];
  assert.equal(chooseContainer({ containers: sql, annotations: {} }).name, "web");
  const gone = { "kubectl.kubernetes.io/default-container": "gone" };
  assert.equal(chooseContainer({ containers, annotations: gone }).name, "app");
});

const runningPod: V1Pod = {
  metadata: { name: "orders", namespace: "shop", uid: "11111111-2222-3333-4444-555555555555" },
  spec: { nodeName: "n1", containers: [{ name: "app" }, { name: "log" }] },
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
};
const withState = (state: object, phase = "Running"): V1Pod => ({
  ...runningPod,
  status: {
    phase,
    containerStatuses: (runningPod.status?.containerStatuses ?? []).map((each) => ({
      ...each,
      state,
    })),
  },
});

test("a running container is found with its id and node", () => {
  const target = describePod(runningPod, undefined);
  assert.equal(target.containerId, "abc123def456");
  assert.equal(target.path, "pod/orders/container/app");
});

test("a container in CrashLoopBackOff is a target: its pod's network and volumes are there", () => {
  const pod = withState({ waiting: { reason: "CrashLoopBackOff" } });
  assert.equal(describePod(pod, undefined).containerId, "abc123def456");
});

test("a target that does not run says what it does instead", () => {
  assert.match(
    said(() =>
      describePod(withState({ terminated: { exitCode: 3, reason: "Error" } }, "Failed"), undefined),
    ),
    /not running: it ended with code 3 \(Error\)/,
  );
  assert.match(
    said(() =>
      describePod(
        withState({ waiting: { reason: "ImagePullBackOff", message: "no such image" } }, "Pending"),
        undefined,
      ),
    ),
    /it waits: ImagePullBackOff because: no such image/,
  );
  const ending = {
    ...runningPod,
    metadata: { ...runningPod.metadata, deletionTimestamp: new Date() },
  };
  assert.match(
    said(() => describePod(ending, undefined)),
    /the pod is being deleted/,
  );
  assert.match(
    said(() => describePod(runningPod, "apq")),
    /CONTAINER_NOT_FOUND: no container "apq" in pod "orders" hint: its containers are: app, log/,
  );
});

const target: TargetPod = describePod(runningPod, undefined);
const options = {
  owner: "eve@example.com",
  sessionId: "k3x",
  publicKey: "S0VZ",
  idleTimeoutMs: 30_000,
  resumeTimeoutMs: 45_000,
  communicationTimeoutMs: 60_000,
  startupTimeoutMs: 30_000,
};
const objects = (agent: object = {}) =>
  agentObjects(target, { image: "inpod/agent:1", ...agent }, options, 0);

test("the Job is owned by its target, ends by itself and says whose it is", () => {
  const { job } = objects();
  assert.equal(job.metadata?.name, "inpod-k3x");
  assert.deepEqual(job.metadata?.ownerReferences, [
    { apiVersion: "v1", kind: "Pod", name: "orders", uid: target.uid },
  ]);
  assert.deepEqual(job.metadata?.labels, {
    "app.kubernetes.io/managed-by": "inpod",
    "inpod.dev/session": "k3x",
    "inpod.dev/target": "orders",
    "inpod.dev/target-namespace": "shop",
  });
  assert.deepEqual(job.metadata?.annotations, {
    "inpod.dev/deadline": "1970-01-02T00:00:00.000Z",
    "inpod.dev/starts-until": "1970-01-01T00:01:30.000Z",
    "inpod.dev/owner": "eve@example.com",
    "inpod.dev/target": "pod/orders/container/app",
  });
  const { template, ...rest } = job.spec ?? assert.fail();
  assert.deepEqual(rest, {
    backoffLimit: 0,
    ttlSecondsAfterFinished: 1,
    activeDeadlineSeconds: 86400,
  });
  assert.equal(template.metadata?.labels?.["sidecar.istio.io/inject"], "false");
});

test("in another namespace the Job has no owner: the cluster would delete it at once", () => {
  const { job, pod } = objects({ namespace: "tools" });
  assert.equal(job.metadata?.namespace, "tools");
  assert.equal(pod.metadata?.namespace, "tools");
  assert.equal(job.metadata?.ownerReferences, undefined);
});

test("the agent's pod has the rights it needs and no others, and no token", () => {
  const { pod, job } = objects({ imagePullPolicy: "Never" });
  assert.deepEqual(pod.spec, job.spec?.template.spec, "the dry run asks about the very pod");
  const { containers, ...spec } = pod.spec ?? assert.fail();
  assert.deepEqual(spec, {
    restartPolicy: "Never",
    nodeName: "n1",
    tolerations: [{ operator: "Exists" }],
    hostPID: true,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 1,
  });
  assert.deepEqual(containers, [
    {
      name: "agent",
      image: "inpod/agent:1",
      imagePullPolicy: "Never",
      command:
        "/inpod/inpod-enter --container-id abc123def456 --pod-uid 11111111-2222-3333-4444-555555555555 --find-timeout 20 --listen 61337 --node-uid 40404 --node-gid 40404 --deadline 86400 --log-level info --plain-log -- /inpod/node /inpod/agent.js --public-key S0VZ --idle-timeout-ms 30000 --resume-timeout-ms 45000 --communication-timeout-ms 60000 --owner eve@example.com --log-level info --plain-log".split(
          " ",
        ),
      securityContext: {
        runAsUser: 0,
        runAsGroup: 0,
        readOnlyRootFilesystem: true,
        capabilities: {
          drop: ["ALL"],
          add: [
            "NET_ADMIN",
            "NET_RAW",
            "SYS_PTRACE",
            "SYS_ADMIN",
            "DAC_READ_SEARCH",
            "SETUID",
            "SETGID",
          ],
        },
        seccompProfile: { type: "RuntimeDefault" },
        appArmorProfile: { type: "Unconfined" },
        seLinuxOptions: { type: "spc_t" },
      },
      resources: {
        requests: { cpu: "1m", memory: "1Mi", "ephemeral-storage": "1Mi" },
        limits: { cpu: "1", memory: "128Mi", "ephemeral-storage": "16Mi" },
      },
    },
  ]);
});

const waiting = (reason: string, message: string): V1Pod =>
  withState({ waiting: { reason, message } }, "Pending");
const verdictSaid = (pod: V1Pod): string => {
  const verdict = podVerdict(pod, "agent:1", pod.status?.containerStatuses?.[0]);
  return said(() => (verdict.kind === "failed" ? verdict.error : verdict));
};

test("what will never start is told at once, with the node's own words", () => {
  for (const reason of [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
  ])
    assert.match(
      verdictSaid(waiting(reason, "no such host")),
      /^IMAGE_NOT_PULLED: the node cannot get the agent's image "agent:1" .* because: no such host/,
    );
  assert.match(
    verdictSaid(waiting("RunContainerError", "exec format")),
    /^AGENT_NOT_STARTED.* because: exec format/,
  );
  assert.match(
    verdictSaid(withState({ terminated: { exitCode: 1, reason: "Error" } }, "Failed")),
    /^AGENT_ENDED: the agent ended with code 1 \(Error\)/,
  );
  const full: V1Pod = {
    spec: { nodeName: "n1", containers: [] },
    status: { phase: "Failed", reason: "OutOfcpu", message: "not enough cpu" },
  };
  assert.match(
    verdictSaid(full),
    /^NODE_FULL: node "n1" is full and did not take the agent \(OutOfcpu\) because: not enough cpu hint: choose/,
  );
});

test("what only takes its time is waited for", () => {
  const kindOf = (pod: V1Pod) => podVerdict(pod, "x", pod.status?.containerStatuses?.[0]).kind;
  assert.equal(kindOf(waiting("ContainerCreating", "")), "waiting");
  assert.equal(kindOf({ status: { phase: "Pending" } }), "waiting");
  assert.equal(kindOf(runningPod), "running");
});

test("events are quicker than the status: Started, and a Job whose pods are refused", () => {
  const event = (kind: string, reason: string, type = "Normal"): CoreV1Event =>
    ({ metadata: {}, involvedObject: { kind }, reason, message: "words", type }) as CoreV1Event;
  assert.equal(eventVerdict(event("Pod", "Started"))?.kind, "running");
  assert.equal(eventVerdict(event("Job", "FailedCreate", "Warning"))?.kind, "failed");
  assert.equal(eventVerdict(event("Pod", "FailedMount", "Warning"))?.kind, "waiting");
  assert.equal(eventVerdict(event("Pod", "Created")), undefined);
});

const call: ApiCall = { verb: "create", group: "batch", resource: "jobs", namespace: "shop" };

test("Pod Security, quotas and other refusals of the pod are told apart", () => {
  const admission = (message: string) =>
    said(() => explainAdmission(new ApiError(call, 403, message), "shop"));
  assert.match(
    admission(
      'pods "x" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostPID=true), seLinuxOptions (…)',
    ),
    /^POD_SECURITY: namespace "shop" enforces the Pod Security level "baseline" because: which forbids what the agent needs: host namespaces \(hostPID=true\), seLinuxOptions/,
  );
  assert.match(admission('pods "x" is forbidden: exceeded quota: q, requested: pods=1'), /^QUOTA/);
  assert.match(
    admission('admission webhook "policy" denied the request: no'),
    /^REFUSED: the cluster refused to create jobs in namespace "shop" because: admission webhook/,
  );
});

test("a login that is not accepted and a server that is not there are different things", () => {
  assert.match(
    said(() => explain(new ApiError(call, 401, "Unauthorized"))),
    /^UNAUTHORIZED/,
  );
  const server = new URL("https://10.0.0.1:6443");
  assert.match(
    said(() =>
      unreachable(server, "dev", Object.assign(new Error("refused"), { code: "ECONNREFUSED" })),
    ),
    /^API_SERVER_UNREACHABLE: cannot reach the API server https:\/\/10.0.0.1:6443 of context "dev"/,
  );
  assert.match(
    said(() =>
      unreachable(
        server,
        "dev",
        Object.assign(new Error("x"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }),
      ),
    ),
    /^API_SERVER_UNTRUSTED/,
  );
});

test("an agent's last words are its reported error, else its log's end, without control characters", () => {
  assert.equal(
    lastWords('x\n{"event":"error","errno":"ESRCH","what":"no process"}\n'),
    "no process",
  );
  assert.equal(
    lastWords("2026-11-26T14:41:45.123Z ERROR process 7: No such process (ESRCH)\n"),
    "process 7: No such process",
  );
  assert.equal(lastWords("one\n\u001b[31mtwo\n"), "one\n [31mtwo");
  assert.equal(lastWords("\n"), undefined);
});

function kubeconfig(name: string, contexts: readonly string[], current: string): string {
  const file = join(folder, name);
  writeFileSync(
    file,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": current,
      clusters: [{ name: "c", cluster: { server: `https://${name}:6443` } }],
      users: [{ name: "u", user: { token: "secret" } }],
      contexts: contexts.map((each) => ({
        name: each,
        context: { cluster: "c", user: "u", namespace: `ns-${each}` },
      })),
    }),
  );
  return file;
}

test("an unknown context is told with the known ones, nearest first", async () => {
  const file = kubeconfig("one", ["prod", "staging", "stagging-eu"], "prod");
  await assert.rejects(loadAccess({ kubeconfig: file, context: "stagin" }), (error) => {
    assert.match(
      said(() => error),
      /^CONTEXT_NOT_FOUND: no context "stagin" .* hint: the contexts there are: staging, stagging-eu, prod/,
    );
    return true;
  });
});

test("of several files in KUBECONFIG the first that has a name wins, and missing ones are left out", async () => {
  const before = process.env.KUBECONFIG;
  process.env.KUBECONFIG = [
    join(folder, "none"),
    kubeconfig("one", ["a"], "a"),
    kubeconfig("two", ["a", "b"], "b"),
  ].join(":");
  try {
    const access = await loadAccess({});
    assert.equal(access.contextName, "a");
    assert.equal(access.server.hostname, "one");
    assert.equal(access.namespace, "ns-a");
    assert.equal((await loadAccess({ context: "b" })).namespace, "ns-b");
    assert.deepEqual((await access.credentials()).headers, { Authorization: "Bearer secret" });
  } finally {
    if (before === undefined) delete process.env.KUBECONFIG;
    else process.env.KUBECONFIG = before;
  }
});

test("no login crosses the network in the clear", async () => {
  const file = kubeconfig("plain", ["a"], "a");
  writeFileSync(
    file,
    JSON.stringify({
      "current-context": "a",
      clusters: [{ name: "c", cluster: { server: "http://127.0.0.1:8001" } }],
      users: [{ name: "u", user: { token: "secret" } }],
      contexts: [{ name: "a", context: { cluster: "c", user: "u" } }],
    }),
  );
  assert.deepEqual((await (await loadAccess({ kubeconfig: file })).credentials()).headers, {});
});
