/** One stream of a Mux: its credit both ways and what waits to be sent. */

import type { StreamHeader, StreamOpened } from "./messages.ts";
import type { Mux } from "./mux.ts";

/** Bytes: what a stream may queue before write() asks to stop. */
const WRITE_HIGH_WATER = 256 * 1024;
/** Bytes: the receive window at first and at most. */
export const FIRST_WINDOW = 256 * 1024;
export const MAX_WINDOW = 4 * 1024 * 1024;
const MIN_CREDIT = 32 * 1024;

export class MuxStream {
  readonly id: number;
  readonly header: StreamHeader;
  readonly isOurs: boolean;
  readonly #mux: Mux;

  onOpened: ((opened: StreamOpened) => void) | undefined;
  /** The stream was reset before it was opened. */
  onRefused: ((errno: string, detail: string) => void) | undefined;
  onDatagram: ((bytes: Uint8Array) => void) | undefined;
  onDrain: (() => void) | undefined;
  // What arrives before its handler is set waits for it: streams are opened with data right behind.
  #onData: ((bytes: Uint8Array) => void) | undefined;
  #onEnd: (() => void) | undefined;
  #onReset: ((errno: string, detail: string) => void) | undefined;
  #early: Uint8Array[] = [];
  #resetWith: { readonly errno: string; readonly detail: string } | undefined;

  // Sending. Used by Mux, which owns the order of frames.
  readonly queue: Uint8Array[] = [];
  queuedBytes = 0;
  sendCredit = FIRST_WINDOW;
  isReady = false;
  isEnding = false;
  isEnded = false;
  #needsDrain = false;

  // Receiving.
  receiveLeft = FIRST_WINDOW;
  hasEnded = false;
  isOpened = false;
  isDead = false;
  unconsumed = 0;
  #window = FIRST_WINDOW;
  #owed = 0;
  #windowStartMs: number;
  #windowBytes = 0;

  constructor(mux: Mux, id: number, header: StreamHeader, isOurs: boolean, nowMs: number) {
    this.#mux = mux;
    this.id = id;
    this.header = header;
    this.isOurs = isOurs;
    this.#windowStartMs = nowMs;
  }

  get onData(): ((bytes: Uint8Array) => void) | undefined {
    return this.#onData;
  }
  set onData(handler: ((bytes: Uint8Array) => void) | undefined) {
    this.#onData = handler;
    if (!handler) return;
    const early = this.#early;
    this.#early = [];
    for (const bytes of early) handler(bytes);
  }

  get onEnd(): (() => void) | undefined {
    return this.#onEnd;
  }
  set onEnd(handler: (() => void) | undefined) {
    this.#onEnd = handler;
    if (this.hasEnded) handler?.();
  }

  get onReset(): ((errno: string, detail: string) => void) | undefined {
    return this.#onReset;
  }
  set onReset(handler: ((errno: string, detail: string) => void) | undefined) {
    this.#onReset = handler;
    if (this.#resetWith) handler?.(this.#resetWith.errno, this.#resetWith.detail);
  }

  /** Called by Mux. */
  receive(bytes: Uint8Array): void {
    if (this.#onData) this.#onData(bytes);
    else this.#early.push(bytes);
  }

  /** Called by Mux: the other end sends no more. */
  receiveEnd(): void {
    this.hasEnded = true;
    this.#onEnd?.();
    this.dieIfDone();
  }

  /** Called by Mux: both directions are over, and not by us. */
  receiveReset(errno: string, detail: string): void {
    this.die();
    this.#early = [];
    this.#resetWith = { errno, detail };
    if (!this.isOpened) this.onRefused?.(errno, detail);
    this.#onReset?.(errno, detail);
  }

  write(bytes: Uint8Array): boolean {
    if (this.isDead || this.isEnding || bytes.length === 0) return true;
    this.queue.push(bytes);
    this.queuedBytes += bytes.length;
    this.#mux.streamReady(this);
    this.#needsDrain = this.queuedBytes >= WRITE_HIGH_WATER;
    return !this.#needsDrain;
  }

  end(): void {
    if (this.isDead || this.isEnding) return;
    this.isEnding = true;
    this.#mux.streamReady(this);
  }

  reset(errno: string, detail = ""): void {
    if (this.isDead) return;
    this.#mux.sendReset(this, errno, detail);
    this.die();
  }

  datagram(bytes: Uint8Array): boolean {
    return !this.isDead && this.#mux.sendDatagram(this, bytes);
  }

  accept(opened: StreamOpened): void {
    if (!this.isDead) this.#mux.sendOpened(this, opened);
  }

  /** The sink has taken them: the sender may send as many more, and twice as many at once if it waits for us. */
  consumed(bytes: number): void {
    if (this.isDead) return;
    this.unconsumed -= bytes;
    this.#mux.freed(bytes);
    if (this.hasEnded) return;
    this.#owed += bytes;
    this.#windowBytes += bytes;
    if (this.#owed < Math.max(MIN_CREDIT, this.#window / 8)) return;
    const credit = this.#owed + this.#growth();
    this.#owed = 0;
    this.receiveLeft += credit;
    this.#mux.sendCredit(this, credit);
  }

  /** A window consumed in less than two round trips was the limit, not the link or the sink. */
  #growth(): number {
    if (this.#windowBytes < this.#window) return 0;
    const nowMs = this.#mux.now();
    const tookMs = nowMs - this.#windowStartMs;
    this.#windowStartMs = nowMs;
    this.#windowBytes = 0;
    const rttMs = this.#mux.rttMs;
    if (rttMs === undefined || tookMs >= 2 * rttMs || this.#window >= MAX_WINDOW) return 0;
    const growth = this.#window;
    this.#window *= 2;
    return growth;
  }

  /** Called by Mux after it has taken bytes off the queue. True: tell onDrain. */
  drained(): boolean {
    if (!this.#needsDrain || this.queuedBytes >= WRITE_HIGH_WATER) return false;
    this.#needsDrain = false;
    return true;
  }

  /** Forgotten by the mux; what is queued is dropped, what was received and not consumed no longer counts. */
  die(): void {
    if (this.isDead) return;
    this.isDead = true;
    this.queue.length = 0;
    this.queuedBytes = 0;
    this.#mux.forget(this);
  }

  dieIfDone(): void {
    if (this.isEnded && this.hasEnded) this.die();
  }
}
