/** The session itself: how long it takes to begin and end, and what it weighs while nothing happens. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { promisify } from "node:util";
import type { Bed } from "../bed.ts";
import { interleaved } from "../measure.ts";
import { agentOf, commandOf, descendants, residentMegabytes } from "../processes.ts";
import { figureAtMost, type Row } from "../table.ts";

const run = promisify(execFile);

export async function startUp(bed: Bed): Promise<Row[]> {
  const found = await interleaved(bed.length.rounds * 2, {
    plain: async () => {
      const began = performance.now();
      await run(process.execPath, ["-e", "0"]);
      return performance.now() - began;
    },
    inpod: async () => {
      const began = performance.now();
      const [code] = await once(bed.exec(["true"], [], { stdio: "ignore" }), "exit");
      if (code !== 0) throw new Error(`inpod exec -- true ended with ${code}`);
      return performance.now() - began;
    },
  });
  return [
    {
      what: "inpod exec -- true, sandbox",
      ...{ beside: "node -e 0", unit: "ms", ...found, goal: figureAtMost(1000) },
    },
  ];
}

export async function memory(bed: Bed): Promise<Row[]> {
  const idle = "console.log('ready'); setInterval(() => {}, 1000)";
  const command = [process.execPath, "-e", idle];
  const plain = await bed.server(
    bed.spawnIn("laptop", command, { stdio: ["ignore", "pipe", "pipe"] }),
  );
  const session = await bed.server(bed.exec(command, [], { stdio: ["ignore", "pipe", "pipe"] }));
  const tree = descendants(session.pid as number);
  const rss = (part: string): number => {
    const pid = tree.find((each) => commandOf(each).some((word) => word.endsWith(part)));
    if (pid === undefined) throw new Error(`no process of ${part} in the session`);
    return residentMegabytes(pid);
  };
  const node = residentMegabytes(plainNode(plain.pid as number));
  const beside = "an idle Node";
  const shared = { beside, unit: "MB", plain: node } as const;
  const rows: Row[] = [
    { what: "memory idle: CLI", ...shared, inpod: rss("cli.js"), goal: figureAtMost(120) },
    {
      what: "memory idle: agent's Node",
      ...shared,
      inpod: residentMegabytes(agentOf(session.pid as number)),
      goal: figureAtMost(80),
    },
    { what: "memory idle: enter", beside: "–", unit: "MB", inpod: rss("inpod-enter") },
  ];
  await bed.end(session, "SIGTERM");
  await bed.end(plain, "SIGTERM");
  return rows;
}

/** Wrappers (setpriv, nsenter, env) become the program; whatever is left of them is above it. */
function plainNode(pid: number): number {
  const found = [pid, ...descendants(pid)].find((each) => commandOf(each)[0] === process.execPath);
  if (found === undefined) throw new Error("no idle Node");
  return found;
}
