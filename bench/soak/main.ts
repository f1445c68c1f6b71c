/**
 * `npm run soak`: mixed programs and signals in two sessions for a long time, each verifying its own answers, and what must
 * be as before when they rest: no call lost, no descriptor, zombie, process or rule left, and memory that does not grow.
 *
 *   npm run soak -- [--minutes N | --seconds N] [--seed N] [--no-write] [--no-build]
 *
 * Writes its part of bench/RESULTS.md. Status 1, and a line for each, when something is wrong.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildProgram, startSandbox } from "@inpod/sandbox";
import { Inventory } from "../../packages/cli/test/exec-support.ts";
import { Clients } from "./clients.ts";
import { items, type Programs, SERVER_PORTS, servers } from "./items.ts";
import { descriptorsOf, quiet, Samples, settle, statisticsOf, type Watched } from "./measure.ts";
import { type Report, summary, writeSection } from "./report.ts";
import { SoakSession, type Work } from "./session.ts";
import { usagesOf } from "./watch.ts";

const WIDTH = 4;
const CLIENTS = 3;
const SAMPLE_MS = 2000;
/** At most: work goes on for so long before a session is stopped by Ctrl-Z, and it stands still for the second time. */
const MAX_RUN_MS = 4000;
const STOPPED_MS = 500;
/** Of a shorter run the memory says nothing: caches fill. */
const MEMORY_FROM_MS = 8 * 60_000;
/** What a line through the samples may rise, of their mean, and MB in any case: garbage is collected now and then. */
const MAY_GROW = { share: 0.06, megabytes: 4 };

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    seconds: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    "no-write": { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
  },
});
const workMs = values.seconds
  ? Number(values.seconds) * 1000
  : Number(values.minutes ?? 30) * 60_000;
if (!(workMs > 0)) throw new Error("--minutes and --seconds take a number above 0");
const seed = Number(values.seed);

const runMs = Math.min(MAX_RUN_MS, workMs / 3);

const folder = dirname(fileURLToPath(import.meta.url));
const root = join(folder, "..", "..");
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const scratch = mkdtempSync(join(tmpdir(), "inpod-soak-"));
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));
if (!values["no-build"])
  execFileSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: "inherit" });

const report = await soak();
process.stdout.write(`${summary(report)}\n`);
if (!values["no-write"]) say(`written: ${writeSection(report, join(root, "bench", "RESULTS.md"))}`);
process.exitCode = report.wrong.length === 0 ? 0 : 1;

async function programs(): Promise<Programs> {
  const flags = "-std=gnu11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -pthread".split(" ");
  const run = (built: string): string[] => [join(built, "program")];
  const c = await buildProgram({
    sources: [join(folder, "work.c")],
    compile: ([source = ""]) => ["cc", ...flags, "-o", "program", source],
    run,
  });
  if (c.kind === "missing") throw new Error(c.why);
  const go = await buildProgram({
    sources: [join(folder, "work.go")],
    compile: ([source = ""]) => ["go", "build", "-o", "program", source],
    run,
  });
  if (go.kind === "missing") say(`without Go: ${go.why}`);
  return { c: c.argv[0] ?? "", folder, go: go.kind === "ready" ? go.argv[0] : undefined };
}

