/** A session with runner.cjs in it, started by a shell with job control, so that Ctrl-Z stops it as at a terminal. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { Sandbox } from "@inpod/sandbox";
import { commandOf, descendants } from "../processes.ts";
import { ENVIRONMENT, type Item } from "./items.ts";

const LINE_MS = 120_000;
const POLL_MS = 50;
const END_MS = 60_000;

/** The job has a group of its own, whose parent is of the same session: only then can it be stopped (setpgid(2)). */
const JOB_CONTROL = 'set -m; exec 3<&0; "$@" <&3 & wait -f $!';

export interface Work {
  readonly counts: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

export interface SessionOptions {
  readonly sandbox: Sandbox;
  readonly cli: string;
  readonly flags: readonly string[];
  /** INPOD_STATISTICS */
  readonly statistics: string;
  readonly folder: string;
  readonly seed: number;
  readonly width: number;
  readonly items: readonly Item[];
  readonly servers: readonly (readonly string[])[];
}

export class SoakSession {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterableIterator<string>;
  readonly #ended: Promise<unknown[]>;
  #talk = "";

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    if (!child.stdout) throw new Error("a session needs pipes");
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    this.#ended = once(child, "close");
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#talk = (this.#talk + text).slice(-20_000);
    });
  }

  static async start(name: string, options: SessionOptions): Promise<SoakSession> {
    const { sandbox, cli, folder, seed, width } = options;
    const inpod = [process.execPath, "--expose-gc", cli];
    const exec = [...inpod, "exec", "--target", `process/${sandbox.pid}`];
    const runner = [process.execPath, join(folder, "runner.cjs"), String(seed), String(width)];
    const lists = [JSON.stringify(options.items), JSON.stringify(options.servers)];
    const child = sandbox.inLaptop(
      ["bash", "-c", JOB_CONTROL, "soak", ...exec, ...options.flags, "--", ...runner, ...lists],
      {
        cwd: folder,
        env: { ...process.env, ...ENVIRONMENT, INPOD_STATISTICS: options.statistics },
        stdio: ["pipe", "pipe", "pipe"],
        detached: true,
      },
    );
    const session = new SoakSession(name, child);
    const first = await session.#line();
    if (first !== "ready") throw new Error(`${name} said ${first}`);
    return session;
  }

  /** What inpod, and the programs, said on stderr; the last of it. */
  get talk(): string {
    return this.#talk;
  }

  /** Of the CLI. */
  get pid(): number {
    const pid = descendants(this.#child.pid ?? 0).find((each) => {
      const [program = "", , script = ""] = commandOf(each);
      return program.endsWith("node") && script.endsWith("cli.js");
    });
    if (pid === undefined) throw new Error(`${this.name}: there is no CLI`);
    return pid;
  }

  async do(command: string): Promise<Work> {
    this.#child.stdin?.write(`${command}\n`);
    return JSON.parse(await this.#line(command)) as Work;
  }

  /** Ctrl-Z, and some time later fg. */
  async stopFor(ms: number): Promise<void> {
    const { pid } = this;
    process.kill(-pid, "SIGTSTP");
    await this.#state(pid, "T");
    await delay(ms);
    process.kill(-pid, "SIGCONT");
  }

  /** @throws Error when it does not end, or not with status 0 */
  async end(): Promise<void> {
    const deadline = setTimeout(() => process.kill(-(this.#child.pid ?? 0), "SIGKILL"), END_MS);
    this.#child.stdin?.end();
    const [code, signal] = await this.#ended;
    clearTimeout(deadline);
    if (code !== 0) throw new Error(`${this.name} ended with ${code} ${signal}: ${this.#talk}`);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async #state(pid: number, wanted: string): Promise<void> {
    const deadline = performance.now() + LINE_MS;
    while (/^State:\t(\w)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] !== wanted) {
      if (performance.now() > deadline) throw new Error(`${this.name}: not stopped by Ctrl-Z`);
      await delay(POLL_MS);
    }
  }

  async #line(what = "start"): Promise<string> {
    const [, ms = "0"] = what.split(" ");
    const timer = new AbortController();
    const late = delay(LINE_MS + Number(ms), undefined, { signal: timer.signal }).then(() => {
      throw new Error(`${this.name}: ${what}: no answer; it said: ${this.#talk}`);
    });
    try {
      const next = await Promise.race([this.#lines.next(), late]);
      if (next?.done) throw new Error(`${this.name} has ended: ${this.#talk}`);
      return next?.value ?? "";
    } finally {
      timer.abort();
      late.catch(() => {});
    }
  }
}
