/** What only another process of our group can do: ../native/jobs/main.c */
import { type ChildProcess, spawn } from "node:child_process";
import { constants, endianness } from "node:os";
import { join } from "node:path";
import { artifacts } from "./native.ts";

/** It answers within a millisecond. Without an answer a signal counts as ours alone, and is passed on. */
const ANSWER_MS = 500;

/** To be there before the command: see main.c. Nothing is forked when signals come. */
export class GroupHelper {
  readonly #process: ChildProcess;
  #asked: Promise<unknown> = Promise.resolve();

  constructor() {
    this.#process = spawn(join(artifacts, "inpod-jobs"), [], {
      stdio: ["pipe", "pipe", "ignore"],
      env: {},
      cwd: "/",
    });
    const { stdin, stdout } = this.#process;
    // Without it signals are passed on as if each were ours alone, and we are not stopped with the command.
    for (const part of [this.#process, stdin, stdout]) part?.on("error", () => {});
    this.#process.unref();
    for (const pipe of [stdin, stdout]) (pipe as unknown as { unref?(): void } | null)?.unref?.();
  }

  /** Whether the whole group has got it, the command included, since it was asked last about that signal. */
  async saw(signal: NodeJS.Signals): Promise<boolean> {
    return (await this.#inTurn(Buffer.of(constants.signals[signal]), ANSWER_MS)) === 1;
  }

  /**
   * Stops this process; resolves when it is continued, and the command with it, by whoever continues one of the two.
   * The command is stopped already.
   */
  async suspendWith({ pid }: ChildProcess): Promise<void> {
    if (pid === undefined) return;
    const question = Buffer.alloc(5);
    if (endianness() === "LE") question.writeInt32LE(pid, 1);
    else question.writeInt32BE(pid, 1);
    await this.#inTurn(question);
  }

  close(): void {
    this.#process.stdin?.end();
  }

  #inTurn(question: Buffer, timeoutMs?: number): Promise<number | undefined> {
    const answer = this.#asked.then(() => this.#ask(question, timeoutMs));
    this.#asked = answer;
    return answer;
  }

  /** Undefined: it does not answer, or not in time. */
  #ask(question: Buffer, timeoutMs: number | undefined): Promise<number | undefined> {
    const { stdin, stdout } = this.#process;
    return new Promise((resolve) => {
      const end = (answer?: number): void => {
        clearTimeout(timer);
        stdout?.off("data", onData);
        stdout?.off("close", onClose);
        resolve(answer);
      };
      const onData = (bytes: Buffer): void => end(bytes[0]);
      const onClose = (): void => end();
      const timer = timeoutMs === undefined ? undefined : setTimeout(end, timeoutMs);
      stdout?.on("data", onData);
      stdout?.on("close", onClose);
      if (stdin?.writable !== true || stdout?.destroyed) end();
      else stdin.write(question);
    });
  }
}
