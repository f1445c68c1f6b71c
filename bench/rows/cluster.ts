/** With a cluster: start-up, outgoing traffic beside kubectl's port-forward, and the way back after Ctrl-C. */
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { type Bed, HTTP_SERVER, LOAD_HTTP_PORT, LOAD_PORT } from "../bed.ts";
import { Cluster } from "../cluster.ts";
import { Forward } from "../forward.ts";
import { median, warm } from "../measure.ts";
import { atLeast, figureAtMost, type Row, type Skipped } from "../table.ts";
import { watchAnswers } from "./incoming.ts";
import { LOAD_ROWS, sampleLoad } from "./outgoing.ts";

const FORWARDED_PORT = 7500;
const CARRIER_PORT = 7600;
const READY_TIMEOUT_MS = 30_000;
const WATCH_MS = 60_000;
const BESIDE = "kubectl port-forward";
/** In the order of LOAD_ROWS. */
const GOALS = [1, 4, 1, 2, 4, 4];
const CARRIER = "its own port-forward, no tunnel in it";
const CARRIER_NOTE =
  "Bulk on a cluster: the tunnel is itself one port-forward over WebSocket, and one stream of bulk data can have no more " +
  `than that carries, which is what the rows beside "${CARRIER}" show. kubectl's SPDY is cheaper for the container ` +
  "runtime (upwards 1.7 s of containerd's processor time for a gigabyte instead of 5, downwards 0.8 instead of 1.6), but " +
  "dearer for each round trip. Four times kubectl's is out of reach for whatever rides on a port-forward.";
const CONNECT_NOTE =
  "New connections on a cluster: connect(2) returns with the pod's own verdict, and the first byte comes after it: two " +
  "round trips of the tunnel. kubectl's listener accepts before anything in the pod was reached. One at a time, the " +
  'row "round trips out, 1 connection" halved is the most that can be had.';

export async function onCluster(bed: Bed): Promise<{ rows: Row[]; skipped: Skipped[] }> {
  const cluster = await Cluster.find();
  if (typeof cluster === "string") {
    return { rows: [], skipped: [{ what: "the rows on a cluster", why: cluster }] };
  }
  const rows: Row[] = [];
  const skipped: Skipped[] = [];
  try {
    await cluster.prepare(bed);
    for (const measure of [startUp, outgoing, handover]) {
      try {
        rows.push(...(await measure(bed, cluster)));
      } catch (error) {
        skipped.push({
          what: `${measure.name} on a cluster`,
          why: (error as Error).message.trim(),
        });
      }
    }
  } finally {
    await cluster.remove();
  }
  return { rows, skipped };
}

async function startUp(bed: Bed, cluster: Cluster): Promise<Row[]> {
  const taken: number[] = [];
  for (let round = 0; round < bed.length.rounds; round++) {
    const began = performance.now();
    const child = cluster.exec(bed, ["true"]);
    let words = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      words = (words + text).slice(-2000);
    });
    child.stdout?.resume();
    const [code] = await once(child, "close");
    if (code !== 0) throw new Error(`inpod exec -- true ended with ${code}: ${words}`);
    taken.push(performance.now() - began);
  }
  return [
    {
      what: "inpod exec -- true, cluster",
      ...{ beside: "–", unit: "ms", inpod: median(taken), goal: figureAtMost(1000) },
    },
  ];
}

async function outgoing(bed: Bed, cluster: Cluster): Promise<Row[]> {
  const forward = cluster.start(
    bed,
    ...["port-forward", "pod/server"],
    ...[0, 1, 2].map((kind) => `${FORWARDED_PORT + kind}:${LOAD_PORT + kind}`),
  );
  await forwarding(forward);
  const plain = bed.shell("plain", bed.start(["sh"]));
  const inpod = bed.shell("inpod", cluster.exec(bed, ["sh"]));
  const where = { namespace: cluster.namespace, pod: "server" };
  const kinds = [0, 1, 2].map((kind) => [CARRIER_PORT + kind, LOAD_PORT + kind] as const);
  const carrier = await Forward.open(cluster.kubeconfig, where, new Map(kinds));
  const near = { host: "127.0.0.1", port: FORWARDED_PORT };
  const carried = { host: "127.0.0.1", port: CARRIER_PORT };
  const pod = { host: cluster.serverAddress, port: LOAD_PORT };
  const { rounds, loadMs } = bed.length;
  const rows: Row[] = [];
  for (const [at, row] of LOAD_ROWS.entries()) {
    const both = {
      kubectl: () => sampleLoad(plain, bed.load, row, near, loadMs),
      inpod: () => sampleLoad(inpod, bed.load, row, pod, loadMs),
    };
    const shared = { what: row.what, unit: row.unit, beside: BESIDE };
    const goal = atLeast(GOALS[at] ?? 1);
    if (row.unit !== "MB/s") {
      const found = await warm(rounds, both);
      const note = row.mode === "connect" ? CONNECT_NOTE : undefined;
      rows.push({
        ...shared,
        plain: found.kubectl,
        inpod: found.inpod,
        goal,
        ...(note ? { note } : {}),
      });
      continue;
    }
    const found = await warm(rounds, {
      ...both,
      carrier: () => sampleLoad(plain, bed.load, row, carried, loadMs),
    });
    rows.push(
      { ...shared, plain: found.kubectl, inpod: found.inpod, goal, note: CARRIER_NOTE },
      { ...shared, beside: CARRIER, plain: found.carrier, inpod: found.inpod },
    );
  }
  carrier.close();
  await Promise.all([plain.end(), inpod.end()]);
  await bed.end(forward, "SIGTERM");
  return rows;
}

/** It says so once for each port; IPv4 comes first. */
function forwarding(child: ReturnType<Cluster["start"]>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error("kubectl port-forward was not ready")),
      READY_TIMEOUT_MS,
    );
    child.once("close", (code) => reject(new Error(`kubectl port-forward ended (${code})`)));
    child.stderr?.resume();
    if (!child.stdout) throw new Error("kubectl needs a pipe");
    createInterface(child.stdout).on("line", (line) => {
      if (!line.startsWith(`Forwarding from 127.0.0.1:${FORWARDED_PORT + 2}`)) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

async function handover(bed: Bed, cluster: Cluster): Promise<Row[]> {
  const taken: number[] = [];
  const watched = [cluster.serverAddress, String(LOAD_HTTP_PORT), "1", String(WATCH_MS)];
  const watching = cluster.start(bed, "exec", "client", "--", cluster.load, "watch", ...watched);
  const answers = watchAnswers(watching);
  await answers.until("pod");
  for (let round = 0; round < bed.length.rounds; round++) {
    const argv = [process.execPath, HTTP_SERVER, String(LOAD_HTTP_PORT), "local"];
    const session = await bed.server(cluster.exec(bed, argv, ["--steal"]));
    await answers.until("local");
    const ended = once(session, "exit");
    const began = performance.now();
    if (session.pid !== undefined) process.kill(-session.pid, "SIGINT");
    taken.push((await answers.until("pod")) - began);
    await ended;
  }
  await bed.end(watching, "SIGKILL");
  return [
    {
      what: "Ctrl-C to the pod's own answer, cluster",
      ...{ beside: "–", unit: "ms", inpod: median(taken), goal: figureAtMost(100) },
    },
  ];
}
