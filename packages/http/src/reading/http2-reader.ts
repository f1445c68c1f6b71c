/**
 * The requests of one HTTP/2 connection of which only the client's bytes are seen (RFC 9113), preface left out. Keeps header
 * blocks, never DATA.
 *
 * What the server allows is not seen either: frames and HPACK's table may be larger than what everybody takes.
 */
import { Unread } from "../bytes.ts";
import type { Header } from "../http1/head.ts";
import { HeaderBlocks } from "../http2/blocks.ts";
import { ConnectionError, FLAG, FRAME, HEADER_BYTES, uint31 } from "../http2/frames.ts";
import { type Field, HpackDecoder, HpackError } from "../http2/hpack.ts";
import { readRequest } from "../http2/request.ts";
import { NO_TRAILERS, type ReadEvent, type RequestEnd } from "./events.ts";

/** Bytes of a block, and of its fields. */
const MAX_BLOCK = 64 * 1024;
/** Of HPACK's table: what servers allow is 4096 nearly everywhere. */
const MAX_TABLE = 64 * 1024;
/** Requests under way; who opens more gives up the oldest, whose server may have ended it unseen. */
const MAX_STREAMS = 1000;

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  /** Bytes of the payload that are still to come. */
  left: number;
  /** DATA: of its end, dropped. Undefined: the first byte tells. */
  padding: number | undefined;
}

export class Http2Reader {
  readonly #emit: (event: ReadEvent) => void;
  readonly #nextId: () => number;
  readonly #decoder = new HpackDecoder(MAX_TABLE);
  readonly #blocks = new HeaderBlocks(MAX_BLOCK);
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerLength = 0;
  #frame: Frame | undefined;
  /** Of a frame whose payload is read as a whole. */
  #payload = new Unread();
  /** Ids of requests by their streams. */
  readonly #open = new Map<number, number>();
  #lastStream = 0;

  constructor(emit: (event: ReadEvent) => void, nextId: () => number) {
    this.#emit = emit;
    this.#nextId = nextId;
  }

  /** @returns why nothing more can be read; undefined: it goes on */
  push(bytes: Uint8Array): string | undefined {
    try {
      for (let at = 0; at < bytes.length; ) at = this.#step(bytes, at);
    } catch (error) {
      if (error instanceof ConnectionError || error instanceof HpackError) return error.message;
      throw error;
    }
    return undefined;
  }

  /** No more comes. */
  end(): void {
    for (const id of this.#open.values())
      this.#emit({ kind: "end", id, how: "unfinished", trailers: NO_TRAILERS });
    this.#open.clear();
  }

  /** @returns where it has read to, always beyond `from` */
  #step(bytes: Uint8Array, from: number): number {
    const frame = this.#frame;
    if (frame === undefined) {
      const end = Math.min(bytes.length, from + HEADER_BYTES - this.#headerLength);
      this.#header.set(bytes.subarray(from, end), this.#headerLength);
      this.#headerLength += end - from;
      if (this.#headerLength === HEADER_BYTES) this.#begin();
      return end;
    }
    const end = Math.min(bytes.length, from + frame.left);
    frame.left -= end - from;
    const part = bytes.subarray(from, end);
    if (frame.type === FRAME.data) this.#data(frame, part);
    else if (isWhole(frame)) this.#payload.append(part.slice());
    if (frame.left === 0) this.#complete(frame);
    return end;
  }

  #begin(): void {
    const [high = 0, middle = 0, low = 0, type = 0, flags = 0] = this.#header;
    const left = (high << 16) | (middle << 8) | low;
    const isPadded = type === FRAME.data && (flags & FLAG.padded) !== 0;
    const stream = uint31(this.#header, 5);
    const frame: Frame = { type, flags, stream, left, padding: isPadded ? undefined : 0 };
    this.#headerLength = 0;
    if (isWhole(frame) && left > MAX_BLOCK)
      throw new ConnectionError(0, "a header block that is too long");
    if (isPadded && left === 0) throw new ConnectionError(0, "too much padding");
    this.#frame = frame;
    if (left === 0) this.#complete(frame);
  }

  #data(frame: Frame, part: Uint8Array): void {
    let from = 0;
    if (frame.padding === undefined) {
      frame.padding = part[0] ?? 0;
      from = 1;
      if (frame.padding > frame.left + part.length - 1)
        throw new ConnectionError(0, "too much padding");
    }
    // Of what is still to come and this part, the last `padding` bytes are none of the body's.
    const to = part.length - Math.max(0, frame.padding - frame.left);
    const id = this.#open.get(frame.stream);
    if (id !== undefined && to > from)
      this.#emit({ kind: "body", id, bytes: part.subarray(from, to) });
  }

  #complete(frame: Frame): void {
    const { type, flags, stream } = frame;
    const payload = this.#payload.consume();
    this.#frame = undefined;
    const block = this.#blocks.frame(type, flags, stream, payload);
    if (block === "more") return;
    if (block !== undefined) this.#fields(block.streamId, block.bytes, block.isEnd);
    else if (type === FRAME.data && (flags & FLAG.endStream) !== 0) this.#end(stream, "whole");
    else if (type === FRAME.reset) this.#end(stream, "reset");
  }

  /** Each block is decoded, also one that is nobody's: the table is the connection's. */
  #fields(stream: number, bytes: Uint8Array, isEnd: boolean): void {
    const { fields, isTooLarge } = this.#decoder.decode(bytes, MAX_BLOCK);
    if (this.#open.has(stream)) {
      if (isEnd) this.#end(stream, "whole", headersOf(fields));
      return;
    }
    // Of one that has ended: its server may still have to hear of it, we do not.
    if (stream <= this.#lastStream) return;
    this.#lastStream = stream;
    if (isTooLarge) {
      this.#emit({
        kind: "note",
        why: `a request with header fields of more than ${MAX_BLOCK} bytes is left out`,
      });
      return;
    }
    const read = readRequest(fields);
    if (read.kind === "malformed") {
      this.#emit({ kind: "note", why: `a request that is malformed is left out: ${read.why}` });
      return;
    }
    const { method, target, headers } = read.facts;
    const scheme = fields.find(({ name }) => name === ":scheme")?.value;
    const host = headers.find(({ name }) => name === "host")?.value ?? "";
    const id = this.#nextId();
    this.#makeRoom();
    this.#open.set(stream, id);
    this.#emit({
      kind: "request",
      ...{ id, stream },
      request: { version: "2", method, target: target || host, scheme, headers },
    });
    if (isEnd) this.#end(stream, "whole");
  }

  #makeRoom(): void {
    if (this.#open.size < MAX_STREAMS) return;
    for (const oldest of this.#open.keys()) {
      this.#end(oldest, "unfinished");
      return;
    }
  }

  #end(stream: number, how: RequestEnd, trailers = NO_TRAILERS): void {
    const id = this.#open.get(stream);
    if (id === undefined) return;
    this.#open.delete(stream);
    this.#emit({ kind: "end", id, how, trailers });
  }
}

const isWhole = ({ type }: Frame): boolean => type === FRAME.headers || type === FRAME.continuation;

const headersOf = (fields: readonly Field[]): readonly Header[] =>
  fields.map(({ name, value }) => ({ name, value }));
