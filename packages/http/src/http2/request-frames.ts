/**
 * One client's HTTP/2 connection of which only the client's bytes are seen: leaves in it what its requests are made of.
 * The rest answers frames that nobody here has sent: SETTINGS and PING acknowledged, windows for responses.
 *
 * What comes out is the beginning of a connection with a server whose SETTINGS are acknowledged at once. RFC 9113.
 */
import { fromLatin1 } from "../bytes.ts";
import { HTTP2_PREFACE } from "../preface.ts";
import { FrameCutter, type FrameHeader } from "./frame-cutter.ts";

const SETTINGS = 4;
const ACK = 1;
/** DATA, HEADERS, RST_STREAM, CONTINUATION (section 6). */
const OF_REQUESTS = new Set([0, 1, 3, 9]);
/** SETTINGS without any, and the acknowledgement of the server's. */
const SETTINGS_AND_ACK = fromLatin1("\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0");

export class RequestFrames {
  readonly #cutter = new FrameCutter();
  #prefaceLeft = HTTP2_PREFACE.length;
  #isFirst = true;
  #malformed: string | undefined;

  /** Why nothing more comes out. */
  get malformed(): string | undefined {
    return this.#malformed;
  }

  /**
   * @param bytes from the preface on, in any pieces
   * @returns pieces of it, and others
   */
  push(bytes: Uint8Array): Uint8Array[] {
    const ofPreface = Math.min(this.#prefaceLeft, bytes.length);
    this.#prefaceLeft -= ofPreface;
    if (this.#malformed !== undefined) return [];
    const isBegin = this.#isFirst;
    const frames = this.#cutter.push(bytes.subarray(ofPreface), (header) => this.#isKept(header));
    if (this.#malformed !== undefined) return [];
    return isBegin && !this.#isFirst ? [HTTP2_PREFACE, SETTINGS_AND_ACK, ...frames] : frames;
  }

  #isKept({ type, flags }: FrameHeader): boolean {
    if (this.#isFirst && (type !== SETTINGS || (flags & ACK) !== 0)) {
      this.#malformed ??= "no SETTINGS at the beginning";
      return false;
    }
    this.#isFirst = false;
    return OF_REQUESTS.has(type);
  }
}
