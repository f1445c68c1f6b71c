/** One session, one accident, and what is to be as before. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Random } from "../../packages/http/test/support/random.ts";
import { AGENT_IMAGE } from "../support/images.ts";
import { type Running, startInpod } from "../support/inpod.ts";
import { kubectl, waitFor } from "../support/kubectl.ts";
import type { DevServer } from "../support/service-modes.ts";
import { signalGroup } from "../support/signal-group.ts";
import { commandOf, processesWith } from "../support/this-kernel.ts";
import type { Act } from "./acts.ts";
import { failures } from "./judge.ts";
import type { Mode } from "./modes.ts";
import type { World } from "./world.ts";

const MAX_WAIT_MS = 8000;
const MAX_GAP_MS = 1500;
/** From Ctrl-C until the CLI has ended: with the API server out of reach it takes the longest. */
const END_MS = 25_000;
/** An agent that was begun and never used waits for a minute and a half. */
const CLEAN_MS = 150_000;

export interface RoundParts {
  readonly world: World;
  readonly seed: number;
  readonly modes: readonly Mode[];
  readonly acts: readonly Act[];
  readonly server: DevServer;
  readonly folder: string;
}

export interface Verdict {
  /** What it was, with its seed. */
  readonly line: string;
  readonly faults: readonly string[];
  /** Of every inpod that has run. */
  readonly output: string;
}

export async function round({ world, seed, server, ...parts }: RoundParts): Promise<Verdict> {
  const random = new Random(seed);
  const pick = <T>(of: readonly T[]): T => of[random.below(of.length)] as T;
  const [mode, act] = [pick(parts.modes), pick(parts.acts)];
  const when = pick(["starting", "standing", "standing", "ending"] as const);
  const [waitMs, thenMs] = [random.below(MAX_WAIT_MS), random.below(MAX_WAIT_MS / 2)];
  const gapMs = random.below(MAX_GAP_MS);
  const ends = pick(["SIGINT", "SIGINT", "SIGINT", "SIGKILL"] as const);
  const line = `--seed ${seed}: ${mode.name}, ${when}, ${act.name}, then ${ends}`;

  const folder = mkdtempSync(join(parts.folder, `${seed}-`));
  const temporary = join(folder, "tmp");
  mkdirSync(temporary);
  const mark = `INPOD_CHAOS=${process.pid}-${seed}`;
  const env = {
    ...{ INPOD_CHAOS: mark.replace(/^.*=/, ""), TMPDIR: temporary, XDG_RUNTIME_DIR: folder },
    INPOD_AGENT_IMAGE: AGENT_IMAGE,
  };
  const all: Running[] = [];
  const start = (...words: readonly string[]): Running => {
    const namespace = ["-n", world.namespace];
    const run = startInpod([...words, ...namespace], { cwd: folder, timeoutMs: 300_000, env });
    all.push(run);
    return run;
  };
  const killsMs: number[] = [];
  const faults: string[] = [];
  const stop = async (run: Running, signal: NodeJS.Signals): Promise<void> => {
    const { pid } = run.child;
    if (pid === undefined || run.hasExited()) return;
    const signalledMs = Date.now();
    if (signal === "SIGKILL") killsMs.push(signalledMs);
    signalGroup(pid, signal);
    if (await Promise.race([run.exited.then(() => true), delay(END_MS, false)])) {
      // It was ending already: a second Ctrl-C costs what it had, and it says so.
      if (/ended without waiting/.test(run.output())) killsMs.push(signalledMs);
      return;
    }
    faults.push(`it has not ended ${END_MS / 1000} s after ${signal}`);
    signalGroup(pid, "SIGKILL");
  };

  const asking = world.ask();
  await waitFor("the client to ask", async () => asking.answers.length > 3 || undefined);
  const run = start(...mode.words(server.http, folder, pick));
  const stands = (): boolean => run.hasExited() || /until Ctrl-C/.test(run.output());
  if (when === "starting") await delay(waitMs);
  else {
    await waitFor("the session to stand", async () => stands() || undefined, 60_000);
    await delay(waitMs / 4);
  }
  if (when === "ending" && run.child.pid !== undefined) {
    if (!run.hasExited()) signalGroup(run.child.pid, "SIGINT");
    await delay(gapMs);
  }
  let second: Running | undefined;
  const actMs = Date.now();
  await act.do({
    ...{ world, run, gapMs, start },
    second: () => {
      const port = ["--expose", `${server.http}:80`];
      const ways = [
        ["mesh", "web", "--header", "x-dev=two"],
        ["exchange", "web"],
      ];
      second = start(...pick(ways), ...port);
    },
  });
  if (/kill -9/.test(act.name)) killsMs.push(Date.now());
  const actEndMs = Date.now();
  await delay(thenMs);
  await stop(run, ends);
  if (second !== undefined) await stop(second, pick(["SIGINT", "SIGKILL"]));
  const scale = ["scale", "deployment/web", "--replicas=2", "-n", world.namespace];
  if (/pods$/.test(act.name)) await kubectl(...scale);

  const left = async (): Promise<string[]> => [
    ...(await world.changes()),
    ...processesWith(mark).map((pid) => `process ${pid}: ${commandOf(pid)}`),
  ];
  const untilClean = async (): Promise<string[]> => {
    const deadline = Date.now() + CLEAN_MS;
    for (;;) {
      const found = await left();
      if (found.length === 0 || Date.now() > deadline) return found;
      await delay(700);
    }
  };
  let found = await untilClean();
  const suspended = "jsonpath={.items[?(@.spec.suspend==true)].metadata.name}";
  const jobs = await kubectl("get", "jobs", "-n", world.namespace, "-o", suspended);
  if (found.length > 0 && (act.needsRecover || jobs !== "")) {
    await start("recover").done;
    await start("clean").done;
    found = await untilClean();
  }
  faults.push(...found);
  // Nor may they be lost just after.
  await delay(1500);
  const answers = await asking.stop();
  const hasSecond = second !== undefined;
  faults.push(...failures(answers, { mode, act, actMs, actEndMs, killsMs, hasSecond }));
  faults.push(...readdirSync(temporary).map((name) => `a temporary file: ${name}`));
  rmSync(folder, { recursive: true, force: true });
  return { line, faults, output: all.map((each) => each.output()).join("--\n") };
}
