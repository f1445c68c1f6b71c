/**
 * Signals while a command runs in our place. What the terminal sends to the whole group (SIGINT, SIGQUIT,
 * SIGTSTP) has reached the command already and is never sent again: many programs take a second Ctrl-C as "at
 * once". SIGTERM and SIGHUP come to us alone and are passed on.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { Session } from "@inpod/session";
import type { CommandResult } from "../result.ts";

const STOPPING = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
const PASSED_ON: readonly NodeJS.Signals[] = ["SIGTERM", "SIGHUP"];
/** How long Ctrl-Z waits for the target to get its traffic back. */
const PAUSE_MS = 2000;

type Pausing = Pick<Session, "pause" | "resume">;

export class Signals {
  readonly #abort = new AbortController();
  #child: ChildProcess | undefined;
  #stoppedBy: NodeJS.Signals | undefined;
  readonly #handlers = new Map<NodeJS.Signals, () => void>();

  constructor() {
    for (const signal of STOPPING) this.#on(signal, () => this.#arrived(signal));
  }

  /** Aborts while there is no command yet. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The signal that ended the start. */
  get stoppedBy(): NodeJS.Signals | undefined {
    return this.#stoppedBy;
  }

  throwIfStopped(): void {
    this.#abort.signal.throwIfAborted();
  }

  /** From now on signals are the command's. Resolves with its end. */
  async follow(child: ChildProcess, session: Pausing): Promise<CommandResult> {
    this.#child = child;
    this.#on("SIGTSTP", () => void this.#stopSelf(session));
    const [code, signal] =
      child.exitCode === null && child.signalCode === null
        ? ((await once(child, "exit")) as [number | null, NodeJS.Signals | null])
        : [child.exitCode, child.signalCode];
    return signal === null ? { code: code ?? 1 } : { signal };
  }

  close(): void {
    for (const [signal, handler] of this.#handlers) process.off(signal, handler);
    this.#handlers.clear();
  }

  #on(signal: NodeJS.Signals, handler: () => void): void {
    this.#handlers.set(signal, handler);
    process.on(signal, handler);
  }

  #arrived(signal: NodeJS.Signals): void {
    if (this.#child) {
      if (PASSED_ON.includes(signal)) this.#child.kill(signal);
      return;
    }
    this.#stoppedBy ??= signal;
    this.#abort.abort(new Error(`stopped by ${signal}`));
  }

  /**
   * Ctrl-Z: the command has stopped; before we do, the target gets its traffic. A SIGCONT meanwhile is for us
   * too: who stopped after it would not be woken again.
   */
  async #stopSelf(session: Pausing): Promise<void> {
    let isContinued = false;
    const onContinue = (): void => {
      isContinued = true;
      process.off("SIGCONT", onContinue);
      void session.resume().catch(() => {});
    };
    process.on("SIGCONT", onContinue);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, PAUSE_MS);
    });
    await Promise.race([session.pause().catch(() => {}), late]);
    clearTimeout(timer);
    // A signal that has arrived is told by the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    if (!isContinued) process.kill(process.pid, "SIGSTOP");
  }
}
