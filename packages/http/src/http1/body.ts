/** Follows a body to its end, in any pieces. Keeps no byte, changes none. */

import type { Body } from "./framing.ts";
import { MAX_HEAD } from "./head.ts";
import { isTokenByte } from "./request-line.ts";

/** Bytes of a chunk's size with its extensions. Go takes 4096. */
const MAX_CHUNK_LINE = 4096;
/** Hexadecimal digits: below 2^53. */
const MAX_SIZE_DIGITS = 13;

/** What the sender wants to say with bytes `from` to `to` of `bytes`: chunk sizes and trailers left out. */
export type OnPayload = (bytes: Uint8Array, from: number, to: number) => void;

type ChunkState =
  | "size-start"
  | "size"
  | "extension"
  | "size-lf"
  | "data"
  | "data-cr"
  | "data-lf"
  | "trailer-start"
  | "trailer-name"
  | "trailer"
  | "trailer-lf"
  | "end-lf";

export class BodyReader {
  #isDone: boolean;
  #malformed: string | undefined;
  readonly #kind: Body["kind"];
  readonly #onPayload: OnPayload;
  #state: ChunkState = "size-start";
  /** Bytes to come: of the body, or of the chunk. */
  #left: number;
  #digits = 0;
  #lineLength = 0;
  #trailerLength = 0;

  constructor(body: Body, onPayload: OnPayload = () => undefined) {
    this.#kind = body.kind;
    this.#left = body.kind === "length" ? body.length : 0;
    this.#isDone = body.kind === "none";
    this.#onPayload = onPayload;
  }

  /** The body's last byte has been read. Never of until-close: that is told by the connection. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Why nothing more can be read. The bytes until there belong to the body. */
  get malformed(): string | undefined {
    return this.#malformed;
  }

  /** @returns where the body's bytes end in `bytes`, from `from` on; what follows is not the body's */
  read(bytes: Uint8Array, from: number): number {
    if (this.#isDone || this.#malformed !== undefined) return from;
    if (this.#kind === "chunked") return this.#readChunks(bytes, from);
    if (this.#kind === "until-close") {
      this.#onPayload(bytes, from, bytes.length);
      return bytes.length;
    }
    const end = Math.min(bytes.length, from + this.#left);
    if (end > from) this.#onPayload(bytes, from, end);
    this.#left -= end - from;
    this.#isDone = this.#left === 0;
    return end;
  }

  #readChunks(bytes: Uint8Array, from: number): number {
    let at = from;
    while (at < bytes.length) {
      if (this.#state === "data") {
        const end = Math.min(bytes.length, at + this.#left);
        this.#onPayload(bytes, at, end);
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#state = "data-cr";
        continue;
      }
      this.#malformed = this.#next(bytes[at] as number);
      if (this.#malformed !== undefined) return at;
      at += 1;
      if (this.#isDone) return at;
    }
    return at;
  }

  /** RFC 9112, section 7.1, without its "bad white space": everybody reads that differently. */
  #next(byte: number): string | undefined {
    switch (this.#state) {
      case "size-start":
        this.#left = 0;
        this.#digits = 0;
        this.#lineLength = 0;
        this.#state = "size";
        if (hexDigit(byte) === undefined) return "no chunk size";
        return this.#size(byte);
      case "size":
        return this.#size(byte);
      case "extension":
        if (byte === 0x0d) this.#state = "size-lf";
        else if (isControl(byte)) return "a control character in a chunk extension";
        this.#lineLength += 1;
        return this.#lineLength > MAX_CHUNK_LINE ? "a chunk extension without an end" : undefined;
      case "size-lf":
        if (byte !== 0x0a) return "CR without LF after a chunk size";
        this.#state = this.#left === 0 ? "trailer-start" : "data";
        return undefined;
      case "data-cr":
        if (byte !== 0x0d) return "no CR LF after a chunk";
        this.#state = "data-lf";
        return undefined;
      case "data-lf":
        if (byte !== 0x0a) return "no CR LF after a chunk";
        this.#state = "size-start";
        return undefined;
      case "end-lf":
        if (byte !== 0x0a) return "CR without LF after the last chunk";
        this.#isDone = true;
        return undefined;
      default:
        return this.#trailer(byte);
    }
  }

  #size(byte: number): string | undefined {
    const digit = hexDigit(byte);
    if (digit !== undefined) {
      this.#digits += 1;
      this.#left = this.#left * 16 + digit;
      return this.#digits > MAX_SIZE_DIGITS ? "a chunk size of too many digits" : undefined;
    }
    if (byte === 0x3b) this.#state = "extension";
    else if (byte === 0x0d) this.#state = "size-lf";
    else return "not a chunk size";
    return undefined;
  }

  #trailer(byte: number): string | undefined {
    this.#trailerLength += 1;
    if (this.#trailerLength > MAX_HEAD) return `trailers longer than ${MAX_HEAD} bytes`;
    switch (this.#state) {
      case "trailer-start":
        if (byte === 0x0d) this.#state = "end-lf";
        else if (isTokenByte(byte)) this.#state = "trailer-name";
        else return "not a trailer's name";
        return undefined;
      case "trailer-name":
        if (byte === 0x3a) this.#state = "trailer";
        else if (!isTokenByte(byte)) return "not a trailer's name";
        return undefined;
      case "trailer":
        if (byte === 0x0d) this.#state = "trailer-lf";
        else if (isControl(byte)) return "a control character in a trailer";
        return undefined;
      default:
        if (byte !== 0x0a) return "CR without LF in a trailer";
        this.#state = "trailer-start";
        return undefined;
    }
  }
}

function hexDigit(byte: number): number | undefined {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : undefined;
}

const isControl = (byte: number): boolean => (byte < 0x20 && byte !== 0x09) || byte === 0x7f;
