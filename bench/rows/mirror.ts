/** What mirroring costs the pod, and how much of it arrives. */
import type { ChildProcess, SpawnOptions } from "node:child_process";
import { createInterface } from "node:readline";
import { type Bed, COUNTER, HTTP_SERVER } from "../bed.ts";
import { warm } from "../measure.ts";
import { atLeast, atMost, type Row } from "../table.ts";

const PLAIN_PORT = 7500;
const MIRRORED_PORT = 7501;
/** Of the load generator's far end: its sink is the next one. */
const SINK_PORT = 7510;
const COUNTED_MS = 20_000;
const CONNECTIONS = 8;
/** Two of a kind differ by little here: many short samples, in turn. */
const MORE_ROUNDS = 5;
const SHORTER = 2;

const PIPES: SpawnOptions = { stdio: ["ignore", "pipe", "pipe"] };

const serverArgv = (port: number): string[] => [process.execPath, HTTP_SERVER, String(port), "pod"];

/** Two of the pod's servers, of which one is mirrored. */
async function own(bed: Bed): Promise<Row[]> {
  const { podAddress } = bed.sandbox;
  for (const port of [PLAIN_PORT, MIRRORED_PORT])
    await bed.server(bed.spawnIn("pod", serverArgv(port), PIPES));
  const session = await bed.server(bed.yielding(serverArgv(MIRRORED_PORT), PIPES));
  const client = bed.shell("client", bed.sandbox.inClient(["sh"], { stdio: "pipe" }));
  const rows: Row[] = [];
  for (const connections of [1, 50]) {
    const late: Record<"plain" | "inpod", number[]> = { plain: [], inpod: [] };
    const rate = async (name: "plain" | "inpod", port: number): Promise<number> => {
      const [perSecond = Number.NaN, , p99 = Number.NaN] = await client.numbers(
        `${bed.load} http ${podAddress} ${port} ${connections} ${Math.round(bed.length.loadMs / SHORTER)}`,
      );
      late[name].push(p99);
      return perSecond;
    };
    const found = await warm(bed.length.rounds * MORE_ROUNDS, {
      plain: () => rate("plain", PLAIN_PORT),
      inpod: () => rate("inpod", MIRRORED_PORT),
    });
    const of = `the pod's own requests while mirrored, ${connections} connection${connections > 1 ? "s" : ""}`;
    const beside = "a port that is not mirrored";
    const note =
      "While mirrored: agent, inpod and the program have what pod and client leave of this machine's cores (SCHED_IDLE): on a node the agent's small CPU request does the same, and the others are elsewhere.";
    rows.push({ what: of, beside, unit: "/s", ...found, goal: atLeast(0.98), note });
    const p99 = (name: "plain" | "inpod"): number => {
      const sorted = late[name].slice(1).sort((a, b) => a - b);
      return sorted[sorted.length >> 1] ?? Number.NaN;
    };
    rows.push({
      ...{ what: `${of}: p99`, beside, unit: "µs", plain: p99("plain"), inpod: p99("inpod") },
      goal: atMost(1.02),
      note,
    });
  }
  await client.end();
  await bed.end(session, "SIGTERM");
  return rows;
}

function nextCount(child: ChildProcess): Promise<number> {
  if (!child.stdout) throw new Error("a counter needs a pipe");
  const lines = createInterface(child.stdout);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error("the program has counted nothing")),
      COUNTED_MS,
    );
    lines.on("line", (line) => {
      if (!line.startsWith("bytes ")) return;
      clearTimeout(timer);
      lines.close();
      resolve(Number(line.slice(6)));
    });
  });
}

/** What of 20,000 small packets a second, or of a gigabit a second, arrives at the program. */
async function arriving(bed: Bed, mode: "paced" | "gigabit", port: number): Promise<Row[]> {
  const { podAddress } = bed.sandbox;
  await bed.server(bed.spawnIn("pod", [bed.load, "serve", String(port)], PIPES));
  const session = await bed.server(
    bed.exec([process.execPath, COUNTER, String(port + 1)], [], PIPES),
  );
  let told = "";
  session.stderr?.on("data", (text: string) => {
    told += text;
  });
  const client = bed.shell("client", bed.sandbox.inClient(["sh"], { stdio: "pipe" }));
  const counted = nextCount(session);
  const [sent = Number.NaN, perSecond = 0] = await client.numbers(
    `${bed.load} ${mode} ${podAddress} ${port} ${CONNECTIONS} ${bed.length.loadMs * 4}`,
  );
  const arrived = await counted;
  await client.end();
  // The exact counts come with the session's end, each kind's last.
  await bed.end(session, "SIGTERM");
  const lines = told.match(/inpod: mirror.*/g) ?? [];
  const last = new Map(
    lines.map((line) => [line.replace(/ \d+ connections? | \d+ packets? /, " "), line]),
  );
  const missed = lines.length > 0 ? [...last.values()].join("; ") : "nothing";
  const isSmall = mode === "paced";
  const sentHere = isSmall
    ? `${Math.round(perSecond / 64).toLocaleString("en")} packets a second`
    : `${(perSecond / 125_000_000).toFixed(2)} Gbit/s`;
  return [
    {
      what: `mirrored of ${isSmall ? "small packets, 20,000 a second" : "1 Gbit/s"}`,
      ...{ beside: "bytes sent", unit: "bytes", plain: sent, inpod: arrived, goal: atLeast(1) },
      note: `Of ${sentHere} that the client could send here; inpod said of them: ${missed}.`,
    },
  ];
}

export async function mirrored(bed: Bed): Promise<Row[]> {
  return [
    ...(await own(bed)),
    ...(await arriving(bed, "paced", SINK_PORT)),
    ...(await arriving(bed, "gigabit", SINK_PORT + 10)),
  ];
}
