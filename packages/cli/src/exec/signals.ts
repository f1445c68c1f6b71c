/**
 * Signals while a command runs in our place. What the terminal sends to the whole group (SIGINT, SIGQUIT,
 * SIGTSTP) has reached the command already and is never sent again: many programs take a second Ctrl-C as "at
 * once". SIGTERM and SIGHUP are passed on if they came to us alone. What stops is in job-control.ts.
 */
import { once } from "node:events";
import type { CommandResult } from "../result.ts";
import { JobControl, type Pausing, type Suspending } from "./job-control.ts";
import { statOf } from "./proc.ts";

const STOPPING = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
const PASSED_ON: readonly NodeJS.Signals[] = ["SIGTERM", "SIGHUP"];
/** What somebody presses who has no patience; who closes a terminal sends SIGHUP more than once. */
const KEYS: readonly NodeJS.Signals[] = ["SIGINT", "SIGQUIT"];
/** One Ctrl-C can arrive twice: npm passes on what the terminal has sent to its whole group. */
const SAME_KEY_MS = 300;

export interface EndListener {
  /** All is undone now. */
  first(): void;
  /** And that is not to be waited for. */
  again(signal: NodeJS.Signals): void;
}

export class Signals {
  readonly #abort = new AbortController();
  #command: Suspending | undefined;
  #afterCommand: (() => void) | undefined;
  #stoppedBy: NodeJS.Signals | undefined;
  #hasBegun = false;
  #firstMs: number | undefined;
  #listener: EndListener | undefined;
  readonly #handlers = new Map<NodeJS.Signals, () => void>();

  constructor() {
    for (const signal of STOPPING) this.#on(signal, () => this.#arrived(signal));
  }

  /** Aborts while no command runs. */
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

  /** Of signals that are for nobody but us. */
  listen(listener: EndListener): void {
    this.#listener = listener;
  }

  /** What was started stands: a signal is its end, and no interruption. @throws the reason of one that came before */
  hasBegun(): void {
    this.throwIfStopped();
    this.#hasBegun = true;
  }

  /** From now on signals are the command's. Resolves with its end. */
  async follow(command: Suspending, session: Pausing): Promise<CommandResult> {
    const { child } = command;
    this.#command = command;
    // It came before the command was there, or while it was becoming itself, to us alone.
    if (this.#stoppedBy) child.kill(this.#stoppedBy);
    const jobs = new JobControl(command, session);
    this.#on("SIGTSTP", () => jobs.arrived("SIGTSTP"));
    this.#on("SIGTTIN", () => jobs.arrived("SIGTTIN"));
    const [code, signal] =
      child.exitCode === null && child.signalCode === null
        ? ((await once(child, "exit")) as [number | null, NodeJS.Signals | null])
        : [child.exitCode, child.signalCode];
    jobs.close();
    return signal === null ? { code: code ?? 1 } : { signal };
  }

  /** From now on what would end the command is told instead: it has ended, and what it left has not. */
  afterCommand(onSignal: () => void): void {
    this.#afterCommand = onSignal;
  }

  /** The command has ended, with all that it left: signals are for us again. */
  hasEnded(): void {
    this.#hasBegun = true;
    this.#command = undefined;
    this.#afterCommand = undefined;
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
    if (this.#afterCommand) {
      this.#afterCommand();
      return;
    }
    if (this.#command) {
      if (PASSED_ON.includes(signal)) void passOn(this.#command, signal);
      return;
    }
    if (!this.#hasBegun) this.#stoppedBy ??= signal;
    this.#abort.abort(new Error(`stopped by ${signal}`));
    this.#end(signal);
  }

  #end(signal: NodeJS.Signals): void {
    const now = performance.now();
    if (this.#firstMs === undefined) {
      this.#firstMs = now;
      this.#listener?.first();
    } else if (KEYS.includes(signal) && now - this.#firstMs >= SAME_KEY_MS)
      this.#listener?.again(signal);
  }
}

async function passOn(command: Suspending, signal: NodeJS.Signals): Promise<void> {
  const { pid } = command.child;
  const gotIt = await command.groupGot(signal);
  const isInGroup = pid !== undefined && statOf(pid)?.group === statOf("self")?.group;
  if (!gotIt || !isInGroup) command.child.kill(signal);
}
