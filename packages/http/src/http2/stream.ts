/** One stream at one end of its connection: what it may still send and receive, and what waits to be sent. */
import type { Field } from "./hpack.ts";

export type Item =
  | { readonly kind: "headers"; readonly fields: readonly Field[]; readonly isEnd: boolean }
  | { readonly kind: "data"; bytes: Uint8Array; length: number; isEnd: boolean; isOwn: boolean }
  | { readonly kind: "reset"; readonly code: number };

/** Bytes: DATA that waits is copied together up to here; otherwise a byte would keep 64 KiB, and cost an object. */
const JOINED = 16 * 1024;
const SMALL = 2048;

export class Stream<O> {
  /** 0: not opened yet. */
  id: number;
  /** Whose it is, above. */
  owner: O | undefined;
  /** DATA that the other end still takes. */
  sendWindow: number;
  /** DATA that we still take. */
  receiveWindow: number;
  /** What `receiveWindow` is filled up to; grows for who uses it. */
  fullWindow: number;
  /** Taken by whoever got it, and not given back as window yet. */
  consumed = 0;
  /** Given back in all. */
  passed = 0;
  /** We have said END_STREAM, or are about to. */
  isEnded = false;
  /** So has the other end. */
  isRemoteEnded = false;
  /** Nothing more is sent or heard. */
  isClosed = false;
  /** In one of the lists of its connection. */
  isQueued = false;
  readonly #items: Item[] = [];
  #next = 0;
  /** Of DATA that waits. */
  queuedBytes = 0;

  constructor(id: number, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.fullWindow = receiveWindow;
  }

  get first(): Item | undefined {
    return this.#items[this.#next];
  }

  push(item: Item): void {
    if (item.kind === "data") {
      this.queuedBytes += item.length;
      const last = this.#items.length > this.#next ? this.#items.at(-1) : undefined;
      if (last?.kind === "data" && !last.isEnd && join(last, item)) return;
      if (last !== undefined && item.length < SMALL) own(item);
    }
    this.#items.push(item);
  }

  shift(): void {
    this.#next += 1;
    if (this.#next === this.#items.length) this.clear();
  }

  waitingHeaders(): Extract<Item, { kind: "headers" }>[] {
    return this.#items.slice(this.#next).filter((item) => item.kind === "headers");
  }

  /** @returns bytes of DATA that are dropped */
  clear(): number {
    const dropped = this.queuedBytes;
    this.#items.length = 0;
    this.#next = 0;
    this.queuedBytes = 0;
    return dropped;
  }
}

type Data = Extract<Item, { kind: "data" }>;

function own(item: Data, needed = item.length): void {
  const bytes = new Uint8Array(Math.min(JOINED, Math.max(256, needed * 2)));
  bytes.set(item.bytes.subarray(0, item.length));
  item.bytes = bytes;
  item.isOwn = true;
}

/** @returns whether `last` has it now */
function join(last: Data, item: Data): boolean {
  const length = last.length + item.length;
  if (length > JOINED || item.length >= SMALL) return false;
  if (!last.isOwn || length > last.bytes.length) own(last, length);
  last.bytes.set(item.bytes.subarray(0, item.length), last.length);
  last.length = length;
  last.isEnd = item.isEnd;
  return true;
}
