/** Copies of connections on their way to a session. What it does not take in time is dropped, and it is told. */
import type { Channel } from "@inpod/tunnel";
import type { Sink } from "./streams.ts";

/** Bytes of one copy that the tunnel has not taken yet: a large upload comes faster than most tunnels take it. */
const MAX_QUEUED = 32 * 1024 * 1024;
/** Smaller pieces are copied: else each would hold the whole chunk it came in. */
const SMALL = 16 * 1024;

/** Bytes that wait in all copies of all sessions. */
export class CopyBudget {
  readonly #limitBytes: number;
  readonly #copies = new Set<Copy>();
  /** As of the last look at each: never less than there is. */
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  add(copy: Copy): void {
    this.#copies.add(copy);
  }

  remove(copy: Copy, bytes: number): void {
    if (this.#copies.delete(copy)) this.#bytes -= bytes;
  }

  /** False: there is no room for so many more. */
  grow(bytes: number): boolean {
    this.#bytes += bytes;
    if (this.#bytes <= this.#limitBytes) return true;
    this.#bytes = 0;
    for (const copy of this.#copies) this.#bytes += copy.look();
    return this.#bytes <= this.#limitBytes;
  }
}

export class Copy implements Sink {
  readonly #channel: Channel;
  readonly #budget: CopyBudget;
  readonly #onLimit: () => void;
  #counted = 0;
  #isOver = false;

  /** @param onLimit once: it was ended because the session takes too little of it */
  constructor(channel: Channel, budget: CopyBudget, onLimit: () => void) {
    this.#channel = channel;
    this.#budget = budget;
    this.#onLimit = onLimit;
    budget.add(this);
    // The session does not want it any more: what its program has closed, it does not read.
    channel.onReset = () => this.#finish();
    // Nothing that the program answers is sent; a session that does gets no credit for it.
    channel.onData = () => undefined;
  }

  /** Bytes that wait now. */
  look(): number {
    this.#counted = this.#channel.queuedBytes;
    return this.#counted;
  }

  data(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#channel.write(bytes.length < SMALL ? Buffer.from(bytes) : bytes);
    const before = this.#counted;
    const waiting = this.look();
    if (this.#budget.grow(waiting - before) && waiting <= MAX_QUEUED) return;
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
    this.#finish();
    this.#channel.reset(errno);
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#budget.remove(this, this.#counted);
  }
}
