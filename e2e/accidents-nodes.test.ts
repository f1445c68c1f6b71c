/**
 * What happens to nodes and the daemons of the cluster, and to the sessions there. Nobody else may use the cluster
 * meanwhile. The words: docs/accidents.md.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { apply, FILE_TIMEOUT_MS, kubectl, waitFor } from "./support/kubectl.ts";
import { BUSYBOX } from "./support/pods.ts";
import { type Scene, seen, useStage } from "./support/scene.ts";
import { daemonsOf, kill9, notOnThisKernel, parentOf } from "./support/this-kernel.ts";
import { workload } from "./support/workloads.ts";

const CLUSTER = fileURLToPath(new URL("cluster/cluster", import.meta.url));
const HOST = "lab-2";
const UIDS = "jsonpath={.items[*].metadata.uid}";
/** Twice the longest pause of who follows the API server. */
const CONTROLLERS_TIMEOUT_MS = 120_000;

/** Kills a daemon, which its keeper starts again, and waits until another one runs. */
async function killDaemon(node: string, command: RegExp): Promise<void> {
  const pids = daemonsOf(node, command);
  assert.equal(pids.length, 1, `${command}`);
  kill9(...pids);
  await waitFor("it to be started again", async () =>
    daemonsOf(node, command).some((pid) => !pids.includes(pid)) ? true : undefined,
  );
}

/** Nodes are Ready, names are answered, pods replaced: whoever comes next finds the cluster as it was. */
async function untilHealthy(): Promise<void> {
  await untilApiServerIsReady();
  await kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s");
  await waitFor("pods of the node", () => kubectl("get", "pods", "-A").catch(() => undefined));
  const rollout = ["-n", "kube-system", "rollout", "status", "deployment/coredns"];
  await kubectl(...rollout, "--timeout=55s").catch(() => kubectl(...rollout, "--timeout=55s"));
  await untilPodsAreReplaced();
}

const untilApiServerIsReady = (): Promise<string> =>
  waitFor("the API server", () => kubectl("get", "--raw", "/readyz").catch(() => undefined));

/**
 * The same after an API server that was away. Who follows it looks again after pauses that double, up to a minute
 * (client-go, tools/cache/reflector.go), each kind of object for itself, which may add up to minutes: those whose work
 * is waited for here begin anew.
 */
async function untilHealthyAfterOutage(): Promise<void> {
  await untilApiServerIsReady();
  for (const each of [/kube kube-controller-manager /, /kube kube-scheduler /])
    await killDaemon("lab-1", each);
  await untilHealthy();
}

async function untilPodsAreReplaced(): Promise<void> {
  const labels = { app: "replaced" };
  // No node runs it: what is waited for is that there is one.
  const pod = { schedulingGates: [{ name: "inpod.test/never" }] };
  await apply(workload("Deployment", "default", "replaced", { labels, pod }));
  const replaced = async (than: string): Promise<string> =>
    waitFor(
      "controllers to make a pod",
      async () => {
        const uid = await kubectl("get", "pods", "-l", "app=replaced", "-o", UIDS);
        return uid !== "" && uid !== than ? uid : undefined;
      },
      CONTROLLERS_TIMEOUT_MS,
    );
  const first = await replaced("");
  await kubectl("delete", "pods", "-l", "app=replaced", "--wait=false");
  await replaced(first);
  await kubectl("delete", "deployment", "replaced", "--wait=false");
}

/** Until the scheduler, which follows nodes for itself, puts no pod there any more. */
async function untilNothingIsPlacedOn(node: string): Promise<void> {
  const nodeSelector = { "kubernetes.io/hostname": node };
  const pod = ["pods", "placed", "-n", "default"];
  const placed = ["-o", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].status}"];
  await waitFor(
    `pods not to be placed on ${node}`,
    async () => {
      await apply({
        ...{ apiVersion: "v1", kind: "Pod", metadata: { name: "placed", namespace: "default" } },
        spec: { nodeSelector, containers: [{ name: "app", image: BUSYBOX, command: ["true"] }] },
      });
      const isPlaced = await waitFor("the scheduler", async () => {
        const said = await kubectl("get", ...pod, ...placed);
        return said === "" ? undefined : said;
      });
      await kubectl("delete", ...pod, "--grace-period=0", "--force", "--wait=true");
      return isPlaced === "False" ? true : undefined;
    },
    CONTROLLERS_TIMEOUT_MS,
  );
}

