/** From the pod's clients to the user's process: stolen requests, and the pod's own answer after Ctrl-C. */
import type { ChildProcess, SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { type Bed, HTTP_SERVER } from "../bed.ts";
import { median, warm } from "../measure.ts";
import { atLeast, figureAtMost, type Row } from "../table.ts";

const POD_PORT = 7400;
const STOLEN_PORT = 7401;
const HANDOVER_PORT = 7402;
const WATCH_MS = 20_000;

const serverArgv = (port: number, answer: string): string[] => [
  process.execPath,
  HTTP_SERVER,
  String(port),
  answer,
];

const PIPES: SpawnOptions = { stdio: ["ignore", "pipe", "pipe"] };

export async function stolen(bed: Bed): Promise<Row[]> {
  const { podAddress } = bed.sandbox;
  await bed.server(bed.spawnIn("pod", serverArgv(POD_PORT, "pod"), PIPES));
  const session = await bed.server(bed.exec(serverArgv(STOLEN_PORT, "local"), ["--steal"], PIPES));
  const client = bed.shell("client", bed.sandbox.inClient(["sh"], { stdio: "pipe" }));
  const rate = async (port: number, connections: number): Promise<number> => {
    const numbers = await client.numbers(
      `${bed.load} http ${podAddress} ${port} ${connections} ${bed.length.loadMs}`,
    );
    return numbers[0] ?? Number.NaN;
  };
  const rows: Row[] = [];
  for (const [connections, goal] of [
    [1, 0.25],
    [50, 0.4],
  ] as const) {
    const found = await warm(bed.length.rounds, {
      plain: () => rate(POD_PORT, connections),
      inpod: () => rate(STOLEN_PORT, connections),
    });
    rows.push({
      what: `stolen requests, ${connections} connection${connections > 1 ? "s" : ""}`,
      beside: "the pod's own server",
      unit: "/s",
      ...found,
      goal: atLeast(goal),
    });
  }
  await client.end();
  await bed.end(session, "SIGTERM");
  return rows;
}

/** A program that prints each answer when it changes, and when the next one was "pod" again. */
export function watchAnswers(child: ChildProcess): {
  until(answer: string): Promise<number>;
} {
  let last = "";
  let check: () => void = () => {};
  if (!child.stdout) throw new Error("a watch needs a pipe");
  createInterface(child.stdout).on("line", (line) => {
    last = line;
    check();
  });
  return {
    until: (answer) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`the pod's clients get "${last}", not "${answer}"`)),
          WATCH_MS,
        );
        check = () => {
          if (last !== answer) return;
          clearTimeout(timer);
          resolve(performance.now());
        };
        check();
      }),
  };
}

export async function handover(bed: Bed): Promise<Row[]> {
  const { podAddress } = bed.sandbox;
  await bed.server(bed.spawnIn("pod", serverArgv(HANDOVER_PORT, "pod"), PIPES));
  const taken: number[] = [];
  for (let round = 0; round < bed.length.rounds; round++) {
    const argv = [bed.load, "watch", podAddress, String(HANDOVER_PORT), "1", String(WATCH_MS)];
    const child = bed.sandbox.inClient(argv, PIPES);
    const answers = watchAnswers(child);
    await answers.until("pod");
    const session = await bed.server(
      bed.exec(serverArgv(HANDOVER_PORT, "local"), ["--steal"], PIPES),
    );
    await answers.until("local");
    const began = performance.now();
    const ended = once(session, "exit");
    // As the terminal does it: to the whole group.
    if (session.pid !== undefined) process.kill(-session.pid, "SIGINT");
    taken.push((await answers.until("pod")) - began);
    await ended;
    await bed.end(child, "SIGKILL");
  }
  return [
    {
      what: "Ctrl-C to the pod's own answer",
      beside: "–",
      unit: "ms",
      inpod: median(taken),
      goal: figureAtMost(100),
    },
  ];
}
