/**
 * RFC 6455 frames as a client reads and writes them. Pure: bytes in, events out; payloads are
 * handed on as they come and never collected, but for control frames (125 bytes at most).
 */

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export type FrameEvent =
  /** A piece of a binary message; `first`: its beginning, `last`: its end. May be empty. */
  | {
      readonly kind: "data";
      readonly bytes: Uint8Array;
      readonly first: boolean;
      readonly last: boolean;
    }
  | { readonly kind: "ping" | "pong"; readonly payload: Uint8Array }
  /** `code` 1005 (RFC 6455 section 7.1.5): the peer gave none. */
  | { readonly kind: "close"; readonly code: number; readonly reason: string };

/** The peer broke RFC 6455: nothing more can be read from the connection. */
export class WebSocketError extends Error {
  override readonly name = "WebSocketError";
}

const MAX_CONTROL = 125;
/** Two bytes, and at most eight of length: a server masks nothing. */
const MAX_HEADER = 10;
const EMPTY = new Uint8Array(0);

export class FrameParser {
  readonly #header = new Uint8Array(MAX_HEADER);
  #headerLength = 0;
  #inPayload = false;
  /** Bytes of the current frame's payload still to come. */
  #left = 0;
  #opcode = 0;
  #isFinal = false;
  #isFirst = false;
  /** Between the first and the last frame of a message. */
  #inMessage = false;
  readonly #control = new Uint8Array(MAX_CONTROL);
  #controlLength = 0;
  #isClosed = false;

  /**
   * @returns views into `bytes`, or copies where a control frame was cut
   * @throws WebSocketError; call no more after it. What follows a close frame is ignored.
   */
  push(bytes: Uint8Array): FrameEvent[] {
    const events: FrameEvent[] = [];
    let at = 0;
    while (at < bytes.length && !this.#isClosed) {
      if (!this.#inPayload) {
        this.#header[this.#headerLength++] = bytes[at++] ?? 0;
        if (!this.#readHeader()) continue;
        // An empty frame is complete with its header.
        if (this.#left === 0) this.#payload(EMPTY, events);
        continue;
      }
      const end = Math.min(bytes.length, at + this.#left);
      this.#payload(bytes.subarray(at, end), events);
      at = end;
    }
    return events;
  }

  /** False: more bytes are needed. */
  #readHeader(): boolean {
    const [first = 0, second = 0] = this.#header;
    if (this.#headerLength < 2) return false;
    const short = second & 0x7f;
    const need = short < 126 ? 2 : short === 126 ? 4 : MAX_HEADER;
    if (this.#headerLength < need) return false;
    this.#headerLength = 0;
    this.#inPayload = true;

    if ((first & 0x70) !== 0) throw new WebSocketError("reserved bits set, no extension agreed");
    if ((second & 0x80) !== 0) throw new WebSocketError("the server masked a frame");
    this.#isFinal = (first & 0x80) !== 0;
    this.#opcode = first & 0x0f;
    this.#left = this.#readLength(short);
    switch (this.#opcode) {
      case OPCODE.binary:
        if (this.#inMessage) throw new WebSocketError("a message began inside another");
        this.#isFirst = true;
        this.#inMessage = true;
        break;
      case OPCODE.continuation:
        if (!this.#inMessage) throw new WebSocketError("a continuation of nothing");
        break;
      case OPCODE.close:
      case OPCODE.ping:
      case OPCODE.pong:
        if (!this.#isFinal) throw new WebSocketError("a control frame in pieces");
        if (this.#left > MAX_CONTROL) throw new WebSocketError("a control frame is too long");
        this.#controlLength = 0;
        break;
      default:
        throw new WebSocketError(`opcode ${this.#opcode} was not expected`);
    }
    return true;
  }

  /** Section 5.2: the shortest form only, and 63 bits; beyond 2^53 no number holds it, nor any stream. */
  #readLength(short: number): number {
    if (short < 126) return short;
    const view = new DataView(this.#header.buffer);
    const length = short === 126 ? view.getUint16(2) : Number(view.getBigUint64(2));
    if (length < (short === 126 ? 126 : 0x10000) || !Number.isSafeInteger(length))
      throw new WebSocketError("a frame's length is badly written");
    return length;
  }

  #payload(bytes: Uint8Array, events: FrameEvent[]): void {
    this.#left -= bytes.length;
    const isComplete = this.#left === 0;
    if (isComplete) this.#inPayload = false;
    if (this.#opcode === OPCODE.binary || this.#opcode === OPCODE.continuation) {
      const last = isComplete && this.#isFinal;
      events.push({ kind: "data", bytes, first: this.#isFirst, last });
      this.#isFirst = false;
      if (last) this.#inMessage = false;
      return;
    }
    this.#control.set(bytes, this.#controlLength);
    this.#controlLength += bytes.length;
    if (isComplete) events.push(this.#controlEvent(this.#control.slice(0, this.#controlLength)));
  }

  #controlEvent(payload: Uint8Array): FrameEvent {
    if (this.#opcode === OPCODE.ping) return { kind: "ping", payload };
    if (this.#opcode === OPCODE.pong) return { kind: "pong", payload };
    if (payload.length === 1) throw new WebSocketError("half a close code");
    this.#isClosed = true;
    const [high, low] = payload;
    const code = high === undefined || low === undefined ? 1005 : high * 256 + low;
    return { kind: "close", code, reason: new TextDecoder().decode(payload.subarray(2)) };
  }
}

/**
 * A final frame's header with `mask`; the payload must be masked with the same (see maskInto).
 * `mask` of four zeros: the payload goes out as it is.
 */
export function encodeHeader(opcode: number, length: number, mask: Uint8Array): Uint8Array {
  const lengthBytes = length < 126 ? 0 : length < 0x10000 ? 2 : 8;
  const header = new Uint8Array(2 + lengthBytes + 4);
  const view = new DataView(header.buffer);
  header[0] = 0x80 | opcode;
  header[1] = 0x80 | (lengthBytes === 0 ? length : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) view.setUint16(2, length);
  if (lengthBytes === 8) view.setBigUint64(2, BigInt(length));
  header.set(mask, 2 + lengthBytes);
  return header;
}

/** A masked copy; `offset`: how many bytes of the frame's payload came before. Section 5.3. */
export function masked(bytes: Uint8Array, mask: Uint8Array, offset = 0): Uint8Array {
  const result = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at++)
    result[at] = (bytes[at] ?? 0) ^ (mask[(offset + at) & 3] ?? 0);
  return result;
}
