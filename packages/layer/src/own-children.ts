/** The processes that this one starts through Node: libuv waits for each by its number, and nobody else may. */
import type { ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";

/** Node's own channel: told of each ChildProcess when it is made. */
const CHANNEL = "child_process";

export class OwnChildren {
  readonly #running = new Set<ChildProcess>();

  /** Knows those that are started from now on. */
  constructor() {
    subscribe(CHANNEL, this.#started);
  }

  pids(): number[] {
    return [...this.#running].flatMap(({ pid }) => pid ?? []);
  }

  close(): void {
    unsubscribe(CHANNEL, this.#started);
  }

  readonly #started = (message: unknown): void => {
    const { process: child } = message as { readonly process: ChildProcess };
    this.#running.add(child);
    const forget = (): void => {
      this.#running.delete(child);
    };
    child.once("exit", forget);
    // Not started at all. A listener of "error" would hide one that nobody else has.
    setImmediate(() => {
      if (child.pid === undefined) forget();
    });
  };
}
