/** Every kind of target on a real cluster: which pod and container it means, and why there is none. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { UserError } from "@inpod/protocol";
import {
  type KubernetesTarget,
  openKubernetes,
  type PodPath,
  rightsFor,
  sessionPurposes,
} from "@inpod/targets";
import { parseTarget } from "@inpod/targets/path";
import { startCountingProxy } from "./support/counting-proxy.ts";
import { runInpod } from "./support/inpod.ts";
import { apply, kubectl, noCluster, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX } from "./support/pods.ts";
import { type Rule, rulesOf, userWith } from "./support/users.ts";
import {
  cronJob,
  job,
  pod,
  ROLLOUT_CRD,
  rollout,
  service,
  template,
  workload,
} from "./support/workloads.ts";

const run = promisify(execFile);

describe("every kind of target", onCluster, () => {
  const namespace = useNamespace("inpod-targets");
  const folder = mkdtempSync(join(tmpdir(), "inpod-targets-"));
  after(() => rmSync(folder, { recursive: true }));

  const open = async (path: string, more: object = {}): Promise<KubernetesTarget> => {
    const target = await openKubernetes({
      target: parseTarget(path) as PodPath,
      namespace,
      agent: { image: "unused" },
      ...more,
    });
    target.close();
    return target;
  };
  async function refusal(path: string, code: string, more: object = {}): Promise<string> {
    let failure: unknown;
    await open(path, more).catch((error: unknown) => {
      failure = error;
    });
    assert.ok(failure instanceof UserError, `${path}: ${failure}`);
    const cause = failure.cause instanceof Error ? `\nbecause: ${failure.cause.message}` : "";
    const text = `${failure.message}${cause}${failure.hints.map((hint) => `\nhint: ${hint}`).join("")}`;
    assert.equal(failure.code, code, text);
    return text;
  }
  /** Runs what an error told the user to type. */
  const follow = async (text: string, words: RegExp): Promise<void> => {
    const command = text.split("\n").find((line) => words.test(line)) ?? assert.fail(text);
    const [, line = ""] = /: (kubectl .*)$/.exec(command) ?? [];
    await run("sh", ["-c", line], { timeout: 60_000 });
  };
  const jsonpath = (what: string, path: string): Promise<string> =>
    kubectl("get", what, "-n", namespace, "-o", `jsonpath=${path}`);
  const until = (what: string, path: string, expected: RegExp): Promise<string> =>
    waitFor(`${what} to be ${expected}`, async () => {
      const value = await jsonpath(what, path).catch(() => "");
      return expected.test(value) ? value : undefined;
    });
  const ready = (...labels: string[]) =>
    kubectl(
      ...["wait", "--for=condition=Ready", "pod", "-n", namespace, "--timeout=90s"],
      ...["-l", labels.join(",")],
    );
  const hashOf = (what: string, name: string) =>
    jsonpath(what, `{.items[?(@.metadata.ownerReferences[0].name=="${name}")].metadata.name}`);

  before(async () => {
    await apply(ROLLOUT_CRD);
    await kubectl("wait", "--for=condition=Established", "crd/rollouts.argoproj.io");
    const at = (name: string, more: object = {}) => ({ labels: { app: name }, x: name, ...more });
    await apply(
      workload(
        "Deployment",
        namespace,
        "orders",
        {
          labels: { app: "orders", tier: "web" },
          x: "orders",
        },
        { replicas: 2 },
      ),
      workload("StatefulSet", namespace, "db", at("db"), {
        replicas: 2,
        podManagementPolicy: "Parallel",
      }),
      workload("DaemonSet", namespace, "node-log", at("node-log")),
      workload("ReplicaSet", namespace, "plain", at("plain"), { replicas: 1 }),
      workload("Deployment", namespace, "idle", at("idle"), { replicas: 0 }),
      workload("Deployment", namespace, "moving", at("moving", { x: "old" }), {
        replicas: 1,
        // Nobody counts as available, so a rollout stays in its middle.
        minReadySeconds: 500,
        strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      }),
      workload("Deployment", namespace, "stuck", at("stuck", { x: "old" }), {
        replicas: 1,
        strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      }),
      workload("Deployment", namespace, "crashing", at("crashing", { command: ["false"] })),
      workload("Deployment", namespace, "refused", {
        ...at("refused"),
        pod: { serviceAccountName: "nobody-made-it" },
      }),
      job(namespace, "import", at("import")),
      job(namespace, "over", at("over", { command: ["sh", "-c", "exit 0"] })),
      job(namespace, "held", at("held"), { suspend: true }),
      cronJob(namespace, "nightly", at("nightly")),
      cronJob(namespace, "never", at("never")),
      service(namespace, "web", { selector: { app: "orders" } }),
      service(namespace, "elsewhere", { type: "ExternalName", externalName: "db.example.com" }),
      service(namespace, "bare", {}),
      service(namespace, "empty", { selector: { app: "nobody" } }),
    );
    await apply(
      rollout(namespace, "canary", {
        replicas: 1,
        selector: { matchLabels: { app: "canary" } },
        template: template(at("canary")),
      }),
      rollout(namespace, "referring", {
        replicas: 1,
        workloadRef: { apiVersion: "apps/v1", kind: "Deployment", name: "idle" },
      }),
    );
    // What Argo's controller does: a ReplicaSet that the rollout owns.
    for (const [name, app] of [
      ["canary", "canary"],
      ["referring", "idle"],
    ] as const) {
      const uid = await jsonpath(`rollout/${name}`, "{.metadata.uid}");
      const set = workload(
        "ReplicaSet",
        namespace,
        `${name}-5d4f`,
        {
          labels: { app, "rollouts-pod-template-hash": "5d4f" },
          x: name,
        },
        { replicas: 1 },
      ) as { metadata: object };
      set.metadata = {
        ...set.metadata,
        labels: { app, "rollouts-pod-template-hash": "5d4f" },
        annotations: { "rollout.argoproj.io/revision": "1" },
        ownerReferences: [
          { apiVersion: "argoproj.io/v1alpha1", kind: "Rollout", name, uid, controller: true },
        ],
      };
      await apply(set);
    }
    await kubectl("create", "job", "nightly-1", "--from=cronjob/nightly", "-n", namespace);
    await ready("app in (orders,db,node-log,plain,moving,stuck,import,canary,nightly,idle)");
    // Younger than orders' own pods, ready, with all their labels, and none of them.
    await apply(
      pod(namespace, "stranger", { labels: { app: "orders", tier: "web" }, x: "stranger" }),
    );
    await ready("app=orders");
    for (const [name, image] of [
      ["moving", BUSYBOX],
      ["stuck", "lab/none:1"],
    ] as const)
      await apply(
        workload(
          "Deployment",
          namespace,
          name,
          {
            ...at(name, { x: "new", image, container: { imagePullPolicy: "Never" } }),
          },
          {
            replicas: 1,
            minReadySeconds: name === "moving" ? 500 : 0,
            strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
          },
        ),
      );
    await until("deployment/moving", "{.status.updatedReplicas}/{.status.readyReplicas}", /^1\/2$/);
    await until("deployment/stuck", "{.status.updatedReplicas}/{.status.replicas}", /^1\/2$/);
  });
  after(async () => {
    if (!noCluster) await kubectl("delete", "crd", "rollouts.argoproj.io", "--wait=false");
  });

  for (const [path, x, host] of [
    ["deployment/orders", "orders", /^orders-\w+-\w+$/],
    ["statefulset/db", "db", /^db-0$/],
    ["daemonset/node-log", "node-log", /^node-log-\w+$/],
    ["replicaset/plain", "plain", /^plain-\w+$/],
    ["rollout/canary", "canary", /^canary-5d4f-\w+$/],
    ["rollout/referring", "referring", /^referring-5d4f-\w+$/],
    ["job/import", "import", /^import-\w+$/],
    ["cronjob/nightly", "nightly", /^nightly-1-\w+$/],
    ["service/web", "(orders|stranger)", /^(orders-\w+-\w+|stranger)$/],
    ["label/app=db,statefulset.kubernetes.io/pod-name=db-1", "db", /^db-1$/],
    ["deployment/crashing", "crashing", /^crashing-\w+-\w+$/],
  ] as const) {
    test(`a program runs in the place of ${path}`, async () => {
      if (path === "deployment/crashing")
        await until(
          "pod",
          '{.items[?(@.metadata.labels.app=="crashing")].status.containerStatuses[0].restartCount}',
          /^[1-9]/,
        );
      const ran = await runInpod([
        ...["exec", "-t", path, "-n", namespace, "--"],
        ...["sh", "-c", "hostname; printenv X || :"],
      ]);
      assert.equal(ran.code, 0, ran.stderr);
      const [name = "", value = ""] = ran.stdout.split("\n");
      assert.match(name, host);
      // A crash-looping container has no process whose variables could be read.
      if (path !== "deployment/crashing") assert.match(value, new RegExp(`^${x}$`));
    });
  }

  test("a workload's pods are its own: others with the same labels are left out", async () => {
    const { pod: chosen, pods, why } = await open("deployment/orders");
    assert.match(chosen.name, /^orders-/);
    assert.equal(pods.length, 2);
    assert.ok(pods.some(({ name }) => name === chosen.name));
    assert.match(
      why ?? "",
      /^pod\/orders-\S+: the newest of the 2 ready pods of deployment\/orders; container app: the only container$/,
    );
    const set = await hashOf("replicaset", "orders");
    assert.equal((await open(`replicaset/${set}`)).pods.length, 2);
    assert.equal((await open("label/app=orders,tier=web")).pods.length, 3);
    assert.equal((await open("label/app=orders")).pod.name, "stranger");
  });

  test("in the middle of a rollout it is the newest ready pod of the newest ReplicaSet that has one", async () => {
    const x = async (path: string) => {
      const { pod: chosen, why = "" } = await open(path);
      const value = await jsonpath(`pod/${chosen.name}`, "{.spec.containers[0].env[0].value}");
      return `${value}: ${why.replace(/^.*?: /, "")}`;
    };
    assert.match(
      await x("deployment/moving"),
      /^new: the only ready pod of the newest ReplicaSet of deployment/,
    );
    assert.match(
      await x("deployment/stuck"),
      /^old: .* of deployment\/stuck, whose newest ReplicaSet has none/,
    );
  });

  test("containers: the application's own, a named sidecar, and never an ephemeral one", async () => {
    const sleeping = (name: string) => ({ name, image: BUSYBOX, command: ["sleep", "100000"] });
    await apply(
      pod(namespace, "meshed", {
        labels: { app: "meshed" },
        pod: {
          containers: [sleeping("istio-proxy"), sleeping("app")],
          initContainers: [{ ...sleeping("native"), restartPolicy: "Always" }],
        },
      }),
    );
    await ready("app=meshed");
    const { pod: chosen, why } = await open("pod/meshed");
    assert.equal(chosen.container, "app");
    assert.match(why ?? "", /container app: the first that is no known sidecar/);
    assert.equal((await open("pod/meshed/container/istio-proxy")).pod.container, "istio-proxy");
    assert.equal((await open("label/app=meshed/container/native")).pod.container, "native");
    await kubectl(
      "debug",
      "meshed",
      "-n",
      namespace,
      `--image=${BUSYBOX}`,
      "-c",
      "looking",
      "--",
      "sleep",
      "100000",
    );
    assert.equal((await open("pod/meshed")).pod.container, "app");
    assert.match(
      await refusal("pod/meshed/container/looking", "CONTAINER_NOT_FOUND"),
      /its containers are: istio-proxy, app, native/,
    );
    assert.match(
      await refusal("deployment/orders/container/ap", "CONTAINER_NOT_FOUND"),
      /no container "ap" in deployment\/orders\nhint: its containers are: app/,
    );
  });

  test("a workload scaled to zero says so, and its hint gives it a pod", async () => {
    const words = await refusal("deployment/idle", "TARGET_SCALED_TO_ZERO");
    await follow(words, /--replicas=1/);
    await until("deployment/idle", "{.status.readyReplicas}", /^1$/);
    assert.match((await open("deployment/idle")).pod.name, /^idle-/);
    assert.match((await open("rollout/referring")).pod.name, /^referring-/);
  });

  test("a pod that does not start is told in the cluster's own words", async () => {
    const never = { imagePullPolicy: "Never" };
    const secret = { name: "v", secret: { secretName: "not-there" } };
    await apply(
      pod(namespace, "homeless", {
        labels: { app: "homeless" },
        pod: { nodeSelector: { no: "node" } },
      }),
      pod(namespace, "imageless", { labels: { app: "i" }, image: "lab/none:1", container: never }),
      pod(namespace, "mountless", {
        labels: { app: "m" },
        pod: { volumes: [secret] },
        container: { volumeMounts: [{ name: "v", mountPath: "/v" }] },
      }),
      pod(namespace, "initless", {
        labels: { app: "n" },
        pod: {
          initContainers: [{ name: "migrate", image: BUSYBOX, command: ["sleep", "100000"] }],
        },
      }),
    );
    await until("pod/homeless", "{.status.conditions[0].reason}", /Unschedulable/);
    assert.match(
      await refusal("pod/homeless", "TARGET_NOT_RUNNING"),
      /the pod has no node yet: Unschedulable\nbecause: 0\/\d+ nodes are available/,
    );
    await until(
      "pod/imageless",
      "{.status.containerStatuses[0].state.waiting.reason}",
      /ErrImageNeverPull/,
    );
    assert.match(
      await refusal("label/app=i", "TARGET_NOT_RUNNING"),
      /^no pod of label\/app=i runs: container "app" of pod "imageless" is not running: it waits: ErrImageNeverPull\nbecause: .*lab\/none:1/,
    );
    await waitFor("the kubelet to miss the secret", async () =>
      (await kubectl("get", "events", "-n", namespace)).includes("not-there") ? true : undefined,
    );
    assert.match(
      await refusal("pod/mountless", "TARGET_NOT_RUNNING"),
      /it waits: ContainerCreating\nbecause: FailedMount: .*"not-there" not found/,
    );
    await until("pod/initless", "{.status.initContainerStatuses[0].state.running.startedAt}", /./);
    assert.match(
      await refusal("pod/initless", "TARGET_NOT_RUNNING"),
      /its init container "migrate" still runs/,
    );
    await until(
      "deployment/refused",
      '{.status.conditions[?(@.type=="ReplicaFailure")].status}',
      /True/,
    );
    assert.match(
      await refusal("deployment/refused", "TARGET_HAS_NO_PODS"),
      /^deployment\/refused has no pod\nbecause: .*serviceaccount "nobody-made-it" not found/,
    );
  });

  test("a job that is over says what works instead, and it does", async () => {
    await until("job/over", "{.status.succeeded}", /^1$/);
    const words = await refusal("job/over", "TARGET_NOT_RUNNING");
    assert.match(words, /ended with code 0 \(Completed\), and a pod that is over has no network/);
    await follow(words, /--copy-to=/);
    const [, copy = ""] = /--copy-to=(\S+)/.exec(words) ?? [];
    await kubectl("wait", "--for=condition=Ready", `pod/${copy}`, "-n", namespace, "--timeout=60s");
    assert.equal((await open(`pod/${copy}`)).pod.container, "app");
    assert.match(await refusal("job/held", "TARGET_HAS_NO_PODS"), /job\/held is suspended/);
  });

  test("a cronjob without a job says how to run it now, and that works", async () => {
    const words = await refusal("cronjob/never", "TARGET_HAS_NO_PODS");
    assert.match(words, /has no job yet: its schedule is "0 0 29 2 \*"/);
    await follow(words, /--from=cronjob/);
    await until("job/never-inpod", "{.status.ready}", /^1$/);
    assert.match((await open("cronjob/never")).pod.name, /^never-inpod-/);
  });

  test("a service without pods of its own is explained", async () => {
    assert.match(
      await refusal("service/elsewhere", "TARGET_HAS_NO_PODS"),
      /another name for "db.example.com" \(ExternalName\)/,
    );
    assert.match(await refusal("service/bare", "TARGET_HAS_NO_PODS"), /has no selector/);
    assert.match(await refusal("service/empty", "TARGET_HAS_NO_PODS"), /no pod has these labels/);
  });

  test("what is not there is named, with what was meant", async () => {
    assert.match(
      await refusal("deployment/order", "TARGET_NOT_FOUND"),
      /did you mean deployment\/orders\?/,
    );
    assert.match(
      await refusal("deployment/orders", "NAMESPACE_NOT_FOUND", { namespace: `${namespace}x` }),
      new RegExp(`did you mean ${namespace}`),
    );
    assert.match(
      await refusal("label/app=x", "NAMESPACE_NOT_FOUND", { namespace: `${namespace}x` }),
      /no namespace/,
    );
  });

  test("hundreds of pods are asked for in pages, and only those with the labels", async () => {
    const crowd = Array.from({ length: 450 }, (_, index) =>
      // Nobody schedules them: they cost the cluster nothing.
      pod(namespace, `crowd-${index}`, {
        labels: { app: "crowd" },
        pod: { schedulerName: "nobody" },
      }),
    );
    const child = run("kubectl", ["create", "-f", "-", "-o", "name"], { timeout: 120_000 });
    child.child.stdin?.end(JSON.stringify({ apiVersion: "v1", kind: "List", items: crowd }));
    await child;
    await apply(pod(namespace, "zz-one", { labels: { app: "crowd" } }));
    await kubectl("wait", "--for=condition=Ready", "pod/zz-one", "-n", namespace, "--timeout=60s");
    const { pod: chosen, pods } = await open("label/app=crowd");
    assert.deepEqual([chosen.name, pods.length], ["zz-one", 1]);
    await kubectl("delete", "pod", "-l", "app=crowd", "-n", namespace, "--wait=false", "--force");
  });

  describe("rights", () => {
    const pods = { apiGroups: [""], resources: ["pods"] };
    const user = (name: string, rules: readonly Rule[]) => userWith(folder, namespace, name, rules);

    test("a user who may only get pods can name one, and is told what anything else takes", async () => {
      const kubeconfig = await user("getter", [{ ...pods, verbs: ["get"] }]);
      assert.equal((await open("pod/stranger", { kubeconfig })).pod.name, "stranger");
      const words = await refusal("deployment/orders", "FORBIDDEN", { kubeconfig });
      assert.match(
        words,
        /getter" may not get deployments "orders" of API group "apps" in namespace/,
      );
      assert.match(words, /apiGroups: \[apps\], resources: \[deployments\], verbs: \[get/);
      assert.match(words, /apiGroups: \[batch\], resources: \[jobs\], verbs: \[create, delete\]/);
      assert.match(
        await refusal("service/web", "FORBIDDEN", { kubeconfig }),
        /may not get services "web" in namespace/,
      );
      assert.match(
        await refusal("label/app=orders", "FORBIDDEN", { kubeconfig }),
        /may not list pods in namespace/,
      );
    });

    test("who may not list ReplicaSets finds a deployment's own pods all the same", async () => {
      const kubeconfig = await user("reader", [
        { ...pods, verbs: ["list"] },
        { apiGroups: ["apps"], resources: ["deployments"], verbs: ["get"] },
      ]);
      const target = await open("deployment/orders", { kubeconfig });
      assert.match(target.pod.name, /^orders-/);
      assert.equal(target.pods.length, 2);
    });

    test("the smallest Role of a session is enough for one", async () => {
      // Those of the other kinds are in rights.test.ts.
      for (const path of ["deployment/orders", "rollout/canary"]) {
        const kind = path.startsWith("rollout") ? "rollout" : "deployment";
        const purposes = sessionPurposes(kind, namespace, undefined);
        const needed = rightsFor(purposes.map(({ operation }) => operation)).filter(
          (right) => right.needed === "always",
        );
        const kubeconfig = await user(`smallest-${kind}`, rulesOf(needed));
        const ran = await runInpod([
          ...["exec", "--kubeconfig", kubeconfig, "-t", path, "-n", namespace],
          ...["--", "printenv", "X"],
        ]);
        assert.deepEqual([ran.code, ran.stdout], [0, `${path.replace(/^.*\//, "")}\n`], ran.stderr);
      }
    });
  });

  test("no session starts with more than 15 requests of the API server", async (t) => {
    const proxy = await startCountingProxy();
    t.after(() => proxy.close());
    const kubeconfig = join(folder, "counted");
    await kubectl(
      "config",
      "set-cluster",
      "counted",
      `--server=${proxy.url}`,
      `--kubeconfig=${kubeconfig}`,
    );
    await kubectl(
      "config",
      "set-context",
      "counted",
      "--cluster=counted",
      `--kubeconfig=${kubeconfig}`,
    );
    for (const path of [
      "pod/stranger",
      "deployment/orders",
      "cronjob/nightly",
      "rollout/referring",
    ]) {
      proxy.requests.length = 0;
      const ran = await runInpod([
        ...[
          "exec",
          "--kubeconfig",
          kubeconfig,
          "--context",
          "counted",
          "-t",
          path,
          "-n",
          namespace,
        ],
        ...["--", "true"],
      ]);
      assert.equal(ran.code, 0, ran.stderr);
      // What follows is the session's end.
      const end = proxy.requests.findIndex((request) => request.startsWith("DELETE "));
      assert.ok(end >= 5, `the proxy saw the session: ${proxy.requests.join(", ")}`);
      // A port-forward to an agent that does not listen yet is tried again: how often is the machine's speed.
      const start = new Set(proxy.requests.slice(0, end));
      t.diagnostic(`${path}: ${start.size} requests to start, ${proxy.requests.length} in all`);
      assert.ok(start.size <= 15, proxy.requests.join("\n"));
    }
  });
});
