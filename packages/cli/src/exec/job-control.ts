/**
 * Job control: a shell knows of us, and not of the command that we run for it. So when the command is stopped (Ctrl-Z,
 * `suspend`, by reading the terminal from the background) we stop, too, and the other way round. Before we do, the target
 * gets its traffic. A command that takes no notice of Ctrl-Z goes on, and we with it.
 */
import { constants } from "node:os";
import type { RunningTree } from "@inpod/layer";
import type { Session } from "@inpod/session";
import { hasDefaultAction, hasShell, statOf } from "./proc.ts";

export type Pausing = Pick<Session, "pause" | "resume">;
export type Suspending = Pick<RunningTree, "child" | "suspend" | "groupGot">;

/** How long stopping waits for the target to get its traffic back. */
const PAUSE_MS = 2000;
/** No event tells that a process has been stopped but SIGCHLD, by which libuv would take it for ended. */
const LOOK_MS = 250;
const QUICK_LOOK_MS = 20;
/** After the signal: an editor puts the terminal in order before it stops itself. */
const SETTLE_MS = 1000;
/** Whoever has not stopped by then did not get the signal (it was sent to us alone), or has no shell. */
const DEFAULT_ACTION_MS = 100;

export class JobControl {
  readonly #command: Suspending;
  readonly #session: Pausing;
  readonly #watch: NodeJS.Timeout | undefined;
  #isBusy = false;

  constructor(command: Suspending, session: Pausing) {
    this.#command = command;
    this.#session = session;
    if (hasShell()) {
      this.#watch = setInterval(() => {
        if (!this.#isBusy && this.#isStopped()) void this.#once(() => this.#stop());
      }, LOOK_MS).unref();
    }
  }

  close(): void {
    clearInterval(this.#watch);
  }

  /** SIGTTIN went to the whole process group, SIGTSTP perhaps to us alone. */
  arrived(signal: "SIGTSTP" | "SIGTTIN"): void {
    // Asked each time: what was not asked about would be told of the next one.
    const reached = this.#reachesCommand(signal);
    void this.#once(() => this.#follow(signal, reached));
  }

  /**
   * The command has got it, too, and it is its own affair what it does: who minds it by a handler may have none any more
   * when we look, and one that takes it may be slow.
   */
  async #reachesCommand(signal: "SIGTSTP" | "SIGTTIN"): Promise<boolean> {
    const { pid } = this.#command.child;
    const isInGroup = pid !== undefined && statOf(pid)?.group === statOf("self")?.group;
    return (await this.#command.groupGot(signal)) && isInGroup && this.#watch !== undefined;
  }

  async #once(work: () => Promise<void>): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    await work().finally(() => {
      this.#isBusy = false;
    });
  }

  #isStopped(): boolean {
    const { pid } = this.#command.child;
    return pid !== undefined && statOf(pid)?.state === "T";
  }

  async #follow(signal: "SIGTSTP" | "SIGTTIN", reached: Promise<boolean>): Promise<void> {
    const { child } = this.#command;
    const since = performance.now();
    const isLate = (ms: number): boolean => performance.now() - since > ms;
    while (!isLate(SETTLE_MS)) {
      if (this.#isStopped()) return this.#stop();
      const takesIt = hasDefaultAction(child.pid ?? 0, constants.signals.SIGTSTP);
      if (signal === "SIGTSTP" && takesIt && isLate(DEFAULT_ACTION_MS) && !(await reached)) {
        return this.#stop(() => child.kill("SIGSTOP"));
      }
      await new Promise((resolve) => setTimeout(resolve, QUICK_LOOK_MS));
    }
  }

  /** A SIGCONT meanwhile is for us too: who stopped after it would not be woken again. */
  async #stop(stopCommand?: () => void): Promise<void> {
    let isContinued = false;
    const onContinue = (): void => {
      isContinued = true;
    };
    process.once("SIGCONT", onContinue);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, PAUSE_MS);
    });
    await Promise.race([this.#session.pause().catch(() => {}), late]);
    clearTimeout(timer);
    // A signal that has arrived is told by the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    process.off("SIGCONT", onContinue);
    if (!isContinued) {
      stopCommand?.();
      await this.#command.suspend();
    }
    await this.#session.resume().catch(() => {});
  }
}
