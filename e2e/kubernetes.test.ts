/** Placing an agent on a real cluster, and each way in which that can fail. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { UserError } from "@inpod/protocol";
import { type AgentOptions, openKubernetes, type PodPath } from "@inpod/targets";
import { parseTarget } from "@inpod/targets/path";
import { imageOfStandIn } from "./support/images.ts";
import { apply, inventory, kubectl, noCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { createPod, runPod } from "./support/pods.ts";

// Says a line as the agent says its hello, and then repeats what it hears.
const ECHO = "lab/inpod-echo:1";
const FAILS = "lab/inpod-fails:1";
const SLEEPS = "lab/inpod-sleeps:1";

describe("pod/NAME on a cluster", { skip: noCluster, timeout: 180_000 }, () => {
  const namespace = useNamespace("inpod-e2e");
  const baseline = useNamespace("inpod-e2e-baseline", {
    "pod-security.kubernetes.io/enforce": "baseline",
  });
  const limited = useNamespace("inpod-e2e-quota");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  after(() => rmSync(folder, { recursive: true }));
  let count = 0;
  const progress: string[] = [];

  const options = (more: Partial<AgentOptions> = {}): AgentOptions => ({
    publicKey: "S0VZ",
    sessionId: `e2e-${process.pid}-${count++}`,
    startupTimeoutMs: 20_000,
    idleTimeoutMs: 30_000,
    communicationTimeoutMs: 30_000,
    signal: new AbortController().signal,
    onProgress: (step) => progress.push(step),
    ...more,
  });
  const at = (path: string) => parseTarget(path) as PodPath;
  const open = (more: Partial<Parameters<typeof openKubernetes>[0]> = {}) =>
    openKubernetes({ target: at("pod/orders"), namespace, agent: { image: ECHO }, ...more });

  async function fails(work: Promise<unknown>, code: string, words: RegExp): Promise<UserError> {
    let failure: unknown;
    await work.catch((error: unknown) => {
      failure = error;
    });
    assert.ok(failure instanceof UserError, String(failure));
    const cause = failure.cause instanceof Error ? failure.cause.message : "";
    const text = [failure.message, cause, ...failure.hints].join("\n");
    assert.equal(failure.code, code, text);
    assert.match(text, words);
    return failure;
  }

  /** The namespace as it was, once the cluster's garbage collector has been there. */
  const untilAsBefore = (where = namespace) =>
    waitFor(`${where} to be as before`, async () =>
      (await inventory(where)).join() === found.get(where)?.join() ? true : undefined,
    );
  /** What each namespace holds before any session. */
  const found = new Map<string, string[]>();

  before(async () => {
    const listen = "/bin/busybox nc -ll -p 61337 -e /bin/busybox sh -c";
    await imageOfStandIn(ECHO, `exec ${listen} 'echo hello; exec /bin/busybox cat'`);
    await imageOfStandIn(
      FAILS,
      `echo '{"event":"error","errno":"ESRCH","what":"no process of the container is in /proc"}'; exit 1`,
    );
    await imageOfStandIn(SLEEPS, "exec /bin/busybox sleep 1000");
    const command = ["sleep", "1000"];
    await runPod({ namespace, name: "orders", command });
    await createPod({ namespace, name: "done", command: ["sh", "-c", "exit 3"] });
    await runPod({ namespace: baseline, name: "orders", command });
    await runPod({ namespace: limited, name: "orders", command });
    await apply({
      apiVersion: "v1",
      kind: "ResourceQuota",
      metadata: { name: "one", namespace: limited },
      spec: { hard: { pods: "1" } },
    });
    await waitFor("the quota to be counted", async () =>
      (await kubectl(
        "get",
        "quota",
        "one",
        "-n",
        limited,
        "-o",
        "jsonpath={.status.used.pods}",
      )) === "1"
        ? true
        : undefined,
    );
    for (const each of [namespace, baseline, limited]) found.set(each, await inventory(each));
  });

  test("an agent is placed, reached, and removed without a trace", async () => {
    const target = await open();
    assert.equal(target.name, "pod/orders/container/app");
    const agent = await target.place(options());
    assert.match(agent.name, /^job\/inpod-e2e-\S+ beside pod\/orders in namespace/);
    for (let dialled = 0; dialled < 3; dialled++) {
      const stream = await agent.dial(AbortSignal.timeout(5_000));
      const sent = Buffer.alloc(3_000_000, "0123456789abcdef");
      stream.write(sent);
      const got: Buffer[] = [];
      let length = 0;
      for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
        got.push(chunk);
        length += chunk.length;
        if (length >= sent.length + "hello\n".length) break;
      }
      assert.ok(Buffer.concat(got).equals(Buffer.concat([Buffer.from("hello\n"), sent])));
      const closed = once(stream, "close");
      stream.destroy();
      await closed;
    }
    await agent.remove();
    await agent.remove();
    assert.equal(typeof (await agent.gone), "string");
    await assert.rejects(agent.dial(AbortSignal.timeout(5_000)));
    await untilAsBefore();
    target.close();
  });

  test("an agent that somebody deletes is known to be gone", async () => {
    const target = await open();
    const agent = await target.place(options());
    const [, job = ""] = /^job\/(\S+)/.exec(agent.name) ?? [];
    await kubectl("delete", "job", job, "-n", namespace);
    assert.match(await agent.gone, /deleted|ended/);
    await agent.remove();
    await untilAsBefore();
    target.close();
  });

  test("the agent goes with its target", async () => {
    await runPod({ namespace, name: "short", command: ["sleep", "1000"] });
    const target = await open({ target: at("pod/short") });
    const agent = await target.place(options());
    await kubectl("delete", "pod", "short", "-n", namespace, "--wait=false");
    await agent.gone;
    await untilAsBefore();
    await agent.remove();
    target.close();
  });

  test("what is not there is named, with what is", async () => {
    await fails(open({ target: at("pod/order") }), "POD_NOT_FOUND", /did you mean pod\/orders\?/);
    await fails(
      open({ target: at("pod/orders/container/ap") }),
      "CONTAINER_NOT_FOUND",
      /its containers are: app/,
    );
    await fails(
      open({ namespace: `${namespace}x` }),
      "NAMESPACE_NOT_FOUND",
      new RegExp(`did you mean.*${namespace}`),
    );
    await fails(open({ context: "nope" }), "CONTEXT_NOT_FOUND", /the contexts there are: /);
    await fails(open({ kubeconfig: join(folder, "none") }), "KUBECONFIG_INVALID", /ENOENT/);
  });

  test("a target that does not run says so", async () => {
    await waitFor("the pod to end", async () =>
      (await kubectl("get", "pod", "done", "-n", namespace, "-o", "jsonpath={.status.phase}")) ===
      "Failed"
        ? true
        : undefined,
    );
    await fails(
      open({ target: at("pod/done") }),
      "TARGET_NOT_RUNNING",
      /it ended with code 3 \(Error\)/,
    );
  });

  const placeFails = async (
    where: Partial<Parameters<typeof openKubernetes>[0]>,
    code: string,
    words: RegExp,
    more: Partial<AgentOptions> = {},
  ): Promise<void> => {
    const target = await open(where);
    await fails(target.place(options(more)), code, words);
    await untilAsBefore(where.namespace);
    target.close();
  };

  test("an image that is not there is told at once, in the node's words", () =>
    placeFails(
      { agent: { image: "lab/none:1", imagePullPolicy: "Never" } },
      "IMAGE_NOT_PULLED",
      /"lab\/none:1" \(ErrImageNeverPull\)/,
    ));

  test("an agent that ends is told with its last words", () =>
    placeFails(
      { agent: { image: FAILS } },
      "AGENT_ENDED",
      /with code 1.*no process of the container is in \/proc/s,
    ));

  test("an agent that never answers is given up in time", () =>
    placeFails({ agent: { image: SLEEPS } }, "AGENT_NOT_READY", /did not answer within 3 s/, {
      startupTimeoutMs: 3_000,
    }));

  test("Pod Security refuses the agent before anything is made", () =>
    placeFails(
      { namespace: baseline },
      "POD_SECURITY",
      /level "baseline"\nwhich forbids what the agent needs: .*hostPID=true.*\n.*everything but incoming.*: -e/s,
    ));

  test("a quota without room is named", () =>
    placeFails({ namespace: limited }, "QUOTA", /exceeded quota: one/));

  test("an agent in a namespace of its own serves a target where it is refused", async () => {
    const target = await open({ namespace: baseline, agent: { image: ECHO, namespace } });
    const agent = await target.place(options());
    const jobs = (await inventory(namespace)).filter((name) => name.startsWith("job"));
    assert.equal(jobs.length, 1);
    await agent.remove();
    await untilAsBefore();
    target.close();
  });

  test("a session that is ended while it starts leaves nothing", async () => {
    const ending = new AbortController();
    const target = await open({ agent: { image: SLEEPS } });
    const reason = new Error("Ctrl-C");
    const placing = target.place(
      options({ signal: ending.signal, onProgress: () => ending.abort(reason) }),
    );
    await assert.rejects(placing, reason);
    await untilAsBefore();
    target.close();
  });

  test("a missing right is named, with the Role to ask for", async () => {
    await apply(
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "reader", namespace } },
      {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "Role",
        metadata: { name: "reader", namespace },
        rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get", "list", "watch"] }],
      },
      {
        apiVersion: "rbac.authorization.k8s.io/v1",
        kind: "RoleBinding",
        metadata: { name: "reader", namespace },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" },
        subjects: [{ kind: "ServiceAccount", name: "reader", namespace }],
      },
    );
    const token = (await kubectl("create", "token", "reader", "-n", namespace)).trim();
    const config = JSON.parse(await kubectl("config", "view", "--raw", "--minify", "-o", "json"));
    config.users[0].user = { token };
    const kubeconfig = join(folder, "reader");
    writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
    await placeFails(
      { kubeconfig },
      "FORBIDDEN",
      /reader" may not create jobs of API group "batch" in namespace.*kind: Role/s,
    );

    config.users[0].user = { token: "garbage" };
    writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
    await fails(open({ kubeconfig }), "UNAUTHORIZED", /log in again/);
    config.clusters[0].cluster.server = "https://127.0.0.1:1";
    writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
    await fails(open({ kubeconfig }), "API_SERVER_UNREACHABLE", /ECONNREFUSED/);
  });
});
