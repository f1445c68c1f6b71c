/**
 * The tunnel's core: many streams, datagrams and requests over one byte stream. Pure: bytes come in by
 * receive(), go out by take(), the clock is an argument. A peer that breaks the rules is a ProtocolError.
 */
import type { FrameHeader } from "./frames.ts";
import {
  decodeHeader,
  decodeJson,
  encodeFrame,
  encodeHeader,
  encodeJson,
  FIRST_IGNORABLE_TYPE,
  FrameType,
  HEADER_BYTES,
  MAX_CONTROL,
  MAX_DATA,
  ProtocolError,
} from "./frames.ts";
import type { AgentNotice, StreamHeader, StreamOpened, WireError } from "./messages.ts";
import {
  parseNotice,
  parseRequest,
  parseResponse,
  parseStreamHeader,
  parseStreamOpened,
  parseWireError,
} from "./parse.ts";
import { BASE_WINDOW, MuxStream } from "./stream.ts";

export interface MuxHandlers {
  /** There is something to take(). Called once until it was taken. */
  wantsFlush(): void;
  onStream(stream: MuxStream): void;
  onRequest(id: number, request: ReturnType<typeof parseRequest>): void;
  onResponse(id: number, response: ReturnType<typeof parseResponse>): void;
  onNotice(notice: AgentNotice): void;
  onGoaway(why: WireError): void;
  /** The answer to our ping(). */
  onPong?(): void;
  /** The other end asks faster than it listens: the tunnel must be given up. Called once. */
  onOverrun(): void;
}

export interface MuxOptions {
  readonly side: "session" | "agent";
  readonly handlers: MuxHandlers;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Bytes that may wait here in each direction; less than the usual where somebody else pays for the memory. */
  readonly bufferBudgetBytes?: number | undefined;
}

/** Bytes of one stream before the next gets its turn; while there is no next, a frame is as long as it may be. */
const QUANTUM = 32 * 1024;
const MAX_STREAMS = 4096;
/**
 * Bytes of receive windows beyond what every stream has (BASE_WINDOW): with those of MAX_STREAMS, never more than
 * 64 MiB wait here to be consumed. Promised credit cannot be taken back, so it is limited when it is promised.
 */
const WINDOW_BUDGET = 64 * 1024 * 1024 - MAX_STREAMS * BASE_WINDOW;
/** Bytes of all streams that wait for the link or for credit, before each stream may have no more than the least. */
const SEND_BUDGET = 16 * 1024 * 1024;
/** Bytes: what one stream may queue before its write() asks to stop, with much room left and with none. */
const MAX_QUEUE = 256 * 1024;
const MIN_QUEUE = 16 * 1024;
/** What part of the room that is left one stream may queue. */
const QUEUE_SHARE = 1 / 16;
/** Bytes of control frames that wait for the link: beyond, the peer asks faster than it listens. */
const MAX_QUEUED_CONTROL = 16 * 1024 * 1024;
/** A header is glued to a payload up to this size; else it is a write of its own (writev). */
const GLUE_BYTES = 512;
/** A small part of a large chunk is copied, else it would keep the whole chunk in memory. */
const COPY_BYTES = 8 * 1024;

const EMPTY = new Uint8Array();

export class Mux {
  readonly #handlers: MuxHandlers;
  readonly #isAgent: boolean;
  readonly #windowBudgetBytes: number;
  readonly now: () => number;
  readonly #streams = new Map<number, MuxStream>();
  #nextId: number;
  #lastPeerId = 0;
  #ready: MuxStream[] = [];
  #control: Uint8Array[] = [];
  #controlBytes = 0;
  #isFlushWanted = false;
  #isOverrun = false;
  #granted = 0;
  /** Of all streams. */
  #queuedBytes = 0;
  readonly #sendBudgetBytes: number;
  /** Set by the edge while the link takes no more. */
  isCongested = false;
  /** The last answer to a PING. It holds the time that the PING waited behind data. */
  rttMs: number | undefined;
  /** The least of them: the path without queues. A window tuned by the last one would feed on its own queue. */
  leastRttMs: number | undefined;
  #pingSentMs: number | undefined;

  // The frame that is being received.
  readonly #head = new Uint8Array(HEADER_BYTES);
  #headBytes = 0;
  #frame: FrameHeader | undefined;
  #payload: Uint8Array = EMPTY;
  #payloadBytes = 0;
  #dataLeft = 0;

  constructor({ side, handlers, now, bufferBudgetBytes = WINDOW_BUDGET }: MuxOptions) {
    this.#isAgent = side === "agent";
    this.#nextId = this.#isAgent ? 2 : 1;
    this.#handlers = handlers;
    this.now = now;
    this.#windowBudgetBytes = Math.min(bufferBudgetBytes, WINDOW_BUDGET);
    this.#sendBudgetBytes = Math.min(bufferBudgetBytes, SEND_BUDGET);
  }

