/**
 * What a port-forward needs of SPDY/3.1: streams are opened, bytes go both ways, PING is answered. Pure. Of header blocks
 * those that come are not read (they say nothing that the frame's type does not), so nothing is inflated; those that go
 * are written uncompressed in the form that zlib has for it. There is no flow control: kubelets and container runtimes
 * (moby/spdystream) neither send WINDOW_UPDATE nor heed it, and TCP below holds back who sends too much.
 */

/** Bytes of every frame's header: u1 control · u15 version, u16 type | u31 stream · u8 flags · u24 length */
export const FRAME_HEADER = 8;
const VERSION = 3;
const TYPE = { synStream: 1, rstStream: 3, goaway: 7, ping: 6 } as const;
const FLAG_FIN = 1;
/** The longest payload of a control frame that is looked at: RST_STREAM's. */
const MAX_READ = 8;
/** SPDY/3 has a dictionary: CMF with a 32 KiB window, FLG with FDICT, and the dictionary's Adler-32 (RFC 1950). */
const ZLIB_HEADER = Uint8Array.of(0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2);
/** An empty stored block: who inflates gives out what came before it (zlib's Z_SYNC_FLUSH). */
const FLUSH = Uint8Array.of(0, 0, 0, 0xff, 0xff);
const EMPTY = new Uint8Array();

export type SpdyEvent =
  /** A piece of a stream's data, as it came. */
  | { readonly kind: "data"; readonly stream: number; readonly bytes: Uint8Array }
  /** The other end sends no more on it. */
  | { readonly kind: "end"; readonly stream: number }
  | { readonly kind: "reset"; readonly stream: number; readonly status: number }
  /** To be sent back. */
  | { readonly kind: "ping"; readonly answer: Uint8Array };

/** The peer does not speak SPDY/3.1. */
export class SpdyError extends Error {
  override readonly name = "SpdyError";
}

/**
 * SYN_STREAM, of the highest priority.
 * @param isFirst of the connection: the header blocks of all of them are one zlib stream
 */
export function openStream(
  stream: number,
  headers: Readonly<Record<string, string>>,
  isFirst: boolean,
): Uint8Array {
  const block = headerBlock(headers);
  const size = new Uint8Array(5); // a stored block (RFC 1951 section 3.2.4), and not the last one
  const sizes = new DataView(size.buffer);
  sizes.setUint16(1, block.length, true);
  sizes.setUint16(3, ~block.length & 0xffff, true);
  const payload = [isFirst ? ZLIB_HEADER : EMPTY, size, block, FLUSH];
  const fixed = new Uint8Array(10); // u31 stream · u31 associated stream · u3 priority · u5 unused · u8 slot
  new DataView(fixed.buffer).setUint32(0, stream);
  const length = payload.reduce((sum, part) => sum + part.length, fixed.length);
  return joined([controlHeader(TYPE.synStream, length), fixed, ...payload]);
}

/** u32 count, and of each name and value u32 length · bytes */
function headerBlock(headers: Readonly<Record<string, string>>): Uint8Array {
  const words = Object.entries(headers).flatMap(([name, value]) => [name.toLowerCase(), value]);
  const encoded = words.map((word) => new TextEncoder().encode(word));
  const parts = encoded.flatMap((word) => [u32(word.length), word]);
  return joined([u32(encoded.length / 2), ...parts]);
}

/** A DATA frame's header. @param length below 2^24 @param isEnd our direction of the stream ends with it */
export function dataHeader(stream: number, length: number, isEnd = false): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER);
  const view = new DataView(header.buffer);
  view.setUint32(0, stream);
  view.setUint32(4, length);
  if (isEnd) header[4] = FLAG_FIN;
  return header;
}

function controlHeader(type: number, length: number): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER);
  const view = new DataView(header.buffer);
  view.setUint16(0, 0x8000 | VERSION);
  view.setUint16(2, type);
  view.setUint32(4, length);
  return header;
}

export class SpdyReader {
  readonly #header = new Uint8Array(FRAME_HEADER);
  #headerLength = 0;
  /** Bytes of the current frame's payload still to come. */
  #left = 0;
  #stream = 0;
  /** Of a control frame; undefined: data. */
  #type: number | undefined;
  #isEnd = false;
  readonly #read = new Uint8Array(MAX_READ);
  #readLength = 0;

  /** @returns views into `bytes` @throws SpdyError; call no more after it */
  push(bytes: Uint8Array): SpdyEvent[] {
    const events: SpdyEvent[] = [];
    for (let at = 0; at < bytes.length; ) {
      if (this.#headerLength < FRAME_HEADER) {
        this.#header[this.#headerLength++] = bytes[at++] ?? 0;
        if (this.#headerLength < FRAME_HEADER) continue;
        this.#begin();
      } else {
        const part = bytes.subarray(at, at + this.#left);
        at += part.length;
        this.#left -= part.length;
        if (this.#type === undefined)
          events.push({ kind: "data", stream: this.#stream, bytes: part });
        else this.#keep(part);
      }
      if (this.#left === 0) {
        this.#headerLength = 0;
        this.#complete(events);
      }
    }
    return events;
  }

  #begin(): void {
    const view = new DataView(this.#header.buffer);
    const first = view.getUint32(0);
    this.#left = view.getUint32(4) & 0xff_ffff;
    this.#isEnd = ((this.#header[4] ?? 0) & FLAG_FIN) !== 0;
    this.#readLength = 0;
    this.#type = undefined;
    if (first < 0x8000_0000) {
      this.#stream = first;
      return;
    }
    if (first >>> 16 !== (0x8000 | VERSION)) throw new SpdyError("another version of SPDY");
    this.#type = first & 0xffff;
  }

  #keep(part: Uint8Array): void {
    const kept = part.subarray(0, MAX_READ - this.#readLength);
    this.#read.set(kept, this.#readLength);
    this.#readLength += kept.length;
  }

  #complete(events: SpdyEvent[]): void {
    const view = new DataView(this.#read.buffer);
    if (this.#type === undefined) {
      if (this.#isEnd) events.push({ kind: "end", stream: this.#stream });
    } else if (this.#type === TYPE.rstStream) {
      if (this.#readLength < 8) throw new SpdyError("half a reset");
      const stream = view.getUint32(0) & 0x7fff_ffff;
      events.push({ kind: "reset", stream, status: view.getUint32(4) });
    } else if (this.#type === TYPE.ping) {
      if (this.#readLength < 4) throw new SpdyError("half a ping");
      const answer = joined([controlHeader(TYPE.ping, 4), this.#read.subarray(0, 4)]);
      events.push({ kind: "ping", answer });
    }
    // SYN_REPLY agrees, GOAWAY is followed by the end, and nothing else asks for something.
  }
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
