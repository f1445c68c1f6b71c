/** Frames of HTTP/2 (RFC 9113, sections 4 and 6): read in any pieces, and written. */

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

/** Error codes (section 7). */
export const CODE = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  calm: 11,
} as const;

export const SETTING = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
} as const;

export const HEADER_BYTES = 9;
/** Bytes of a payload: what every end takes, and what ours allows. */
export const MAX_FRAME = 16_384;

/** The connection cannot go on: GOAWAY with this code. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: number;

  constructor(code: number, why: string) {
    super(why);
    this.code = code;
  }
}

export type OnFrame = (type: number, flags: number, streamId: number, payload: Uint8Array) => void;

const NOTHING = new Uint8Array(0);

export class FrameReader {
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerLength = 0;
  #payload: Uint8Array = NOTHING;
  #payloadLength = 0;

  /**
   * @param bytes not to be written to again: payloads are parts of it
   * @throws ConnectionError, also what `onFrame` throws
   */
  push(bytes: Uint8Array, onFrame: OnFrame): void {
    let at = this.#headerLength > 0 ? this.#complete(bytes, onFrame) : 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const length = lengthAt(bytes, at);
      const start = at + HEADER_BYTES;
      if (bytes.length - start < length) break;
      at = start + length;
      onFrame(
        bytes[start - 6] as number,
        bytes[start - 5] as number,
        uint31(bytes, start - 4),
        bytes.subarray(start, at),
      );
    }
    if (at < bytes.length) this.#complete(bytes.subarray(at), onFrame);
  }

  /** What belongs to a frame that did not come in one piece. @returns where that ends */
  #complete(bytes: Uint8Array, onFrame: OnFrame): number {
    let at = 0;
    while (this.#headerLength < HEADER_BYTES) {
      if (at === bytes.length) return at;
      this.#header[this.#headerLength++] = bytes[at++] as number;
      if (this.#headerLength === HEADER_BYTES) {
        const length = lengthAt(this.#header, 0);
        this.#payload = length === 0 ? NOTHING : new Uint8Array(length);
        this.#payloadLength = 0;
      }
    }
    const part = bytes.subarray(at, at + this.#payload.length - this.#payloadLength);
    this.#payload.set(part, this.#payloadLength);
    this.#payloadLength += part.length;
    at += part.length;
    if (this.#payloadLength < this.#payload.length) return at;
    const header = this.#header;
    const payload = this.#payload;
    this.#headerLength = 0;
    this.#payload = NOTHING;
    onFrame(header[3] as number, header[4] as number, uint31(header, 5), payload);
    return at;
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  const length =
    ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
  if (length > MAX_FRAME) throw new ConnectionError(CODE.frameSize, "a frame that is too long");
  return length;
}

export const uint31 = (bytes: Uint8Array, at: number): number => uint32(bytes, at) & 0x7fffffff;

export const uint32 = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)) >>>
  0;

/** Small frames share a block; nothing of it that was taken is written to again. */
const BLOCK = 4 * 1024;
/** Payloads from here on are passed on as they are. */
const BIG = 2048;

export class FrameWriter {
  #block = NOTHING;
  #start = 0;
  #end = 0;
  #done: Uint8Array[] = [];
  #length = 0;

  /** Bytes that were not taken. */
  get length(): number {
    return this.#length;
  }

  /** @param payload not to be written to again, if it is `DATA` */
  frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    this.#header(payload.length, type, flags, streamId);
    this.bytes(payload, type === FRAME.data);
  }

  frame32(type: number, streamId: number, value: number): void {
    this.#header(4, type, 0, streamId);
    this.#reserve(4);
    this.#uint32(value);
    this.#length += 4;
  }

  settings(values: readonly (readonly [id: number, value: number])[]): void {
    this.#header(values.length * 6, FRAME.settings, 0, 0);
    this.#reserve(values.length * 6);
    for (const [id, value] of values) {
      this.#block[this.#end++] = id >>> 8;
      this.#block[this.#end++] = id & 0xff;
      this.#uint32(value);
    }
    this.#length += values.length * 6;
  }

  goaway(lastStreamId: number, code: number, debug: Uint8Array): void {
    this.#header(8 + debug.length, FRAME.goaway, 0, 0);
    this.#reserve(8);
    this.#uint32(lastStreamId);
    this.#uint32(code);
    this.#length += 8;
    this.bytes(debug, false);
  }

  bytes(bytes: Uint8Array, isOwned: boolean): void {
    this.#length += bytes.length;
    if (isOwned && bytes.length >= BIG) {
      this.#cut();
      this.#done.push(bytes);
      return;
    }
    for (let at = 0; at < bytes.length; at += BLOCK) {
      const part = bytes.subarray(at, at + BLOCK);
      this.#reserve(part.length);
      this.#block.set(part, this.#end);
      this.#end += part.length;
    }
  }

  take(): Uint8Array[] {
    this.#cut();
    const done = this.#done;
    this.#done = [];
    this.#length = 0;
    return done;
  }

  #header(length: number, type: number, flags: number, streamId: number): void {
    this.#reserve(HEADER_BYTES);
    this.#block[this.#end++] = length >>> 16;
    this.#block[this.#end++] = (length >>> 8) & 0xff;
    this.#block[this.#end++] = length & 0xff;
    this.#block[this.#end++] = type;
    this.#block[this.#end++] = flags;
    this.#uint32(streamId);
    this.#length += HEADER_BYTES;
  }

  #uint32(value: number): void {
    this.#block[this.#end++] = value >>> 24;
    this.#block[this.#end++] = (value >>> 16) & 0xff;
    this.#block[this.#end++] = (value >>> 8) & 0xff;
    this.#block[this.#end++] = value & 0xff;
  }

  #reserve(bytes: number): void {
    if (this.#block.length - this.#end >= bytes) return;
    this.#cut();
    this.#block = new Uint8Array(BLOCK);
    this.#start = 0;
    this.#end = 0;
  }

  #cut(): void {
    if (this.#end > this.#start) this.#done.push(this.#block.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}
