/** What a filter costs: the pod's own requests that pass through the agent, stolen ones, and who keeps connections open. */
import type { SpawnOptions } from "node:child_process";
import { type Bed, HTTP_SERVER } from "../bed.ts";
import { least, median, warm } from "../measure.ts";
import { agentOf, cpuMicroseconds, residentMegabytes } from "../processes.ts";
import { atLeast, atMost, figureAtMost, type Row } from "../table.ts";
import { manySessions } from "./sessions.ts";

const PLAIN_PORT = 7600;
const FILTERED_PORT = 7601;
const HELD = 1000;
/** Many short samples, in turn: so something of a quiet moment is in both. */
const MORE_ROUNDS = 5;
const SHORTER = 2;
const PIPES: SpawnOptions = { stdio: ["ignore", "pipe", "pipe"] };
/** What the load generator sends is `Host: bench`. */
const NOBODYS = { header_filter: "^x-user: me$" };
const ITS = { header_filter: "^host: bench$" };

/** Microseconds of work for each request: none, and what a small API does for one. */
const WORK = [0, 300] as const;

const NOTE =
  "Beside a filter: a relay costs as much of a core for each request as Node's own HTTP server with nothing to do, and client, server and agent share this machine's two cores; with a server that works for its answer, its own work is what counts. A relay of Node that does nothing but pass bytes had 0.5 of the same server here. Times that are added, and processor time, are the least of the samples.";

interface Load {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

const serverArgv = (port: number, work: number): string[] => [
  ...[process.execPath, HTTP_SERVER, String(port), "pod", String(work)],
];

export async function filtered(bed: Bed): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [index, work] of WORK.entries()) rows.push(...(await own(bed, work, 4 * index)));
  return [...rows, ...(await stolen(bed)), ...(await held(bed)), ...(await manySessions(bed))];
}

/** A session whose program listens on `port`, with this filter; the process of its agent's Node. */
async function session(bed: Bed, port: number, http_filter: unknown) {
  const config = { feature: { network: { incoming: { mode: "steal", http_filter } } } };
  const file = bed.file(`filter-${port}.json`, JSON.stringify(config));
  const argv = [process.execPath, HTTP_SERVER, String(port), "local"];
  const child = await bed.server(bed.exec(argv, ["--config-file", file], PIPES));
  return { child, agent: agentOf(child.pid as number) };
}

async function client(bed: Bed) {
  const shell = bed.shell("client", bed.sandbox.inClient(["sh"], { stdio: "pipe" }));
  const { podAddress } = bed.sandbox;
  const loadMs = Math.round(bed.length.loadMs / SHORTER);
  const load = async (port: number, connections: number): Promise<Load> => {
    const command = `${bed.load} http ${podAddress} ${port} ${connections} ${loadMs}`;
    const [perSecond = Number.NaN, p50 = Number.NaN, p99 = Number.NaN] =
      await shell.numbers(command);
    return { requests: (perSecond * loadMs) / 1000, perSecond, p50, p99 };
  };
  return { load, end: () => shell.end() };
}

