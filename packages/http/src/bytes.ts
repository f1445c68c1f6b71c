/** Bytes as text and bytes that arrive in pieces, without Node's Buffer. */

/** Arguments of one call: engines limit them, V8 at some 120,000. */
const MAX_ARGUMENTS = 4096;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** One char for each byte. `TextDecoder("latin1")` is windows-1252, which is not that. */
export function latin1(bytes: Uint8Array): string {
  // Many times as quick, and the same for ASCII: there only as many chars as bytes come out, none of them U+FFFD.
  const ascii = utf8.decode(bytes);
  if (ascii.length === bytes.length && !ascii.includes("\ufffd")) return ascii;
  let text = "";
  for (let at = 0; at < bytes.length; at += MAX_ARGUMENTS) {
    text += String.fromCharCode(...bytes.subarray(at, at + MAX_ARGUMENTS));
  }
  return text;
}

/** @param text chars below 256 */
export function fromLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

const NOTHING: Uint8Array = new Uint8Array(0);

/**
 * Bytes that have come and are not used yet. One chunk is kept as it is; several are joined in a buffer that
 * grows by doubling, so that what comes one byte at a time costs as much as its length, not the square. What
 * was handed out stays as it is. The owner limits it.
 */
export class Unread {
  #bytes = NOTHING;
  #isOwn = false;
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  append(chunk: Uint8Array): void {
    if (this.length === 0) {
      this.#bytes = chunk;
      this.#isOwn = false;
      this.#start = 0;
      this.#end = chunk.length;
      return;
    }
    const end = this.#end + chunk.length;
    if (!this.#isOwn || end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(512, 2 * (this.length + chunk.length)));
      grown.set(this.view());
      this.#end = this.length;
      this.#start = 0;
      this.#bytes = grown;
      this.#isOwn = true;
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  view(): Uint8Array {
    return this.#part(this.#end);
  }

  /** The first `count` of them, which are then used. */
  consume(count = this.length): Uint8Array {
    const used = this.#part(this.#start + count);
    this.#start += count;
    return used;
  }

  /** A chunk that is used as a whole stays the object that it is: another view of it costs more than it looks. */
  #part(end: number): Uint8Array {
    const isAll = this.#start === 0 && end === this.#bytes.length;
    return isAll ? this.#bytes : this.#bytes.subarray(this.#start, end);
  }
}
