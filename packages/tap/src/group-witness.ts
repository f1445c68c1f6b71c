/** Which signals the whole process group has got, the command included: ../native/jobs/witness.c */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { artifacts } from "./native.ts";

/** It answers within a millisecond. Without an answer a signal counts as ours alone, and is passed on. */
const ANSWER_MS = 500;

export class GroupWitness {
  readonly #process: ChildProcess;
  #asked: Promise<unknown> = Promise.resolve();

  constructor() {
    this.#process = spawn(join(artifacts, "inpod-jobs"), ["witness"], {
      stdio: ["pipe", "pipe", "ignore"],
      env: {},
      cwd: "/",
    });
    const { stdin, stdout } = this.#process;
    // Without it signals are passed on as if each were ours alone.
    for (const part of [this.#process, stdin, stdout]) part?.on("error", () => {});
    this.#process.unref();
    for (const pipe of [stdin, stdout]) (pipe as unknown as { unref?(): void } | null)?.unref?.();
  }

  /** Since it was asked last about that signal. */
  async saw(signal: NodeJS.Signals): Promise<boolean> {
    const answer = this.#asked.then(() => this.#ask(signal));
    this.#asked = answer;
    return answer;
  }

  close(): void {
    this.#process.stdin?.end();
  }

  #ask(signal: NodeJS.Signals): Promise<boolean> {
    const { stdin, stdout } = this.#process;
    return new Promise((resolve) => {
      const end = (saw: boolean): void => {
        clearTimeout(timer);
        stdout?.off("data", onData);
        resolve(saw);
      };
      const onData = (bytes: Buffer): void => end(bytes[0] === 1);
      const timer = setTimeout(() => end(false), ANSWER_MS);
      stdout?.on("data", onData);
      if (stdin?.writable !== true) end(false);
      else stdin.write(Buffer.of(constants.signals[signal]));
    });
  }
}
