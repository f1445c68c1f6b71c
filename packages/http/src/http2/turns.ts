/**
 * Which stream sends next: header fields as they come, DATA in turns, as far as the other end's windows allow. The
 * connection opens the streams and ends them.
 */
import { CODE, ConnectionError, FLAG, FRAME, type FrameWriter } from "./frames.ts";
import { type Field, fieldBytes, HpackEncoder } from "./hpack.ts";
import { INITIAL_WINDOW, MAX_WINDOW, type Settings } from "./settings.ts";
import type { Item, Stream } from "./stream.ts";

/** Bytes of one stream, before another one's turn. */
const QUANTUM = 64 * 1024;

export interface TurnsHandlers<O> {
  /** DATA has been sent, or dropped. */
  onSent(stream: Stream<O>, bytes: number): void;
  /** END_STREAM has been sent. */
  onEnd(stream: Stream<O>): void;
  /** It is the turn of a reset. */
  onReset(stream: Stream<O>, code: number): void;
}

export class Turns<O> {
  /** Of header fields that wait. */
  waitingHeaderBytes = 0;
  readonly #writer: FrameWriter;
  readonly #peer: Settings;
  readonly #handlers: TurnsHandlers<O>;
  readonly #encoder = new HpackEncoder();
  /** DATA of all streams that the other end still takes. */
  #sendWindow = INITIAL_WINDOW;
  /** With something to send. */
  #ready: Stream<O>[] = [];
  /** That wait for the connection's window. */
  #starved: Stream<O>[] = [];

  /** @param peer what the other end allows, also when that changes */
  constructor(writer: FrameWriter, peer: Settings, handlers: TurnsHandlers<O>) {
    this.#writer = writer;
    this.#peer = peer;
    this.#handlers = handlers;
  }

  /** Some stream has something to send. */
  get isWaiting(): boolean {
    return this.#ready.length > 0 || this.#starved.length > 0;
  }

  push(stream: Stream<O>, item: Item): void {
    if (item.kind === "headers")
      for (const field of item.fields) this.waitingHeaderBytes += fieldBytes(field);
    stream.push(item);
    this.queue(stream);
  }

  /** It gets its turn, if it is open and has something to send. */
  queue(stream: Stream<O>): void {
    if (stream.isQueued || stream.id === 0 || stream.first === undefined) return;
    stream.isQueued = true;
    this.#ready.push(stream);
  }

  /** What waits of it is not sent. */
  drop(stream: Stream<O>): void {
    for (const { fields } of stream.waitingHeaders())
      for (const field of fields) this.waitingHeaderBytes -= fieldBytes(field);
    const dropped = stream.clear();
    if (dropped > 0) this.#handlers.onSent(stream, dropped);
  }

  /**
   * The window of all streams grows.
   * @throws ConnectionError beyond the largest that there can be
   */
  grow(bytes: number): void {
    this.#sendWindow += bytes;
    if (this.#sendWindow > MAX_WINDOW) {
      throw new ConnectionError(CODE.flowControl, "a window beyond 2^31-1");
    }
    for (const stream of this.#starved) this.#ready.push(stream);
    this.#starved = [];
  }

  limitTable(bytes: number): void {
    this.#encoder.limitTable(bytes);
  }

  /** The header fields that open it, at once; its DATA has its turn later. */
  open(stream: Stream<O>): void {
    this.#send(stream, 0);
  }

  all(): void {
    for (let next = 0; next < this.#ready.length; next++) {
      this.#send(this.#ready[next] as Stream<O>, QUANTUM);
    }
    this.#ready = [];
  }

  /** Its place in #ready is behind the others' after `quantum` bytes. */
  #send(stream: Stream<O>, quantum: number): void {
    let left = quantum;
    stream.isQueued = false;
    for (;;) {
      const item = stream.first;
      if (item === undefined || stream.isClosed) return;
      if (item.kind === "headers") {
        stream.shift();
        this.#sendHeaders(stream, item.fields, item.isEnd);
        if (item.isEnd) this.#handlers.onEnd(stream);
        continue;
      }
      if (item.kind === "reset") {
        this.#handlers.onReset(stream, item.code);
        return;
      }
      const allowed = Math.min(this.#sendWindow, stream.sendWindow, this.#peer.maxFrameSize);
      if (item.length > 0 && allowed <= 0) {
        if (stream.sendWindow > 0) {
          stream.isQueued = true;
          this.#starved.push(stream);
        }
        return;
      }
      if (left <= 0 && item.length > 0) {
        this.queue(stream);
        return;
      }
      const length = Math.min(item.length, allowed);
      const isLast = length === item.length;
      const isEnd = isLast && item.isEnd;
      const bytes = item.bytes.subarray(0, length);
      this.#writer.frame(FRAME.data, isEnd ? FLAG.endStream : 0, stream.id, bytes);
      this.#sendWindow -= length;
      stream.sendWindow -= length;
      stream.queuedBytes -= length;
      left -= length;
      if (isLast) stream.shift();
      else {
        item.bytes = item.bytes.subarray(length);
        item.length -= length;
      }
      this.#handlers.onSent(stream, length);
      if (isEnd) this.#handlers.onEnd(stream);
    }
  }

  #sendHeaders(stream: Stream<O>, fields: readonly Field[], isEnd: boolean): void {
    for (const field of fields) this.waitingHeaderBytes -= fieldBytes(field);
    const block = this.#encoder.encode(fields);
    const most = this.#peer.maxFrameSize;
    let type: number = FRAME.headers;
    let flags = isEnd ? FLAG.endStream : 0;
    for (let at = 0; at === 0 || at < block.length; at += most) {
      if (at + most >= block.length) flags |= FLAG.endHeaders;
      this.#writer.frame(type, flags, stream.id, block.subarray(at, at + most));
      type = FRAME.continuation;
      flags = 0;
    }
  }
}
