/** A part of `inpod up` as a process: its output in lines, its end, and how it is asked to come to it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";
import type { Io, Sink } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { Lines } from "./lines.ts";
import type { Part } from "./parts.ts";

/** What our end of it is in the part (lifeline.ts). */
export const LIFELINE_FD = 3;
/** For what is still in its pipes when it has ended. */
const OUTPUT_MS = 2_000;
const isWindows = process.platform === "win32";

export interface ChildParts {
  readonly io: Io;
  readonly prefix: (sink: Sink) => string;
}

export class Child {
  readonly part: Part;
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  #result: CommandResult | undefined;

  constructor(part: Part, words: readonly string[], { io, prefix }: ChildParts) {
    this.part = part;
    const [script = ""] = process.argv.slice(1);
    this.#child = spawn(process.execPath, [...process.execArgv, script, ...words], {
      cwd: part.directory,
      env: io.env,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      // A process group of its own: what a terminal would send to it, we send.
      detached: !isWindows,
    });
    const { stdout, stderr } = this.#child;
    const streams = [
      [stdout, new Lines(io.stdout, prefix(io.stdout))],
      [stderr, new Lines(io.stderr, prefix(io.stderr))],
    ] as const;
    for (const [stream, lines] of streams) stream?.on("data", (bytes) => lines.write(bytes));
    this.#child.stdio[LIFELINE_FD]?.on("error", () => {});
    this.ended = this.#follow(streams.map(([, lines]) => lines));
  }

  async #follow(all: readonly Lines[]): Promise<void> {
    const closed = once(this.#child, "close");
    closed.catch(() => {}); // one that cannot be started is told below
    try {
      const [code, signal] = (await once(this.#child, "exit")) as [number | null, NodeJS.Signals];
      this.#result = code === null ? { signal } : { code };
      // What it has left running may hold its output: that is of its group, or has gone away from it to stay.
      this.end("SIGTERM");
      const timer = setTimeout(() => {
        for (const stream of [this.#child.stdout, this.#child.stderr]) stream?.destroy();
      }, OUTPUT_MS);
      await closed;
      clearTimeout(timer);
    } catch (error) {
      this.#result = { code: 1 };
      all[1]?.write(Buffer.from(`inpod: it could not be started: ${String(error)}\n`));
    }
    for (const lines of all) lines.end();
  }

  get isRunning(): boolean {
    return this.#result === undefined;
  }

  get result(): CommandResult {
    return this.#result ?? { code: 1 };
  }

  end(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    if (isWindows) {
      // There a signal is the end at once; a part whose lifeline is cut undoes what it has made.
      if (signal === "SIGKILL") this.#child.kill();
      else (this.#child.stdio[LIFELINE_FD] as Writable | null)?.destroy();
      return;
    }
    try {
      process.kill(-pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