describe("accidents: nodes and daemons", {
  skip: notOnThisKernel,
  timeout: FILE_TIMEOUT_MS,
}, () => {
  // Who asks, and who is connected to, live through all of it.
  const stage = useStage("inpod-nodes", "lab-1");
  if (!notOnThisKernel) {
    before(untilHealthy);
    after(untilHealthy);
  }

  for (const [who, node, command, untilRecovered] of [
    ["kubelet", HOST, /kube kubelet /, untilHealthy],
    ["containerd", HOST, /^containerd /, untilHealthy],
    ["the API server", "lab-1", /kube kube-apiserver /, untilHealthyAfterOutage],
  ] as const) {
    test(`${who} is killed and comes back: the pod has its traffic, then the same agent goes on`, async (t) => {
      const scene = await stage.scene(who.replaceAll(/[^a-z]/gi, "").toLowerCase(), { node: HOST });
      t.after(() => scene.stop());
      const { address } = await scene.pod();
      const inpod = await scene.started();
      const programs = scene.programs();
      const agent = scene.enters();
      await killDaemon(node, command);
      const answersAfter = await scene.until(/^(pod|local) /, 10_000, 3000, address);
      await inpod.says(/the connection to the agent is lost/);
      await inpod.says(/the connection to the agent is back/);
      const backAfter = await scene.untilAllIsWell(undefined, 3000, address);
      assert.deepEqual([scene.programs(), scene.enters()], [programs, agent]);
      await untilRecovered();
      await scene.end(inpod);
      seen(t, "answers after", answersAfter, "all is well again after", backAfter);
    });
  }

  let away: Scene | undefined;
  test("the API server is away when the session ends: the exit code is the program's, and what is left is told", async (t) => {
    // On a node of which nothing is killed afterwards.
    const scene = await stage.scene("away", { node: "lab-1" });
    away = scene;
    const { address } = await scene.pod();
    const inpod = await scene.started();
    const [server] = daemonsOf("lab-1", /kube kube-apiserver /);
    assert.ok(server);
    const starter = parentOf(server);
    // Who would start it again does not, for a while.
    process.kill(starter, "SIGSTOP");
    t.after(() => process.kill(starter, "SIGCONT"));
    kill9(server);
    const podAfter = await scene.until(/^pod /, 10_000, 3000, address);
    inpod.interrupt();
    const { code, signal, stderr } = await inpod.done;
    assert.ok(signal === "SIGINT" || code === 130, `${signal} ${code} ${stderr}`);
    const [told] =
      /job\/inpod-.* could not be removed .*ends by itself.*inpod clean.*/.exec(stderr) ?? [];
    assert.ok(told, stderr);
    process.kill(starter, "SIGCONT");
    await untilHealthyAfterOutage();
    seen(t, "the pod answers after", podAfter, told);
  });

  test("the node is drained: the session goes on in the next pod, on another node", async (t) => {
    const scene = await stage.scene("drained", { isDeployment: true });
    t.after(async () => {
      for (const node of ["lab-1", HOST]) await kubectl("uncordon", node);
      scene.stop();
    });
    const inpod = await scene.started();
    const programs = scene.programs();
    const first = await scene.pod();
    const node = await nodeOf(scene, first.name);
    await kubectl("cordon", node);
    await untilNothingIsPlacedOn(node);
    await kubectl("delete", "pod", first.name, "-n", scene.namespace, "--wait=false");
    await inpod.says(/the connection to the agent is back/);
    const next = await scene.pod();
    assert.notEqual(next.uid, first.uid);
    assert.notEqual(await nodeOf(scene, next.name), node);
    const backAfter = await scene.untilAllIsWell();
    assert.deepEqual(scene.programs(), programs);
    await scene.end(inpod);
    seen(t, "the next pod answers", "all is well again after", backAfter);
  });

  test("the node's processes are all killed and started again: the session goes on in the pod that is set up anew", async (t) => {
    const scene = await stage.scene("killed", { node: HOST });
    t.after(() => scene.stop());
    const inpod = await scene.started();
    const programs = scene.programs();
    const sinceMs = performance.now();
    kill9(Number(readFileSync("/var/lib/lab/node2/pid", "latin1")));
    await promisify(execFile)(CLUSTER, ["up", "2"], { timeout: 180_000 });
    await inpod.says(/the connection to the agent is lost/);
    await waitFor(
      "the connection to be back",
      async () => (/agent is back/.test(inpod.output()) ? true : undefined),
      180_000,
    );
    await scene.untilAllIsWell(60_000);
    const backAfter = (performance.now() - sinceMs) / 1000;
    assert.deepEqual(scene.programs(), programs);
    await untilHealthy();
    await scene.end(inpod);
    seen(t, "there is no pod", "all is well again after", backAfter);
  });

  test("the agent that could not be removed has ended by itself, and nothing is left of its session", async (t) => {
    assert.ok(away);
    t.after(() => away?.stop());
    await away.untilAsBefore();
  });
});

const nodeOf = (scene: Scene, pod: string): Promise<string> =>
  kubectl("get", "pod", pod, "-n", scene.namespace, "-o", "jsonpath={.spec.nodeName}");