/** Two of the pod's servers, of which one is behind a filter that takes nothing of this. */
async function own(bed: Bed, work: number, ports: number): Promise<Row[]> {
  const [plainPort, filteredPort] = [PLAIN_PORT + ports, FILTERED_PORT + ports];
  for (const port of [plainPort, filteredPort])
    await bed.server(bed.spawnIn("pod", serverArgv(port, work), PIPES));
  const { child, agent } = await session(bed, filteredPort, NOBODYS);
  const { load, end } = await client(bed);
  const rows: Row[] = [];
  for (const connections of [1, 16]) {
    const loads: Record<"plain" | "inpod", Load[]> = { plain: [], inpod: [] };
    const cpu: number[] = [];
    const sample = async (name: "plain" | "inpod", port: number): Promise<number> => {
      const began = cpuMicroseconds(agent);
      const taken = await load(port, connections);
      if (name === "inpod") cpu.push((cpuMicroseconds(agent) - began) / taken.requests);
      loads[name].push(taken);
      return taken.perSecond;
    };
    const found = await warm(bed.length.rounds * MORE_ROUNDS, {
      plain: () => sample("plain", plainPort),
      inpod: () => sample("inpod", filteredPort),
    });
    const all = (name: "plain" | "inpod", of: "p50" | "p99"): number[] =>
      loads[name].slice(1).map((each) => each[of]);
    const what = `beside a filter, ${work === 0 ? "" : `${work} µs of work, `}${connections} connection${connections > 1 ? "s" : ""}`;
    const beside = "a port without a filter";
    rows.push(
      { what, beside, unit: "/s", ...found, goal: atLeast(0.8), note: NOTE },
      {
        what: `${what}: p50 added`,
        ...{ beside: "–", unit: "ms", goal: figureAtMost(0.15) },
        inpod: (least(all("inpod", "p50")) - least(all("plain", "p50"))) / 1000,
      },
      {
        what: `${what}: p99`,
        ...{
          beside,
          unit: "µs",
          plain: median(all("plain", "p99")),
          inpod: median(all("inpod", "p99")),
        },
        goal: atMost(1.5),
      },
      {
        what: `${what}: agent's processor time`,
        ...{ beside: "–", unit: "µs", inpod: least(cpu.slice(1)), goal: figureAtMost(60) },
      },
    );
  }
  await end();
  await bed.end(child, "SIGTERM");
  return rows;
}

async function stolen(bed: Bed): Promise<Row[]> {
  const [plainPort, filteredPort] = [PLAIN_PORT + 8, FILTERED_PORT + 8];
  for (const port of [plainPort, filteredPort])
    await bed.server(bed.spawnIn("pod", serverArgv(port, 0), PIPES));
  const { child } = await session(bed, filteredPort, ITS);
  const { load, end } = await client(bed);
  const times: Record<"plain" | "inpod", number[]> = { plain: [], inpod: [] };
  const sample = async (name: "plain" | "inpod", port: number): Promise<number> =>
    times[name].push((await load(port, 1)).p50);
  await warm(bed.length.rounds * MORE_ROUNDS, {
    plain: () => sample("plain", plainPort),
    inpod: () => sample("inpod", filteredPort),
  });
  await end();
  await bed.end(child, "SIGTERM");
  return [
    {
      what: "a request stolen by a filter: p50 added",
      ...{ beside: "–", unit: "ms", goal: figureAtMost(0.5) },
      inpod: (least(times.inpod) - least(times.plain)) / 1000,
      note: "The link's round trip is part of what a stolen request adds; in the sandbox it is that of a pair of virtual interfaces.",
    },
  ];
}

/** Written for `node -e`: connections that were answered once each, and stay open. */
const HOLD = `const [,host,port,count]=process.argv;let left=+count;
  for(let i=0;i<+count;i++){const s=require("net").connect({host,port:+port});
  s.once("connect",()=>s.write("GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n"));s.on("error",(e)=>{console.error(e.message);process.exit(1)});
  s.once("data",()=>{if(--left===0)console.log("ready")})}`;

/** Idle connections, each with one to the pod, or as many streams. */
async function held(bed: Bed): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [what, filter, offset] of [
    ["that pass through a filter", NOBODYS, 12],
    ["that are stolen", undefined, 16],
  ] as const) {
    const port = FILTERED_PORT + offset;
    await bed.server(bed.spawnIn("pod", serverArgv(port, 0), PIPES));
    const { child, agent } = await session(bed, port, filter);
    const before = residentMegabytes(agent);
    const argv = [process.execPath, "-e", HOLD, bed.sandbox.podAddress, String(port), `${HELD}`];
    const holder = await bed.server(bed.own(bed.sandbox.inClient(argv, PIPES)));
    rows.push({
      what: `memory of the agent's Node, ${HELD.toLocaleString("en")} connections ${what}`,
      ...{ beside: "before them", unit: "MB", plain: before, inpod: residentMegabytes(agent) },
      goal: figureAtMost(150),
    });
    await bed.end(holder, "SIGKILL");
    await bed.end(child, "SIGTERM");
  }
  return rows;
}
