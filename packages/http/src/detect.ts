/** What a client speaks, by its first bytes. */
import { RequestLineScanner } from "./http1/request-line.ts";
import { HTTP2_PREFACE } from "./preface.ts";

export type Detection =
  | { readonly kind: "http1" | "http2" | "tls" | "undecided" }
  | { readonly kind: "other"; readonly why: string };

/** Bytes of a TLS record's header and of the type of the handshake message in it (RFC 8446, 4 and 5.1). */
const HELLO_START = 6;

/**
 * Takes the client's bytes from the start of the connection, in any pieces, and keeps none of them.
 *
 * `undecided` can last for ever: in MySQL or SMTP the server speaks first. The caller gives it a deadline
 * and passes the connection through when that expires. It ends by itself after MAX_REQUEST_LINE bytes.
 */
export class Detector {
  readonly #line = new RequestLineScanner();
  /** Bytes seen. */
  #length = 0;
  #isPreface = true;
  #isHello = true;
  /** Why it is no HTTP/1, once that is known. */
  #notHttp1: string | undefined;
  #decided: Detection | undefined;

  /** @returns the same for ever once it is decided */
  push(bytes: Uint8Array): Detection {
    this.#decided ??= this.#decide(bytes);
    return this.#decided ?? { kind: "undecided" };
  }

  #decide(bytes: Uint8Array): Detection | undefined {
    const start = this.#length;
    this.#length += bytes.length;
    for (let i = 0; i < bytes.length && (this.#isPreface || this.#isHello); i++) {
      const at = start + i;
      this.#isPreface &&= at >= HTTP2_PREFACE.length || bytes[i] === HTTP2_PREFACE[at];
      this.#isHello &&= at >= HELLO_START || isHelloByte(at, bytes[i] as number);
    }
    if (this.#isPreface && this.#length >= HTTP2_PREFACE.length) return { kind: "http2" };
    if (this.#isHello && this.#length >= HELLO_START) return { kind: "tls" };
    if (this.#notHttp1 === undefined) {
      const line = this.#line.push(bytes);
      if (line.kind === "complete") return { kind: "http1" };
      if (line.kind === "no-request-line") this.#notHttp1 = line.why;
    }
    if (this.#notHttp1 === undefined || this.#isPreface || this.#isHello) return undefined;
    return { kind: "other", why: this.#notHttp1 };
  }
}

/** A ClientHello: handshake record, version 3.x, up to 2^14 bytes, message type 1. */
function isHelloByte(at: number, byte: number): boolean {
  switch (at) {
    case 0:
      return byte === 0x16;
    case 1:
      return byte === 3;
    case 2:
      return byte <= 4;
    case 3:
      return byte <= 0x40;
    case 4:
      return true;
    default:
      return byte === 1;
  }
}

/** Of the header of a SETTINGS frame: its type, no flags, and the stream 0 (RFC 9113, section 6.5). */
const SETTINGS_START = [4, 0, 0, 0, 0, 0];
const SETTINGS_LENGTH_BYTES = 3;
/** Each is six bytes; nobody has more of them at the start. */
const MAX_SETTINGS = 64;

/**
 * @param bytes the first that a server has sent, to a client that has said nothing
 * @returns whether it speaks HTTP/2; undefined: that is not known yet
 */
export function startsAsHttp2Server(bytes: Uint8Array): boolean | undefined {
  const [high, middle = 0, low = 0] = bytes;
  if (high !== undefined && high !== 0) return false;
  const start = bytes.subarray(SETTINGS_LENGTH_BYTES);
  if (SETTINGS_START.some((byte, at) => at < start.length && start[at] !== byte)) return false;
  if (start.length < SETTINGS_START.length) return undefined;
  const length = middle * 256 + low;
  return length % 6 === 0 && length <= 6 * MAX_SETTINGS;
}
