/** Copies of connections on their way to a session. What it does not take in time is dropped, and it is told. */
import { setTimeout as delay } from "node:timers/promises";
import type { OutgoingChannel } from "@inpod/tunnel";
import type { Sink } from "./streams.ts";

/** Bytes of one copy that the tunnel has not taken yet: a large upload comes faster than most tunnels take it. */
export const MAX_QUEUED = 32 * 1024 * 1024;
/** Smaller pieces are copied: else each would hold the whole chunk it came in. */
const SMALL = 16 * 1024;
/** For what was sent before a reset. */
const RESET_PATIENCE_MS = 5000;
const RESET_ROUND_MS = 10;

/** Something that keeps bytes of clients. */
export interface Keeper {
  /** Bytes that wait now. */
  look(): number;
}

/** Bytes that wait in all copies of all sessions. */
export class CopyBudget {
  readonly #limitBytes: number;
  readonly #keepers = new Set<Keeper>();
  /** As of the last look at each: never less than there is. */
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  add(keeper: Keeper): void {
    this.#keepers.add(keeper);
  }

  remove(keeper: Keeper, bytes: number): void {
    if (this.#keepers.delete(keeper)) this.#bytes -= bytes;
  }

  /** False: there is no room for so many more. */
  grow(bytes: number): boolean {
    this.#bytes += bytes;
    return this.#bytes <= this.#limitBytes || this.look() <= this.#limitBytes;
  }

  /** Bytes that wait now. */
  look(): number {
    this.#bytes = 0;
    for (const keeper of this.#keepers) this.#bytes += keeper.look();
    return this.#bytes;
  }
}

/** What one keeper has of a budget. */
export class Share implements Keeper {
  readonly #budget: CopyBudget;
  readonly #count: () => number;
  #counted = 0;

  constructor(budget: CopyBudget, count: () => number) {
    this.#budget = budget;
    this.#count = count;
    budget.add(this);
  }

  look(): number {
    this.#counted = this.#count();
    return this.#counted;
  }

  /** To be called when there may be more. False: it is too much, by itself or of all. */
  hasRoom(): boolean {
    const before = this.#counted;
    const waiting = this.look();
    return this.#budget.grow(waiting - before) && waiting <= MAX_QUEUED;
  }

  giveBack(): void {
    this.#budget.remove(this, this.#counted);
  }
}

export class Copy implements Sink {
  readonly #channel: OutgoingChannel;
  readonly #share: Share;
  readonly #onLimit: () => void;
  #isOver = false;
  #isFinished = false;
  #hasProgramEnd = false;

  /** @param onLimit once: it was ended because the session takes too little of it */
  constructor(channel: OutgoingChannel, budget: CopyBudget, onLimit: () => void) {
    this.#channel = channel;
    this.#share = new Share(budget, () => channel.queuedBytes);
    this.#onLimit = onLimit;
    // The session does not want it any more: what its program has closed, it does not read.
    channel.onReset = () => this.#finish();
    // Nothing that the program answers is sent; a session that does gets no credit for it.
    channel.onData = () => undefined;
    channel.onEnd = () => {
      this.#hasProgramEnd = true;
    };
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The program has closed its direction: it answers nothing more. Of all copies of a whole connection that is said at once. */
  get hasProgramEnd(): boolean {
    return this.#hasProgramEnd;
  }

  data(bytes: Uint8Array): void {
    if (this.#isOver) return;
    this.#channel.write(bytes.length < SMALL ? Buffer.from(bytes) : bytes);
    if (this.#share.hasRoom()) return;
    this.reset("ENOBUFS");
    this.#onLimit();
  }

  end(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#channel.end();
  }

  reset(errno: string): void {
    if (this.#isOver) return;
    // The target has seen what its client sent before it reset the connection, as proxies do with those they keep.
    if (errno === "ECONNRESET") {
      this.#isOver = true;
      void this.#resetBehind(errno);
      return;
    }
    this.#finish();
    this.#channel.reset(errno);
  }

  /** A reset overtakes what waits, and what has reached a session that has not passed it on yet. */
  async #resetBehind(errno: string): Promise<void> {
    const deadline = performance.now() + RESET_PATIENCE_MS;
    await Promise.race([
      this.#channel.opened.catch(() => undefined),
      delay(RESET_PATIENCE_MS, undefined, { ref: false }),
    ]);
    while (this.#channel.queuedBytes > 0 && !this.#isFinished && performance.now() < deadline)
      await delay(RESET_ROUND_MS);
    this.#finish();
    this.#channel.reset(errno);
  }

  #finish(): void {
    this.#isOver = true;
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#share.giveBack();
  }
}
