/** A shell that stays, so that what it stands in (a session, a namespace, a pod) is entered once for many samples. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";

const COMMAND_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 10_000;
const STDERR_LIMIT_CHARS = 4_000;

export interface Ran {
  readonly stdout: string;
  /** From the command's line to the end of what it printed. */
  readonly ms: number;
}

export class Shell {
  readonly #child: ChildProcess;
  readonly #name: string;
  #stderr = "";
  #count = 0;
  #onLine: (line: string) => void = () => {};
  #onEnd: (why: string) => void = () => {};
  #ended: string | undefined;

  /** @param child `sh`, however it is reached, with pipes for all three streams */
  constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
    if (!child.stdout || !child.stderr || !child.stdin) throw new Error("a shell needs pipes");
    child.stdin.on("error", () => {}); // its end is told by "close"
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_LIMIT_CHARS);
    });
    createInterface(child.stdout).on("line", (line) => this.#onLine(line));
    const end = (why: string): void => {
      this.#ended ??= why;
      this.#onEnd(why);
    };
    child.once("error", (error) => end(error.message));
    child.once("close", (code, signal) => end(String(signal ?? code)));
  }

  /** One after another. @throws Error when the command fails, with what was said on stderr */
  async run(command: string): Promise<Ran> {
    this.#count += 1;
    const mark = `done ${this.#count} `;
    const lines: string[] = [];
    const began = performance.now();
    const status = await new Promise<string>((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new Error(`${this.#name}: ${command}: ${why}\n${this.#stderr}`));
      const timer = setTimeout(() => fail("no end"), COMMAND_TIMEOUT_MS);
      this.#onEnd = (why) => {
        clearTimeout(timer);
        fail(`the shell has ended (${why})`);
      };
      this.#onLine = (line) => {
        if (!line.startsWith(mark)) {
          lines.push(line);
          return;
        }
        clearTimeout(timer);
        resolve(line.slice(mark.length));
      };
      if (this.#ended !== undefined) this.#onEnd(this.#ended);
      this.#child.stdin?.write(`{ ${command}; } </dev/null; echo "${mark}$?"\n`);
    });
    const ms = performance.now() - began;
    if (status !== "0") {
      throw new Error(`${this.#name}: ${command}: status ${status}\n${this.#stderr}`);
    }
    return { stdout: lines.join("\n"), ms };
  }

  async numbers(command: string): Promise<readonly number[]> {
    const { stdout } = await this.run(command);
    return stdout.trim().split(/\s+/).map(Number);
  }

  /** Ends the shell and waits for everything around it. */
  async end(): Promise<void> {
    if (this.#ended !== undefined) return;
    const closed = once(this.#child, "close");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), END_TIMEOUT_MS);
    this.#child.stdin?.end();
    await closed;
    clearTimeout(timer);
  }
}