  /** The edge batches differently for few and for many. */
  get streamCount(): number {
    return this.#streams.size;
  }

  // ---- sending

  open(header: StreamHeader): MuxStream {
    const stream = new MuxStream(this, this.#nextId, header, true, this.now());
    this.#nextId += 2;
    this.#streams.set(stream.id, stream);
    this.#send(encodeJson(FrameType.open, stream.id, header));
    stream.openWindow();
    return stream;
  }

  request(id: number, method: string, params: unknown): void {
    this.#send(encodeJson(FrameType.request, id, { method, params }));
  }

  respond(id: number, response: { result: unknown } | { error: WireError }): void {
    this.#send(encodeJson(FrameType.response, id, response));
  }

  notify(notice: AgentNotice): void {
    this.#send(encodeJson(FrameType.notice, 0, notice));
  }

  goaway(why: WireError): void {
    this.#send(encodeJson(FrameType.goaway, 0, why));
  }

  /** One at a time: a second one would be taken for the first when its answer comes. */
  ping(): void {
    if (this.#pingSentMs !== undefined) return;
    this.#pingSentMs = this.now();
    this.#send(encodeFrame(FrameType.ping, 0, new Uint8Array(8)));
  }

  sendReset(stream: MuxStream, errno: string, detail: string): void {
    this.#send(encodeJson(FrameType.reset, stream.id, { errno, detail }));
  }

  sendOpened(stream: MuxStream, opened: StreamOpened): void {
    this.#send(encodeJson(FrameType.opened, stream.id, opened));
  }

  sendCredit(stream: MuxStream, bytes: number): void {
    const payload = new Uint8Array(4);
    new DataView(payload.buffer).setUint32(0, bytes);
    this.#send(encodeFrame(FrameType.credit, stream.id, payload));
  }

  /** UDP: what the link cannot take now is dropped, never queued. */
  sendDatagram(stream: MuxStream, bytes: Uint8Array): boolean {
    if (this.isCongested || this.#controlBytes > MAX_CONTROL) return false;
    this.#send(encodeFrame(FrameType.datagram, stream.id, bytes));
    return true;
  }

  #send(frame: Uint8Array): void {
    if (this.#isOverrun) return;
    this.#control.push(frame);
    this.#controlBytes += frame.length;
    if (this.#controlBytes > MAX_QUEUED_CONTROL && !this.#isOverrun) {
      this.#isOverrun = true;
      this.#handlers.onOverrun();
    }
    if (!this.#isOverrun) this.#wantFlush();
  }

  /** @param bytes queued by a stream, or fewer by so many */
  countQueued(bytes: number): void {
    this.#queuedBytes += bytes;
  }

  /**
   * Bytes that a stream may queue now before it is asked to stop. What is queued waits for the reader at the other end:
   * hundreds of streams that nobody reads would each keep as much as the one that is read.
   */
  get queueLimit(): number {
    const room = (this.#sendBudgetBytes - this.#queuedBytes) * QUEUE_SHARE;
    return Math.min(MAX_QUEUE, Math.max(MIN_QUEUE, room));
  }

  streamReady(stream: MuxStream): void {
    if (stream.isReady || (stream.queuedBytes > 0 && stream.sendCredit === 0)) return;
    stream.isReady = true;
    this.#ready.push(stream);
    this.#wantFlush();
  }

  #wantFlush(): void {
    if (this.#isFlushWanted) return;
    this.#isFlushWanted = true;
    this.#handlers.wantsFlush();
  }

  get hasMore(): boolean {
    return this.#control.length > 0 || this.#ready.length > 0;
  }

  /**
   * What is to be written next: control frames first, then a quantum of each ready stream in turn, until
   * `limitBytes` is passed. `drained` may write again.
   */
  take(limitBytes: number): { chunks: Uint8Array[]; drained: MuxStream[] } {
    this.#isFlushWanted = false;
    const chunks = this.#control;
    let total = this.#controlBytes;
    this.#control = [];
    this.#controlBytes = 0;
    const drained: MuxStream[] = [];
    while (total < limitBytes) {
      const stream = this.#ready.shift();
      if (!stream) break;
      stream.isReady = false;
      if (stream.isDead) continue;
      total += this.#takeFrom(stream, chunks);
      if (stream.drained()) drained.push(stream);
    }
    return { chunks, drained };
  }

  #takeFrom(stream: MuxStream, chunks: Uint8Array[]): number {
    const turn = this.#ready.length > 0 ? QUANTUM : MAX_DATA;
    const bytes = Math.min(stream.queuedBytes, stream.sendCredit, turn);
    if (bytes > 0) {
      stream.queuedBytes -= bytes;
      stream.sendCredit -= bytes;
      this.#queuedBytes -= bytes;
      takeBytes(stream, bytes, chunks);
    } else if (stream.isEnding && !stream.isEnded && stream.queuedBytes === 0) {
      stream.isEnded = true;
      chunks.push(encodeFrame(FrameType.fin, stream.id, EMPTY));
      stream.dieIfDone();
    }
    const hasEnd = stream.queuedBytes === 0 && stream.isEnding && !stream.isEnded;
    if (hasEnd || (stream.queuedBytes > 0 && stream.sendCredit > 0)) {
      stream.isReady = true;
      this.#ready.push(stream);
    }
    return bytes + HEADER_BYTES;
  }

  forget(stream: MuxStream): void {
    if (!this.#streams.delete(stream.id)) return;
    this.#granted -= stream.grantedBytes;
  }

  /** @returns bytes by which a window may grow: at most `wanted`, and no more than `share` of the budget that is left */
  grant(wanted: number, share: number): number {
    const bytes = Math.min(wanted, Math.floor((this.#windowBudgetBytes - this.#granted) * share));
    this.#granted += bytes;
    return bytes;
  }

  /** The link is gone: every stream ends with `errno`. */
  abort(errno: string, detail: string): void {
    for (const stream of [...this.#streams.values()]) {
      stream.receiveReset(errno, detail);
    }
  }

  // ---- receiving

  /** @throws ProtocolError: the tunnel is of no more use */
  receive(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#dataLeft > 0) at += this.#receiveData(chunk, at);
      else if (this.#frame) at += this.#receivePayload(chunk, at);
      else at += this.#receiveHeader(chunk, at);
    }
  }

  #receiveHeader(chunk: Uint8Array, at: number): number {
    let header: FrameHeader;
    let used: number;
    if (this.#headBytes === 0 && chunk.length - at >= HEADER_BYTES) {
      header = decodeHeader(chunk, at);
      used = HEADER_BYTES;
    } else {
      used = Math.min(HEADER_BYTES - this.#headBytes, chunk.length - at);
      this.#head.set(chunk.subarray(at, at + used), this.#headBytes);
      this.#headBytes += used;
      if (this.#headBytes < HEADER_BYTES) return used;
      this.#headBytes = 0;
      header = decodeHeader(this.#head, 0);
    }
    this.#frame = header;
    if (header.type === FrameType.data) {
      this.#beginData(header);
    } else if (header.length === 0) {
      this.#frame = undefined;
      this.#dispatch(header, EMPTY);
    } else {
      this.#payload = new Uint8Array(header.length);
      this.#payloadBytes = 0;
    }
    return used;
  }

  #receivePayload(chunk: Uint8Array, at: number): number {
    const used = Math.min(this.#payload.length - this.#payloadBytes, chunk.length - at);
    this.#payload.set(chunk.subarray(at, at + used), this.#payloadBytes);
    this.#payloadBytes += used;
    if (this.#payloadBytes < this.#payload.length) return used;
    const header = this.#frame as FrameHeader;
    const payload = this.#payload;
    this.#frame = undefined;
    this.#payload = EMPTY;
    this.#dispatch(header, payload);
    return used;
  }

  #beginData({ id, length }: FrameHeader): void {
    this.#dataLeft = length;
    if (length === 0) this.#frame = undefined;
    const stream = this.#find(id);
    if (!stream) return;
    if (stream.hasEnded) throw new ProtocolError(`data after the end of stream ${id}`);
    stream.receiveLeft -= length;
    if (stream.receiveLeft < 0) throw new ProtocolError(`stream ${id} has overrun its window`);
  }

  /** Data is passed on as it arrives, not frame by frame. */
  #receiveData(chunk: Uint8Array, at: number): number {
    const used = Math.min(this.#dataLeft, chunk.length - at);
    this.#dataLeft -= used;
    const { id } = this.#frame as FrameHeader;
    if (this.#dataLeft === 0) this.#frame = undefined;
    const stream = this.#streams.get(id);
    if (!stream) return used;
    const part = chunk.subarray(at, at + used);
    const isSmall = used < COPY_BYTES && used * 8 < chunk.length;
    stream.unconsumed += used;
    stream.receive(isSmall ? part.slice() : part);
    return used;
  }

  /** undefined: the stream has ended, and this was under way. @throws ProtocolError for one that never was */
  #find(id: number): MuxStream | undefined {
    const stream = this.#streams.get(id);
    if (stream) return stream;
    const isPeers = (id % 2 === 0) !== this.#isAgent;
    if (id === 0 || (isPeers ? id > this.#lastPeerId : id >= this.#nextId)) {
      throw new ProtocolError(`stream ${id} was never opened`);
    }
    return undefined;
  }

  #dispatch({ type, id }: FrameHeader, payload: Uint8Array): void {
    switch (type) {
      case FrameType.open:
        this.#opened(id, parseStreamHeader(decodeJson(payload)));
        return;
      case FrameType.opened: {
        const stream = this.#find(id);
        const opened = parseStreamOpened(decodeJson(payload));
        if (!stream) return;
        if (!stream.isOurs || stream.isOpened || opened.kind !== stream.header.kind) {
          throw new ProtocolError(`stream ${id} opened out of turn`);
        }
        stream.isOpened = true;
        stream.onOpened?.(opened);
        return;
      }
      case FrameType.fin: {
        const stream = this.#find(id);
        if (!stream) return;
        if (stream.hasEnded) throw new ProtocolError(`stream ${id} ended twice`);
        stream.receiveEnd();
        return;
      }
      case FrameType.reset: {
        const { errno, detail } = parseWireError(decodeJson(payload));
        this.#find(id)?.receiveReset(errno, detail);
        return;
      }
      case FrameType.credit: {
        if (payload.length !== 4) throw new ProtocolError("credit of another size");
        const bytes = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
        const stream = this.#find(id);
        if (!stream) return;
        stream.sendCredit += bytes;
        if (stream.sendCredit > 0xffff_ffff) throw new ProtocolError("credit without end");
        if (stream.queuedBytes > 0) this.streamReady(stream);
        return;
      }
      case FrameType.datagram:
        this.#find(id)?.onDatagram?.(payload);
        return;
      case FrameType.ping:
        if (payload.length !== 8) throw new ProtocolError("ping of another size");
        this.#send(encodeFrame(FrameType.pong, 0, payload));
        return;
      case FrameType.pong:
        if (this.#pingSentMs === undefined) return;
        this.rttMs = this.now() - this.#pingSentMs;
        this.leastRttMs = Math.min(this.rttMs, this.leastRttMs ?? this.rttMs);
        this.#pingSentMs = undefined;
        this.#handlers.onPong?.();
        return;
      case FrameType.request:
        if (!this.#isAgent) throw new ProtocolError("an agent does not ask");
        this.#handlers.onRequest(id, parseRequest(decodeJson(payload)));
        return;
      case FrameType.response:
        this.#handlers.onResponse(id, parseResponse(decodeJson(payload)));
        return;
      case FrameType.notice:
        this.#handlers.onNotice(parseNotice(decodeJson(payload)));
        return;
      case FrameType.goaway:
        this.#handlers.onGoaway(parseWireError(decodeJson(payload)));
        return;
      default:
        if (type < FIRST_IGNORABLE_TYPE) throw new ProtocolError(`frame of type ${type}`);
    }
  }

  #opened(id: number, header: StreamHeader): void {
    const isPeers = (id % 2 === 0) !== this.#isAgent;
    if (!isPeers || id <= this.#lastPeerId)
      throw new ProtocolError(`stream ${id} cannot be opened`);
    if ((header.kind === "incoming") === this.#isAgent) {
      throw new ProtocolError(`a stream of kind ${header.kind} from this side`);
    }
    this.#lastPeerId = id;
    const stream = new MuxStream(this, id, header, false, this.now());
    this.#streams.set(id, stream);
    if (this.#streams.size > MAX_STREAMS) stream.reset("EMFILE", "too many streams");
    else this.#handlers.onStream(stream);
  }
}

/** Moves `bytes` of a stream's queue into one DATA frame. */
function takeBytes(stream: MuxStream, bytes: number, chunks: Uint8Array[]): void {
  const first = stream.queue[0] as Uint8Array;
  if (first.length >= bytes && bytes <= GLUE_BYTES) {
    chunks.push(encodeFrame(FrameType.data, stream.id, first.subarray(0, bytes)));
    if (first.length === bytes) stream.queue.shift();
    else stream.queue[0] = first.subarray(bytes);
    return;
  }
  const header = new Uint8Array(HEADER_BYTES);
  encodeHeader(header, FrameType.data, bytes, stream.id);
  chunks.push(header);
  for (let left = bytes; left > 0; ) {
    const head = stream.queue[0] as Uint8Array;
    if (head.length <= left) {
      stream.queue.shift();
      chunks.push(head);
      left -= head.length;
    } else {
      chunks.push(head.subarray(0, left));
      stream.queue[0] = head.subarray(left);
      left = 0;
    }
  }
}
