/** A session that outlives its target's container, its agent and a cut, on any cluster; accidents.test.ts has more. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { layCable } from "./support/cable.ts";
import { imageOfFiles } from "./support/images.ts";
import { type Running, startInpod } from "./support/inpod.ts";
import {
  apply,
  inventory,
  kubectl,
  onCluster,
  untilInventoryIs,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX, NODE_IMAGE, runNodePod, runPod } from "./support/pods.ts";

/** Each life writes a file and a variable of its own: how often the volume has seen a start. */
const POD_SERVER = `
const fs = require("fs");
fs.appendFileSync("/shared/lives", "x");
const life = fs.readFileSync("/shared/lives", "utf8").length;
fs.writeFileSync("/tmp/life", "life " + life);
require("http").createServer((q, r) => r.end("pod life " + life)).listen(3000);
process.on("SIGTERM", () => process.exit(0));`;
/** Answers with what the pod's file says when it is asked. */
const LOCAL_SERVER = `
const fs = require("fs");
require("http").createServer((q, r) => {
  let file;
  try { file = fs.readFileSync("/tmp/life", "utf8"); } catch (error) { file = error.code; }
  r.end("local " + process.pid + " reads " + file);
}).listen(3000, () => console.log("local server listens", process.env.GREETING, process.env.TOKEN));`;
/** Its path is the target's for files of /tmp, which are the developer's as a rule. */
const CONFIG = { feature: { fs: { mode: "read", read_only: ["^/tmp/life$"] } } };