async function soak(): Promise<Report> {
  const wrong: string[] = [];
  const built = await programs();
  const sandbox = await startSandbox();
  const sessions: Watched[] = [];
  const samples = new Samples();
  try {
    const inventory = await Inventory.of(sandbox);
    const parts = { sandbox, cli: join(root, "dist", "cli.js"), folder, width: WIDTH };
    const list = items(built);
    const start = async (name: string, flags: readonly string[], isServing: boolean) => {
      const statistics = join(scratch, `${name.replaceAll(" ", "-")}.jsonl`);
      const session = await SoakSession.start(name, {
        ...parts,
        flags,
        statistics,
        seed: seed + sessions.length,
        items: list,
        servers: isServing ? servers(built) : [],
      });
      // work.c's server is blocked in accept(2).
      sessions.push({ session, statistics, waits: isServing ? 1 : 0 });
    };
    await start("stealing session", ["--steal"], true);
    await start("second session", [], false);
    const clients = new Clients(sandbox, folder, CLIENTS, Object.values(SERVER_PORTS));
    await clients.whole();

    say(`each item once, then ${workMs / 1000} s of all; seed ${seed}`);
    const works: Work[] = await Promise.all(sessions.map(({ session }) => session.do("once")));
    const before = await Promise.all(sessions.map(quiet));
    say(`descriptors at rest: ${JSON.stringify(before)}`);

    await clients.go();
    const from = Date.now();
    const working = Promise.all(sessions.map(({ session }) => session.do(`go ${workMs}`)));
    let isOver = false;
    const over = working.finally(() => {
      isOver = true;
    });
    over.catch(() => {});
    const sampling = (async () => {
      while (!isOver) {
        for (const each of sessions) samples.look(each);
        await Promise.race([delay(SAMPLE_MS), over.catch(() => {})]);
      }
    })();
    let stops = 0;
    while (Date.now() + runMs + STOPPED_MS < from + workMs && !isOver) {
      await Promise.race([delay(runMs), over.catch(() => {})]);
      const { session } = sessions[stops % sessions.length] as Watched;
      if (isOver) break;
      await clients.gap();
      await session.stopFor(STOPPED_MS);
      await clients.whole();
      stops += 1;
    }
    works.push(...(await working));
    await sampling;
    say("at rest");
    const asked = await clients.end();
    const settled = sessions.map((each, index) => settle(each, before[index] ?? {}));
    wrong.push(...(await Promise.all(settled)).flat());
    const after = sessions.map(({ session }) => descriptorsOf(usagesOf(session.pid)));
    await Promise.all(sessions.map(({ session }) => session.end()));
    await inventory.assertAsBefore(scratch).catch((error: Error) => wrong.push(error.message));
    wrong.push(...works.flatMap(({ failures }) => failures), ...asked.failures);
    for (const each of sessions) {
      samples.addStatistics(each);
      wrong.push(...lostCalls(each));
    }
    const fits = samples.fits();
    if (workMs >= MEMORY_FROM_MS) {
      for (const [what, { growth, rise, mean }] of fits) {
        // A leak shows in both.
        if (Math.min(growth, rise) <= Math.max(MAY_GROW.megabytes, MAY_GROW.share * mean)) continue;
        wrong.push(
          `${what}: grew by ${growth.toFixed(1)} MB of ${mean.toFixed(1)}, its least by ${rise.toFixed(1)}`,
        );
      }
    }
    return {
      seed,
      workMs,
      stops,
      works,
      asked: asked.counts,
      taps: sessions.map((each) => ({ name: each.session.name, last: statisticsOf(each).at(-1) })),
      descriptors: sessions.map(({ session }, index) => ({
        name: session.name,
        before: before[index] ?? {},
        after: after[index] ?? {},
      })),
      fits,
      wrong,
    };
  } catch (error) {
    for (const { session } of sessions) {
      say(`${session.name} said:\n${session.talk}`);
      session.kill();
    }
    throw error;
  } finally {
    await sandbox.stop();
  }
}

/** After the end: each notification was answered once, and none by its deadline. */
function lostCalls(watched: Watched): string[] {
  const { name } = watched.session;
  const last = statisticsOf(watched).at(-1);
  if (!last) return [`${name}: no statistics`];
  const { received, answered, cancelled, expired } = last.tap;
  const held = received - answered - cancelled;
  return [
    ...(held <= watched.waits ? [] : [`${name}: of ${received} calls ${held} were not answered`]),
    ...(expired === 0 ? [] : [`${name}: ${expired} calls were answered by their deadline`]),
  ];
}
