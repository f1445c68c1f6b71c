/** What the tests of `inpod exec` share: the built CLI beside a sandbox's pod, and what is left after it. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  buildWitness,
  type Sandbox,
  type SandboxOptions,
  startSandbox,
  type WitnessName,
} from "@inpod/sandbox";

export const CLI = fileURLToPath(new URL("../../../dist/cli.js", import.meta.url));
export const isRoot = process.getuid?.() === 0;

/** What has not come by then hangs: a busy machine may take ten times what it usually takes. */
const LINE_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 120_000;
const CONDITION_TIMEOUT_MS = 60_000;
const ANSWER_TIMEOUT_MS = 30_000;
/** Of one of many tries: who was stopped in between may never answer it. */
const TRY_TIMEOUT_MS = 2000;
const POLL_MS = 20;

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Options of `inpod exec` beside the target. */
  readonly flags?: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Default: none. */
  readonly stdin?: "pipe";
  /** Written to a file that `-f` names. */
  readonly config?: object;
  /** A program that runs inpod, with its first arguments. */
  readonly through?: readonly string[];
  /** What has not ended by then is killed. Default: two minutes. */
  readonly endTimeoutMs?: number;
  /** Another cli.js than that of dist/. */
  readonly cli?: string;
}

/** A program that is running, or has run: what it said, and how it ends. */
export class Run {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
  stdout = "";
  stderr = "";
  #isOver = false;
  /** Whoever waits for it to say something. */
  readonly #waiting = new Set<() => void>();