describe("a session and the accidents of its target and agent", onCluster, () => {
  const namespace = useNamespace("inpod-restart");
  const folder = mkdtempSync(join(tmpdir(), "inpod-restart-"));
  let found: string[] = [];

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    await apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web", namespace, labels: { app: "web" } },
      spec: {
        terminationGracePeriodSeconds: 0,
        restartPolicy: "Always",
        volumes: [
          { name: "shared", emptyDir: {} },
          { name: "tmp", emptyDir: {} },
        ],
        containers: [
          {
            name: "app",
            image: NODE_IMAGE,
            command: [process.execPath, "-e", POD_SERVER],
            volumeMounts: [
              { name: "shared", mountPath: "/shared" },
              { name: "tmp", mountPath: "/tmp" },
            ],
          },
        ],
      },
    });
    await kubectl("wait", "--for=condition=Ready", "pod/web", "-n", namespace, "--timeout=60s");
    await runPod({ namespace, name: "client", command: ["sleep", "3600"] });
    writeFileSync(join(folder, "server.js"), LOCAL_SERVER);
    found = await inventory(namespace);
  });
  after(() => rmSync(folder, { recursive: true }));

  const addressOf = (pod: string): Promise<string> =>
    kubectl("get", "pod", pod, "-n", namespace, "-o", "jsonpath={.status.podIP}");

  /** What a client in another pod is told; "" for no answer. */
  const ask = async (pod = "web"): Promise<string> => {
    const url = `http://${await addressOf(pod)}:3000/`;
    return kubectl("exec", "client", "-n", namespace, "--", "wget", "-qO-", url).catch(() => "");
  };

  const until = async (what: string, words: RegExp, pod = "web"): Promise<string> => {
    let answer = "";
    try {
      return await waitFor(what, async () => {
        answer = await ask(pod);
        return words.test(answer) ? answer : undefined;
      });
    } catch (error) {
      const said = running.map((each) => each.output()).join("\n");
      throw new Error(`${(error as Error).message}; the last one: "${answer}"; ${said}`);
    }
  };

  const untilAsBefore = (): Promise<unknown> => untilInventoryIs(namespace, found);

  const running: Running[] = [];
  afterEach(async () => {
    // What a failed test has left must not be in the way of the next.
    for (const { child, done } of running.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      process.kill(-(child.pid as number), "SIGINT");
      await done;
    }
  });

  function start(config: object = {}, target = "pod/web"): Running {
    const file = join(folder, `inpod-${Math.random().toString(36).slice(2)}.json`);
    writeFileSync(file, JSON.stringify({ ...CONFIG, ...config }));
    const inpod = startInpod(
      [
        ...["exec", "-t", target, "-n", namespace, "-f", file, "--steal", "--"],
        ...["node", "server.js"],
      ],
      { cwd: folder, timeoutMs: 300_000 },
    );
    running.push(inpod);
    return inpod;
  }

  async function end(inpod: Running): Promise<void> {
    inpod.interrupt();
    const { signal, code, stderr } = await inpod.done;
    assert.ok(signal === "SIGINT" || code === 130, `${signal} ${code} ${stderr}`);
    await untilAsBefore();
  }

  /** The pid of the local server, from its answer. */
  const localPid = (answer: string): string => /local (\d+)/.exec(answer)?.[1] ?? "";

  const agentPod = (): Promise<string> =>
    waitFor("the agent's pod", async () => {
      const selector = "app.kubernetes.io/managed-by=inpod";
      const names = await kubectl("get", "pods", "-n", namespace, "-l", selector, "-o", "name");
      return names.trim().split("\n").at(-1) || undefined;
    });

  test("the container is killed and started again: stolen all the time, the files are those of the new one", async () => {
    const inpod = start();
    await inpod.says(/local server listens/);
    const before = await until("the local answer", /^local .* reads life 1$/);
    // Ends with the container that it runs in.
    const kill = [process.execPath, "-e", "process.kill(1)"];
    await kubectl("exec", "web", "-n", namespace, "--", ...kill).catch(() => {});
    await inpod.says(/the target does not run/);
    // With its container dead nobody in the pod could answer.
    assert.match(await ask(), /^local /);
    await inpod.says(/the target's container restarted; its files are those of the new one/);
    const answer = await until("the new container's file", /^local .* reads life 2$/);
    assert.equal(localPid(answer), localPid(before));
    await end(inpod);
    await until("the pod's own answer", /^pod life 2$/);
  });

  test("the agent's pod is deleted: another one goes on, with the same process", async () => {
    const inpod = start();
    await inpod.says(/local server listens/);
    const before = await until("the local answer", /^local /);
    const pod = await agentPod();
    await kubectl("delete", pod, "-n", namespace, "--force", "--grace-period=0");
    await inpod.says(/the agent is gone .*starting another one/);
    await inpod.says(/the connection to the agent is back/);
    const answer = await until("the local answer again", /^local .* reads life \d$/);
    assert.equal(localPid(answer), localPid(before));
    assert.notEqual(await agentPod(), pod);
    await end(inpod);
    await until("the pod's own answer", /^pod /);
  });

  test("the way to the cluster is cut for some seconds: the same agent goes on, with the same process", async (t) => {
    const cable = await layCable(folder, "kubeconfig");
    t.after(() => cable.close());
    const inpod = start({ kubeconfig: cable.kubeconfig });
    await inpod.says(/local server listens/);
    const before = await until("the local answer", /^local /);
    const first = await agentPod();
    cable.reset();
    await until("the pod's own answer", /^pod /);
    cable.mend();
    await inpod.says(/the connection to the agent is back/);
    const answer = await until("the local answer again", /^local /);
    assert.equal(localPid(answer), localPid(before));
    assert.equal(await agentPod(), first);
    await end(inpod);
  });

  test("a crash-looping pod is a target: its clients are answered, and each life's files are served", async () => {
    await apply(
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "keys", namespace },
        stringData: { token: "s3cret" },
      },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "crashing", namespace },
        spec: {
          terminationGracePeriodSeconds: 0,
          restartPolicy: "Always",
          containers: [
            {
              name: "app",
              image: BUSYBOX,
              command: ["sh", "-c", "echo life 9 > /tmp/life; sleep 4; exit 1"],
              env: [
                { name: "GREETING", value: "hello" },
                { name: "TOKEN", valueFrom: { secretKeyRef: { name: "keys", key: "token" } } },
              ],
            },
          ],
        },
      },
    );
    await waitFor(
      "its third life to be over",
      async () => {
        const path =
          "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state}";
        const state = await kubectl("get", "pod", "crashing", "-n", namespace, "-o", path);
        return /^[2-9]/.test(state) && !state.includes("running") ? true : undefined;
      },
      90_000,
    );
    const inpod = start({}, "pod/crashing");
    // Its variables may be those of a process, if it has just been started again, or those of its spec.
    await inpod.says(/local server listens hello s3cret/);
    await until("the local answer", /^local /, "crashing");
    await inpod.says(/the target's container restarted/);
    // ESTALE, which Node has no name for, if that life is over already.
    await until("the life's file, or its end", /reads (life 9|.*-116$)/, "crashing");
    inpod.interrupt();
    assert.doesNotMatch((await inpod.done).stderr, /s3cret/);
    await kubectl("delete", "secret/keys", "-n", namespace);
    await kubectl("delete", "pod", "crashing", "-n", namespace, "--force", "--grace-period=0");
    await untilAsBefore();
  });

  test("the target is deleted: it is told at once, the process is ended, nothing is left", async () => {
    await runNodePod({ namespace, name: "doomed", source: POD_SERVER.replaceAll("/shared/", "/") });
    const inpod = start({}, "pod/doomed");
    await inpod.says(/local server listens/);
    await kubectl("delete", "pod", "doomed", "-n", namespace, "--wait=false");
    const { code, stderr } = await inpod.done;
    assert.match(
      stderr,
      /the session is lost for good: pod\/doomed (was deleted|is not there any more)/,
    );
    assert.equal(code, 5, stderr);
    await untilAsBefore();
  });

  test("nothing of these sessions is left on this machine", () => {
    const left = readdirSync("/proc").filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(folder);
      } catch {
        return false;
      }
    });
    assert.deepEqual(left, []);
  });
});
