/**
 * One end of an HTTP/2 connection (RFC 9113) without its socket: bytes in, events out to the handlers, and bytes
 * to be sent. Server push, priorities and extensions that it does not know are not taken part in.
 *
 * Both directions of a stream are bounded by its windows, and all of them by the connection's: what has come is
 * paid back (`consume`) when whoever got it has passed it on.
 */

import { fromLatin1 } from "../bytes.ts";
import { HTTP2_PREFACE } from "../preface.ts";
import { HeaderBlocks } from "./blocks.ts";
import {
  CODE,
  ConnectionError,
  FLAG,
  FRAME,
  FrameReader,
  FrameWriter,
  SETTING,
  uint31,
  uint32,
} from "./frames.ts";
import { type Field, HpackDecoder, HpackError } from "./hpack.ts";
import { ReceiveWindows, STREAM_WINDOW } from "./receive-windows.ts";
import { applySettings, defaultSettings, MAX_WINDOW, type Settings } from "./settings.ts";
import { Stream } from "./stream.ts";
import { Turns } from "./turns.ts";

/** Streams that a server must have said nothing about. RFC 9113 recommends to allow no fewer. */
const UNKNOWN_CONCURRENCY = 100;
/** Own resets that are remembered: frames that crossed them are no mistake. */
const REMEMBERED_RESETS = 1000;
/** Pieces of a reason that is passed on. */
const MAX_DEBUG = 1024;

export interface Handlers<O> {
  /** Of a new stream if it has no owner. `isTooLarge`: some are missing. */
  onHeaders(stream: Stream<O>, fields: readonly Field[], isEnd: boolean, isTooLarge: boolean): void;
  onData(stream: Stream<O>, bytes: Uint8Array, isEnd: boolean): void;
  onReset(stream: Stream<O>, code: number): void;
  /** DATA has been sent, or dropped. */
  onSent(stream: Stream<O>, bytes: number): void;
  onSettings(): void;
  onGoaway(lastStreamId: number, code: number, debug: Uint8Array): void;
  onPong(payload: Uint8Array): void;
}

export interface ConnectionOptions<O> {
  /** `acceptor`: the other end opens the streams. */
  readonly role: "acceptor" | "opener";
  readonly handlers: Handlers<O>;
  /** Bytes of one message's header fields. */
  readonly maxHeaderListBytes: number;
  /** Streams that the other end may have open. */
  maxConcurrentStreams(): number;
}

export class Http2Connection<O> {
  /** What the other end allows. */
  readonly peer: Settings = defaultSettings();
  readonly streams = new Map<number, Stream<O>>();
  /** The last that the other end has opened. */
  lastStreamId = 0;
  hasPeerSettings = false;
  /** Nothing is sent meanwhile. */
  isBlocked = false;
  /** No stream is opened before the other end has said what it allows. */
  opensAfterSettings = false;
  readonly #options: ConnectionOptions<O>;
  readonly #handlers: Handlers<O>;
  readonly #reader = new FrameReader();
  readonly #writer = new FrameWriter();
  readonly #decoder = new HpackDecoder();
  readonly #windows = new ReceiveWindows(this.#writer);
  readonly #turns: Turns<O>;
  readonly #blocks: HeaderBlocks;
  /** Bytes of the preface that are still to come. */
  #prefaceLeft: number;
  #hasStarted = false;
  #error: ConnectionError | undefined;
  #nextId = 1;
  /** After our GOAWAY: later streams are not heard of. */
  #lastAllowed = MAX_WINDOW;
  readonly #ownResets = new Set<number>();
  /** That wait for their turn to be opened. */
  #opening: Stream<O>[] = [];