  constructor(child: ChildProcess, endTimeoutMs = END_TIMEOUT_MS) {
    this.child = child;
    const deadline = setTimeout(() => {
      this.stderr += `\n[the test killed it: not over after ${endTimeoutMs / 1000} s]\n`;
      this.signalGroup("SIGKILL");
    }, endTimeoutMs);
    child.stdout?.setEncoding("latin1").on("data", (text: string) => {
      this.stdout += text;
      this.#wake();
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#wake();
    });
    this.ended = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => {
        clearTimeout(deadline);
        this.#isOver = true;
        this.#wake();
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  get pid(): number {
    assert.ok(this.child.pid !== undefined);
    return this.child.pid;
  }

  /** Waits until stdout, or stderr, has said this. */
  async said(what: string | RegExp, stream: "stdout" | "stderr" = "stdout"): Promise<void> {
    const deadline = performance.now() + LINE_TIMEOUT_MS;
    const has = (): boolean =>
      typeof what === "string" ? this[stream].includes(what) : what.test(this[stream]);
    while (!has()) {
      const left = deadline - performance.now();
      if (this.#isOver || left <= 0) {
        const how = this.#isOver ? "it has ended" : `not within ${LINE_TIMEOUT_MS / 1000} s`;
        throw new Error(`it did not say ${what} (${how}):\n${this.stdout}\n${this.stderr}`);
      }
      const timer = new AbortController();
      const spoken = new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
      const late = delay(left, undefined, { signal: timer.signal }).catch(() => {});
      await Promise.race([spoken, late]);
      timer.abort();
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** As the terminal does: to the CLI and to the program. */
  signalGroup(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

const runs = new Set<Run>();

/** For afterEach: what a failed test has left running must not fail the next. */
export async function endRuns(): Promise<void> {
  for (const run of runs) {
    run.signalGroup("SIGKILL");
    await run.ended;
  }
}

/** Starts `inpod exec` beside the sandbox's pod. The caller awaits `ended`. */
export async function startInpod(
  sandbox: Sandbox,
  command: readonly string[],
  options: RunOptions = {},
): Promise<Run> {
  const flags = [...(options.flags ?? [])];
  const folder = options.config && (await mkdtemp(join(tmpdir(), "inpod-config-")));
  if (folder !== undefined) {
    await writeFile(join(folder, "inpod.json"), JSON.stringify(options.config));
    flags.push("-f", join(folder, "inpod.json"));
  }
  const words = ["exec", "--target", `process/${sandbox.pid}`, ...flags, "--", ...command];
  const run = startCli(sandbox, words, options);
  if (folder !== undefined) {
    const tidy = (): Promise<void> => rm(folder, { recursive: true });
    run.ended.then(tidy, tidy);
  }
  return run;
}

/** Starts inpod with these words. The caller awaits `ended`. */
export function startCli(
  sandbox: Sandbox,
  words: readonly string[],
  {
    through = [],
    cwd,
    env,
    stdin,
    endTimeoutMs,
    cli = CLI,
  }: Omit<RunOptions, "flags" | "config"> = {},
): Run {
  const run = new Run(
    sandbox.inLaptop([...through, process.execPath, cli, ...words], {
      cwd: cwd ?? tmpdir(),
      env: env ?? process.env,
      stdio: [stdin ?? "ignore", "pipe", "pipe"],
      detached: true,
    }),
    endTimeoutMs,
  );
  runs.add(run);
  const forget = (): void => {
    runs.delete(run);
  };
  run.ended.then(forget, forget);
  return run;
}

export async function runInpod(
  sandbox: Sandbox,
  command: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  return (await startInpod(sandbox, command, options)).ended;
}

/** Its command, or undefined after the test has been skipped because a toolchain is missing. */
export async function witness(
  name: WitnessName,
  t: { skip(why: string): void },
): Promise<readonly string[] | undefined> {
  const built = await buildWitness(name);
  if (built.kind === "ready") return built.argv;
  t.skip(built.why);
  return undefined;
}

/** Whether PATH has it. */
export const isThere = (program: string): boolean =>
  (process.env.PATH ?? "").split(":").some((folder) => existsSync(join(folder, program)));

/** Programs of npm's registry, which scripts/prepare.sh installs for tests. */
export const nodeProgram = (name: string): string =>
  fileURLToPath(
    new URL(`../../../.cache/node-programs/node_modules/.bin/${name}`, import.meta.url),
  );

/** For an argument of `sh -c`. */
export const quoted = (argv: readonly string[]): string =>
  argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");

/** Looks again and again, for what no event tells. `what`: for the failure. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  timeoutMs = CONDITION_TIMEOUT_MS,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() > deadline) {
      const said = [...runs].map((run) => `\n-- a session has said:\n${run.stdout}${run.stderr}`);
      throw new Error(`not within ${timeoutMs / 1000} s: ${what}${said.join("")}`);
    }
    await delay(POLL_MS);
  }
}

export async function podAnswers(
  sandbox: Sandbox,
  timeoutMs = ANSWER_TIMEOUT_MS,
): Promise<boolean> {
  try {
    const { body } = await sandbox.request({ timeoutMs });
    return body.startsWith("I am the pod");
  } catch {
    return false;
  }
}

/** For until(): whether it does so soon. */
export const podAnswersNow = (sandbox: Sandbox): Promise<boolean> =>
  podAnswers(sandbox, TRY_TIMEOUT_MS);

/** By a signal: SIGCONT before that is lost. */
export async function isStopped(pid: number): Promise<boolean> {
  return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
}

/** A zombie has ended. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
}

/** The machine's processes that belong to a session of inpod: by the mark in their environment, or by their program. */
export function sessionProcesses(): readonly string[] {
  const found: string[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0").join(" ");
      const state = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /s, "")[0];
      if (state === "Z") continue;
      const isOurs = /inpod-(enter|jobs|keeper|launch|mount)|dist\/(cli|agent|files)\.js/.test(
        command,
      );
      const isMarked = /(^|\0)INPOD_SESSION=/.test(environmentOf(pid));
      if (isOurs || isMarked) found.push(`${pid} ${command}`.trim());
    } catch {
      // it has ended meanwhile
    }
  }
  return found;
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1");
  } catch {
    return ""; // another user's
  }
}

/** What must be as before when a session is over, however it ended. */
export class Inventory {
  readonly #sandbox: Sandbox;
  readonly #inPod: ReadonlySet<number>;
  readonly #onMachine: ReadonlySet<string>;

  private constructor(
    sandbox: Sandbox,
    inPod: ReadonlySet<number>,
    onMachine: ReadonlySet<string>,
  ) {
    this.#sandbox = sandbox;
    this.#inPod = inPod;
    this.#onMachine = onMachine;
  }

  static async of(sandbox: Sandbox): Promise<Inventory> {
    const inPod = new Set((await sandbox.processes()).map(({ pid }) => pid));
    return new Inventory(sandbox, inPod, new Set(sessionProcesses()));
  }

  /** Other tests have sessions too: ours are known by the sandbox's pid, and by `word`, of the program's arguments. */
  async assertAsBefore(word?: string): Promise<void> {
    const { pid: target } = this.#sandbox;
    const words = [`process/${target} `, `--pid ${target} `, ...(word === undefined ? [] : [word])];
    const mine = (entry: string): boolean => words.some((text) => entry.includes(text));
    let left: string[] = [];
    const isClean = async (): Promise<boolean> => {
      const rules = await this.#sandbox.ruleset();
      const inPod = (await this.#sandbox.processes()).filter(({ pid }) => !this.#inPod.has(pid));
      const onMachine = sessionProcesses().filter(
        (entry) => !this.#onMachine.has(entry) && mine(entry),
      );
      left = [rules, ...inPod.map(({ pid, command }) => `${pid} ${command}`), ...onMachine];
      left = left.filter(Boolean);
      return left.length === 0;
    };
    await until("nothing of the session is left", isClean).catch((error: Error) => {
      throw new Error(`${error.message}; there is: ${left.join("; ")}`);
    });
    assert.ok(await podAnswers(this.#sandbox), "the pod does not answer again");
  }
}

/**
 * At the top of a file: a pod for its tests, what there was of sessions before them, and a folder.
 * What a test has left running ends with it.
 */
export async function useSandbox(options: SandboxOptions = {}): Promise<{
  readonly sandbox: Sandbox;
  readonly inventory: Inventory;
  readonly folder: string;
}> {
  const sandbox = await startSandbox(options);
  const folder = await mkdtemp(join(tmpdir(), "inpod-test-"));
  afterEach(endRuns);
  after(async () => {
    // Those of a before() that has failed.
    await endRuns();
    await sandbox.stop();
    await rm(folder, { recursive: true, force: true });
  });
  return { sandbox, inventory: await Inventory.of(sandbox), folder };
}

/**
 * What a witness has said of poll(2), as it is a moment later: whoever looks while his socket is being made one that was
 * refused, which takes several calls of ours, sees the error alone.
 */
export const whenRefused = (said: string): string =>
  said.replace(/^(poll:? 1) ERR$/gm, "$1 OUT ERR HUP");
