/** Many sessions: how each begins when others are there, what it asks of the API server, and what all of them weigh. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { startCountingProxy } from "../../e2e/support/counting-proxy.ts";
import type { Bed } from "../bed.ts";
import { Cluster } from "../cluster.ts";
import { median } from "../measure.ts";
import { allProcesses, commandOf, residentMegabytes } from "../processes.ts";
import { figureAtMost, type Row, type Skipped } from "../table.ts";

/** On one node, each with a pod and an agent of its own. */
const PODS = 20;
/** In all; those beyond the pods join the agents that are there. */
const SESSIONS = 50;
/** Started at the same time: more would measure how two cores are shared. */
const AT_ONCE = 2;
const READY_TIMEOUT_MS = 60_000;
const SETTLE_MS = 3_000;
const IDLE_MS = 20_000;
const IDLE_COMMAND = ["sh", "-c", "echo ready; exec sleep 3600"];

export async function scale(bed: Bed): Promise<{ rows: Row[]; skipped: Skipped[] }> {
  const cluster = await Cluster.find();
  if (typeof cluster === "string") {
    return { rows: [], skipped: [{ what: "many sessions", why: cluster }] };
  }
  try {
    const pods = await cluster.pods(PODS);
    return {
      rows: [...(await asked(bed, cluster, pods)), ...(await many(bed, cluster, pods))],
      skipped: [],
    };
  } finally {
    await cluster.remove();
  }
}

/** What one session asks of the API server. */
async function asked(bed: Bed, cluster: Cluster, [pod = ""]: readonly string[]): Promise<Row[]> {
  const proxy = await startCountingProxy(cluster.kubeconfig);
  const kubeconfig = join(bed.folder, "counted");
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "counted",
      contexts: [
        { name: "counted", context: { cluster: "counted", namespace: cluster.namespace } },
      ],
      clusters: [{ name: "counted", cluster: { server: proxy.url } }],
    }),
  );
  try {
    const { child } = await begin(bed, cluster, pod, ["--kubeconfig", kubeconfig]);
    // Its watches begin once the program runs.
    await delay(SETTLE_MS);
    const toStart = proxy.requests.length;
    await delay(IDLE_MS);
    const idle = proxy.requests.length - toStart;
    await end(child);
    const unit = "requests";
    return [
      {
        what: "asked of the API server to start",
        beside: "–",
        unit,
        inpod: toStart,
        goal: figureAtMost(15),
      },
      {
        what: `asked in ${IDLE_MS / 1000} idle seconds`,
        beside: "–",
        unit,
        inpod: idle,
        goal: figureAtMost(0),
      },
    ];
  } finally {
    await proxy.close();
  }
}

async function many(bed: Bed, cluster: Cluster, pods: readonly string[]): Promise<Row[]> {
  const alone: number[] = [];
  const joined: number[] = [];
  const children: ChildProcess[] = [];
  const wanted = Array.from({ length: SESSIONS }, (_, number) => number);
  const next = async (): Promise<void> => {
    for (let number = wanted.shift(); number !== undefined; number = wanted.shift()) {
      const { child, tookMs } = await begin(bed, cluster, pods[number % PODS] ?? "");
      children.push(child);
      (number < PODS ? alone : joined).push(tookMs);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  const clis = children.map(({ pid }) => residentMegabytes(pid ?? 0));
  const agents = agentsOfNode();
  // With the agent there: the time of a whole command.
  const began = performance.now();
  const [code] = await once(cluster.exec(bed, ["true"], [], pods[0]), "exit");
  if (code !== 0) throw new Error(`inpod exec -- true beside ${SESSIONS} sessions: code ${code}`);
  const whole = performance.now() - began;
  await Promise.all(children.map(end));
  const count = `${SESSIONS} sessions`;
  return [
    {
      what: "inpod exec -- true, its agent running",
      beside: "–",
      unit: "ms",
      inpod: whole,
      goal: figureAtMost(500),
    },
    { what: `start, ${PODS} agents on one node`, beside: "–", unit: "ms", inpod: median(alone) },
    { what: `start, joining, up to ${count}`, beside: "–", unit: "ms", inpod: median(joined) },
    {
      what: `memory of a CLI, ${count}`,
      beside: "–",
      unit: "MB",
      inpod: median(clis),
      goal: figureAtMost(120),
    },
    ...(agents.length === 0
      ? []
      : [
          {
            what: `memory of an agent's Node, ${count}`,
            ...{ beside: "–", unit: "MB", inpod: median(agents), goal: figureAtMost(80) },
          },
        ]),
  ];
}

/** A session that is up, and how long that took. */
async function begin(
  bed: Bed,
  cluster: Cluster,
  pod: string,
  flags: readonly string[] = [],
): Promise<{ child: ChildProcess; tookMs: number }> {
  const began = performance.now();
  const child = cluster.exec(bed, IDLE_COMMAND, flags, pod);
  let words = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-2000);
  });
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string): void =>
      reject(new Error(`a session did not begin: ${why}: ${words}`));
    const timer = setTimeout(() => fail("not in time"), READY_TIMEOUT_MS);
    child.once("exit", (code) => fail(`code ${code}`));
    child.stdout?.once("data", () => {
      clearTimeout(timer);
      resolve();
    });
  });
  child.stdout?.resume();
  return { child, tookMs: performance.now() - began };
}

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  // As Ctrl-C does: the command too.
  process.kill(-(child.pid ?? 0), "SIGINT");
  await exited;
}

/** Of e2e/cluster the nodes' processes are this machine's; elsewhere there are none here. */
function agentsOfNode(): number[] {
  return allProcesses().flatMap((pid) => {
    const [program, ...words] = commandOf(pid);
    const isAgent = program === "/inpod/node" && words.includes("/inpod/agent.js");
    return isAgent ? [residentMegabytes(pid)] : [];
  });
}
