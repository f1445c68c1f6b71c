/** The target's lives, one after the other: a container that is started again in its pod is the same target. */
import { setTimeout as delay } from "node:timers/promises";
import type { Enter } from "./control/enter.ts";
import type { EnterEvent } from "./control/messages.ts";
import { Failure } from "./failure.ts";
import type { Worker } from "./files/worker.ts";
import type { Log } from "./log.ts";

/** The cluster may know of a container a moment before its process is seen, or the old one's end. */
const PATIENCE_MS = 5000;
const RETRY_MS = 100;

export class Target {
  readonly #enter: Pick<Enter, "container">;
  readonly #worker: Pick<Worker, "started" | "gone">;
  readonly #log: Log;
  readonly #patienceMs: number;
  /** One at a time: several sessions learn of the same container. */
  #changes: Promise<unknown> = Promise.resolve();
  /** Undefined: it runs. `isFinal`: it will not run again. */
  goneBecause: { readonly detail: string; readonly isFinal: boolean } | undefined;
  onGone: (() => void) | undefined;

  constructor(
    enter: Pick<Enter, "container">,
    worker: Pick<Worker, "started" | "gone">,
    log: Log,
    patienceMs = PATIENCE_MS,
  ) {
    this.#enter = enter;
    this.#worker = worker;
    this.#log = log;
    this.#patienceMs = patienceMs;
  }

  take(event: Exclude<EnterEvent, { kind: "rules-lost" | "capture-lost" }>): void {
    switch (event.kind) {
      case "worker-ready":
        this.#worker.started(event.mark);
        this.goneBecause = undefined;
        return;
      case "worker-gone":
        this.#worker.gone("EIO", event.detail);
        return;
      case "target-gone":
        this.#worker.gone("ESTALE", event.detail);
        this.goneBecause = event;
        this.onGone?.();
    }
  }

  /** Idempotent. @throws Failure, see Enter.container() */
  container(id: string): Promise<void> {
    const change = this.#changes.then(() => this.#container(id));
    this.#changes = change.catch(() => undefined);
    return change;
  }

  async #container(id: string): Promise<void> {
    const until = performance.now() + this.#patienceMs;
    for (;;) {
      try {
        await this.#enter.container(id);
        this.goneBecause = undefined;
        this.#log("container", { id });
        return;
      } catch (error) {
        const isEarly = error instanceof Failure && /^(ESRCH|EBUSY)$/.test(error.errno);
        if (!isEarly || performance.now() > until) throw error;
      }
      await delay(RETRY_MS);
    }
  }
}
