/** One stream of a Mux: its credit both ways and what waits to be sent. */

import type { StreamHeader, StreamOpened } from "./messages.ts";
import type { Mux } from "./mux.ts";

/**
 * Bytes that may be sent on every new stream before any CREDIT has come. Part of the protocol, and small: each end
 * answers for it 4096 times. The receiver widens it at once, as its budget allows.
 */
export const BASE_WINDOW = 8 * 1024;
/** Bytes: the receive window that a new stream is given, and the largest it can grow to. */
export const FIRST_WINDOW = 256 * 1024;
export const MAX_WINDOW = 4 * 1024 * 1024;
/** Bytes: each CREDIT is a message through everything on the way, the API server and kubelet among them. */
const MIN_CREDIT = 64 * 1024;
/**
 * A window that was consumed within so long may grow whatever the round trip is. On a busy machine the way there and back
 * takes many times as long as when it was measured; and each CREDIT wakes up all that is on the way, so that small windows
 * cost more of the processors. What other streams send waits behind such a window for no more than twice as long.
 */
const QUICK_MS = 25;
/** What part of the budget that is left a new stream takes at most, and one that grows: late ones get some too. */
const NEW_STREAM_SHARE = 1 / 64;
const GROWTH_SHARE = 1 / 4;

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
  sendCredit = BASE_WINDOW;
  isReady = false;
  isEnding = false;
  isEnded = false;
  #needsDrain = false;

  // Receiving.
  receiveLeft = BASE_WINDOW;
  hasEnded = false;
  isOpened = false;
  isDead = false;
  /** Received and not yet consumed. */
  unconsumed = 0;
  #window = BASE_WINDOW;
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

  /** Of the mux's budget; given back when the stream dies. */
  get grantedBytes(): number {
    return this.#window - BASE_WINDOW;
  }

  /** Called by Mux right behind our OPEN, and by accept(): with OPENED it is one wake-up of the other end. */
  openWindow(): void {
    const growth = this.#mux.grant(FIRST_WINDOW - BASE_WINDOW, NEW_STREAM_SHARE);
    if (growth > 0) this.#sendCredit(growth, growth);
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
    this.#mux.countQueued(bytes.length);
    this.#mux.streamReady(this);
    this.#needsDrain = this.queuedBytes >= this.#mux.queueLimit;
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
    this.#early = [];
    if (!this.isOpened) this.onRefused?.(errno, detail);
  }

  datagram(bytes: Uint8Array): boolean {
    return !this.isDead && this.#mux.sendDatagram(this, bytes);
  }

  accept(opened: StreamOpened): void {
    if (this.isDead || this.isOpened) return;
    this.isOpened = true;
    this.#mux.sendOpened(this, opened);
    this.openWindow();
  }

  /** The sink has taken them: the sender may send as many more, and twice as many at once if it waits for us. */
  consumed(bytes: number): void {
    if (this.isDead || this.hasEnded) return;
    // Never more than came: credit for it would let the sender overrun what this end has promised to hold.
    const taken = Math.min(bytes, this.unconsumed);
    this.unconsumed -= taken;
    this.#owed += taken;
    this.#windowBytes += taken;
    // Half of a window that is smaller than the least credit: else the sender would wait for ever.
    const due = Math.min(this.#window / 2, Math.max(MIN_CREDIT, this.#window / 8));
    if (this.#owed < due) return;
    const growth = this.#growth();
    this.#sendCredit(this.#owed + growth, growth);
    this.#owed = 0;
  }

  #sendCredit(bytes: number, growth: number): void {
    this.#window += growth;
    this.receiveLeft += bytes;
    this.#mux.sendCredit(this, bytes);
  }

  /** A window consumed in less than two round trips was the limit, not the link or the sink; one consumed soon is cheap. */
  #growth(): number {
    if (this.#windowBytes < this.#window) return 0;
    const nowMs = this.#mux.now();
    const tookMs = nowMs - this.#windowStartMs;
    this.#windowStartMs = nowMs;
    this.#windowBytes = 0;
    const rttMs = this.#mux.leastRttMs;
    if (rttMs === undefined || tookMs >= Math.max(2 * rttMs, QUICK_MS)) return 0;
    return this.#mux.grant(Math.min(this.#window, MAX_WINDOW - this.#window), GROWTH_SHARE);
  }

  /** Called by Mux after it has taken bytes off the queue. True: tell onDrain. */
  drained(): boolean {
    if (!this.#needsDrain || this.queuedBytes >= this.#mux.queueLimit) return false;
    this.#needsDrain = false;
    return true;
  }

  /** Forgotten by the mux; what is queued is dropped, what was received and not consumed no longer counts. */
  die(): void {
    if (this.isDead) return;
    this.isDead = true;
    this.queue.length = 0;
    this.#mux.countQueued(-this.queuedBytes);
    this.queuedBytes = 0;
    this.#mux.forget(this);
  }

  dieIfDone(): void {
    if (!this.isEnded || !this.hasEnded) return;
    this.die();
    // An acceptor that ends before it has answered: whoever waits for the answer must not wait for ever.
    if (!this.isOpened) this.onRefused?.("EPROTO", "the stream ended before it was opened");
  }
}