  constructor(options: ConnectionOptions<O>) {
    this.#options = options;
    this.#handlers = options.handlers;
    this.#blocks = new HeaderBlocks(options.maxHeaderListBytes);
    this.#turns = new Turns<O>(this.#writer, this.peer, {
      onSent: (stream, bytes) => this.#handlers.onSent(stream, bytes),
      onEnd: (stream) => this.#end(stream),
      onReset: (stream, code) => this.reset(stream, code),
    });
    this.#prefaceLeft = options.role === "acceptor" ? HTTP2_PREFACE.length : 0;
  }

  /** Why the connection is over, by a mistake of the other end. */
  get error(): ConnectionError | undefined {
    return this.#error;
  }

  /** No stream has anything to send or to hear. */
  get isIdle(): boolean {
    return this.streams.size === 0 && this.#opening.every(({ isClosed }) => isClosed);
  }

  /** Also those that were not opened yet. */
  all(): Stream<O>[] {
    return [...this.streams.values(), ...this.#opening.filter(({ isClosed }) => !isClosed)];
  }

  /** Stream ids are left. */
  get canOpen(): boolean {
    return this.#nextId + 2 * this.#opening.length < MAX_WINDOW;
  }

  /** Something waits that is not an answer to the other end's frames. */
  get hasSomethingToSay(): boolean {
    return this.#turns.isWaiting;
  }

  /** Of header fields that wait. */
  get waitingHeaderBytes(): number {
    return this.#turns.waitingHeaderBytes;
  }

  /** Our SETTINGS. To be called once, before anything is taken. */
  start(settings: readonly (readonly [id: number, value: number])[]): void {
    const answers = this.#writer.take();
    if (this.#options.role === "opener") this.#writer.bytes(HTTP2_PREFACE, false);
    this.#writer.settings([[SETTING.initialWindowSize, STREAM_WINDOW], ...settings]);
    this.#windows.open();
    for (const bytes of answers) this.#writer.bytes(bytes, false);
    this.#hasStarted = true;
  }

  settings(settings: readonly (readonly [id: number, value: number])[]): void {
    this.#writer.settings(settings);
  }

  /** @param bytes not to be written to again */
  push(bytes: Uint8Array): void {
    if (this.#error !== undefined) return;
    try {
      const rest = this.#prefaceLeft > 0 ? this.#withoutPreface(bytes) : bytes;
      this.#reader.push(rest, (type, flags, streamId, payload) => {
        if (this.#error === undefined) this.#onFrame(type, flags, streamId, payload);
      });
    } catch (error) {
      const failure =
        error instanceof HpackError ? new ConnectionError(CODE.compression, error.message) : error;
      if (!(failure instanceof ConnectionError)) throw failure;
      this.fail(failure);
    }
  }

  #withoutPreface(bytes: Uint8Array): Uint8Array {
    const expected = HTTP2_PREFACE.subarray(HTTP2_PREFACE.length - this.#prefaceLeft);
    for (let at = 0; at < Math.min(bytes.length, expected.length); at++) {
      if (bytes[at] !== expected[at]) throw new ConnectionError(CODE.protocol, "no preface");
    }
    this.#prefaceLeft = Math.max(0, this.#prefaceLeft - bytes.length);
    return bytes.subarray(expected.length);
  }

  /** Says so, and hears nothing more. */
  fail(error: ConnectionError): void {
    if (this.#error !== undefined) return;
    this.goaway(this.lastStreamId, error.code, fromLatin1(error.message));
    this.#error = error;
  }

  /** A new stream; its first header fields open it, as soon as the other end allows. */
  open(): Stream<O> {
    const stream = new Stream<O>(0, 0, STREAM_WINDOW);
    this.#opening.push(stream);
    return stream;
  }

  headers(stream: Stream<O>, fields: readonly Field[], isEnd: boolean): void {
    if (stream.isClosed) return;
    this.#turns.push(stream, { kind: "headers", fields, isEnd });
  }

  data(stream: Stream<O>, bytes: Uint8Array, isEnd: boolean): void {
    if (stream.isClosed) this.#handlers.onSent(stream, bytes.length);
    else {
      const { length } = bytes;
      this.#turns.push(stream, { kind: "data", bytes, length, isEnd, isOwn: false });
    }
  }

  /** After what waits. */
  resetAfter(stream: Stream<O>, code: number): void {
    if (stream.isClosed) return;
    if (stream.first === undefined) this.reset(stream, code);
    else stream.push({ kind: "reset", code });
  }

  /** At once; what waits is dropped. */
  reset(stream: Stream<O>, code: number): void {
    if (stream.isClosed) return;
    if (stream.id !== 0) {
      this.#writer.frame32(FRAME.reset, stream.id, code);
      this.#ownResets.add(stream.id);
      if (this.#ownResets.size > REMEMBERED_RESETS) {
        for (const oldest of this.#ownResets) {
          this.#ownResets.delete(oldest);
          break;
        }
      }
    }
    this.#close(stream);
  }

  /** DATA of this stream was passed on: the other end may send as much again. */
  consume(stream: Stream<O>, bytes: number): void {
    this.#windows.consume(stream, bytes);
  }

  /** @param lastStreamId of those that were or will be served */
  goaway(lastStreamId: number, code: number, debug: Uint8Array = new Uint8Array(0)): void {
    this.#lastAllowed = Math.min(this.#lastAllowed, lastStreamId);
    this.#writer.goaway(lastStreamId, code, debug.subarray(0, MAX_DEBUG));
  }

  ping(payload: Uint8Array): void {
    this.#writer.frame(FRAME.ping, 0, 0, payload);
  }

  /** Of answers and window updates that were not taken. */
  get waitingBytes(): number {
    return this.#writer.length;
  }

  /** What can be sent now, after all that was said before. Empty before start(), and while it is blocked. */
  take(): Uint8Array[] {
    if (!this.#hasStarted || this.isBlocked) return [];
    if (this.#error === undefined) this.#flush();
    return this.#writer.take();
  }

  #flush(): void {
    const most = this.hasPeerSettings ? this.peer.maxConcurrentStreams : UNKNOWN_CONCURRENCY;
    const mayOpen = this.hasPeerSettings || !this.opensAfterSettings;
    while (mayOpen && this.#opening.length > 0 && this.streams.size < most) {
      const stream = this.#opening[0] as Stream<O>;
      if (!stream.isClosed && stream.first === undefined) break;
      this.#opening.shift();
      if (stream.isClosed) continue;
      stream.id = this.#nextId;
      this.#nextId += 2;
      stream.sendWindow = this.peer.initialWindowSize;
      this.streams.set(stream.id, stream);
      // In the order of their ids.
      this.#turns.open(stream);
    }
    this.#turns.all();
  }

  #end(stream: Stream<O>): void {
    stream.isEnded = true;
    if (stream.isRemoteEnded && stream.first === undefined) this.#close(stream);
  }

  #remoteEnd(stream: Stream<O>): void {
    stream.isRemoteEnded = true;
    if (stream.isEnded && stream.first === undefined) this.#close(stream);
  }

  #close(stream: Stream<O>): void {
    if (stream.isClosed) return;
    stream.isClosed = true;
    this.streams.delete(stream.id);
    this.#turns.drop(stream);
  }

  #onFrame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    if (!this.hasPeerSettings && (type !== FRAME.settings || (flags & FLAG.ack) !== 0)) {
      throw new ConnectionError(CODE.protocol, "the first frame is not SETTINGS");
    }
    const block = this.#blocks.frame(type, flags, streamId, payload);
    if (block === "more") return;
    if (block !== undefined) {
      this.#onHeaders(block.streamId, block.bytes, block.isEnd);
      return;
    }
    switch (type) {
      case FRAME.data:
        this.#onData(streamId, flags, payload);
        return;
      case FRAME.reset: {
        expectLength(payload, 4);
        const stream = this.#find(streamId);
        if (stream === undefined) return;
        this.#close(stream);
        this.#handlers.onReset(stream, uint32(payload, 0));
        return;
      }
      case FRAME.settings:
        this.#onSettings(streamId, flags, payload);
        return;
      case FRAME.ping:
        expectLength(payload, 8);
        expectConnection(streamId);
        if ((flags & FLAG.ack) === 0) this.#writer.frame(FRAME.ping, FLAG.ack, 0, payload);
        else this.#handlers.onPong(payload);
        return;
      case FRAME.goaway:
        expectConnection(streamId);
        if (payload.length < 8) throw new ConnectionError(CODE.frameSize, "a short GOAWAY");
        this.#handlers.onGoaway(uint31(payload, 0), uint32(payload, 4), payload.subarray(8));
        return;
      case FRAME.windowUpdate:
        this.#onWindowUpdate(streamId, payload);
        return;
      case FRAME.priority:
        expectLength(payload, 5);
        if (streamId === 0) throw new ConnectionError(CODE.protocol, "PRIORITY of no stream");
        return;
      case FRAME.pushPromise:
        throw new ConnectionError(CODE.protocol, "PUSH_PROMISE was not asked for");
      default:
    }
  }

  /** @returns undefined: it is over */
  #find(streamId: number): Stream<O> | undefined {
    const stream = this.streams.get(streamId);
    if (stream === undefined && this.#isUnheardOf(streamId)) {
      throw new ConnectionError(CODE.protocol, "a frame of a stream that was not opened");
    }
    return stream;
  }

  #isUnheardOf(streamId: number): boolean {
    const isTheirs = this.#options.role === "acceptor";
    return streamId % 2 === 0 || streamId > (isTheirs ? this.lastStreamId : this.#nextId - 2);
  }

  #onHeaders(streamId: number, bytes: Uint8Array, isEnd: boolean): void {
    const limit = this.#options.maxHeaderListBytes;
    // Also of those that are refused: the table goes on.
    const { fields, isTooLarge } = this.#decoder.decode(bytes, limit);
    let stream = this.streams.get(streamId);
    if (stream?.isRemoteEnded) {
      throw new ConnectionError(CODE.streamClosed, "header fields after the end of a stream");
    }
    if (stream === undefined) {
      const isNew = this.#options.role === "acceptor" && this.#isUnheardOf(streamId);
      if (!isNew) {
        if (this.#find(streamId) === undefined && this.#ownResets.has(streamId)) return;
        if (this.#options.role === "opener") return;
        throw new ConnectionError(CODE.streamClosed, "header fields of a stream that is over");
      }
      if (streamId % 2 === 0) throw new ConnectionError(CODE.protocol, "a stream with an even id");
      this.lastStreamId = streamId;
      if (streamId > this.#lastAllowed) return;
      stream = new Stream<O>(streamId, this.peer.initialWindowSize, STREAM_WINDOW);
      this.streams.set(streamId, stream);
      if (this.streams.size > this.#options.maxConcurrentStreams()) {
        this.reset(stream, CODE.refused);
        return;
      }
    }
    if (isEnd) this.#remoteEnd(stream);
    this.#handlers.onHeaders(stream, fields, isEnd, isTooLarge);
  }

  #onData(streamId: number, flags: number, payload: Uint8Array): void {
    this.#windows.arrived(payload.length);
    const stream = this.#find(streamId);
    if (stream === undefined || stream.isRemoteEnded) {
      this.#windows.consumeOfNone(payload.length);
      if (stream !== undefined) {
        this.reset(stream, CODE.streamClosed);
        this.#handlers.onReset(stream, CODE.streamClosed);
      } else if (!this.#ownResets.has(streamId) && streamId <= this.#lastAllowed) {
        this.#writer.frame32(FRAME.reset, streamId, CODE.streamClosed);
      }
      return;
    }
    stream.receiveWindow -= payload.length;
    if (stream.receiveWindow < 0) {
      this.#windows.consumeOfNone(payload.length);
      this.reset(stream, CODE.flowControl);
      this.#handlers.onReset(stream, CODE.flowControl);
      return;
    }
    let bytes = payload;
    if ((flags & FLAG.padded) !== 0) {
      const padding = (payload[0] ?? payload.length) + 1;
      if (padding > payload.length) throw new ConnectionError(CODE.protocol, "too much padding");
      bytes = payload.subarray(1, payload.length - padding + 1);
      this.consume(stream, padding);
    }
    const isEnd = (flags & FLAG.endStream) !== 0;
    if (isEnd) this.#remoteEnd(stream);
    if (bytes.length > 0 || isEnd) this.#handlers.onData(stream, bytes, isEnd);
  }

  #onSettings(streamId: number, flags: number, payload: Uint8Array): void {
    expectConnection(streamId);
    const isAck = (flags & FLAG.ack) !== 0;
    if (isAck ? payload.length > 0 : payload.length % 6 !== 0) {
      throw new ConnectionError(CODE.frameSize, "SETTINGS of a wrong length");
    }
    if (isAck) return;
    const before = this.peer.initialWindowSize;
    applySettings(this.peer, payload, this.#options.role === "acceptor");
    const more = this.peer.initialWindowSize - before;
    for (const stream of more === 0 ? [] : this.streams.values()) {
      stream.sendWindow += more;
      if (stream.sendWindow > MAX_WINDOW) {
        throw new ConnectionError(CODE.flowControl, "a window beyond 2^31-1");
      }
      this.#turns.queue(stream);
    }
    this.#turns.limitTable(this.peer.headerTableSize);
    this.#writer.frame(FRAME.settings, FLAG.ack, 0, new Uint8Array(0));
    this.hasPeerSettings = true;
    this.#handlers.onSettings();
  }

  #onWindowUpdate(streamId: number, payload: Uint8Array): void {
    expectLength(payload, 4);
    const more = uint31(payload, 0);
    if (streamId === 0) {
      if (more === 0) throw new ConnectionError(CODE.protocol, "a WINDOW_UPDATE of nothing");
      this.#turns.grow(more);
      return;
    }
    const stream = this.#find(streamId);
    if (stream === undefined) return;
    stream.sendWindow += more;
    if (more === 0 || stream.sendWindow > MAX_WINDOW) {
      const code = more === 0 ? CODE.protocol : CODE.flowControl;
      this.reset(stream, code);
      this.#handlers.onReset(stream, code);
      return;
    }
    this.#turns.queue(stream);
  }
}

function expectLength(payload: Uint8Array, length: number): void {
  if (payload.length !== length) {
    throw new ConnectionError(CODE.frameSize, "a frame of a wrong length");
  }
}

function expectConnection(streamId: number): void {
  if (streamId !== 0) throw new ConnectionError(CODE.protocol, "a frame of a stream, out of place");
}
