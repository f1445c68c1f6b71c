/** The request line of HTTP/1 (RFC 9112, section 3), one byte at a time. */

/** Chars. The longest registered method has 17. */
export const MAX_METHOD = 32;

/** Bytes, with its line end. nginx takes 8 KiB, Node 16 KiB for the whole head, Apache 8 KiB. */
export const MAX_REQUEST_LINE = 16 * 1024;

const END = " HTTP/1.";

const TOKEN = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  TOKEN[char.charCodeAt(0)] = 1;
}

/** Whether `byte` may stand in a token (RFC 9110, section 5.6.2): a method, a header's name. */
export const isTokenByte = (byte: number): boolean => TOKEN[byte] === 1;

export type LineVerdict =
  | { readonly kind: "complete" | "undecided" }
  | { readonly kind: "no-request-line"; readonly why: string };

const UNDECIDED: LineVerdict = { kind: "undecided" };
const COMPLETE: LineVerdict = { kind: "complete" };
const not = (why: string): LineVerdict => ({ kind: "no-request-line", why });

/**
 * Says at the first byte that cannot be part of one that this is no request line: a Redis `PING`, an SSH
 * version and a memcached `get` are known at their line end, binary protocols at their first byte.
 */
export class RequestLineScanner {
  #state: "method" | "target" | "version" | "digit" | "cr" | "lf" | "complete" = "method";
  #length = 0;
  #targetLength = 0;
  #matched = 0;

  /** @param bytes what follows the bytes of the calls before; not to be called after a verdict */
  push(bytes: Uint8Array): LineVerdict {
    for (const byte of bytes) {
      this.#length += 1;
      if (this.#length > MAX_REQUEST_LINE) return not(`no line end in ${MAX_REQUEST_LINE} bytes`);
      const why = this.#next(byte);
      if (why !== undefined) return not(why);
      if (this.#state === "complete") return COMPLETE;
    }
    return UNDECIDED;
  }

  #next(byte: number): string | undefined {
    switch (this.#state) {
      case "method":
        if (isTokenByte(byte)) {
          return this.#length > MAX_METHOD ? "no method is that long" : undefined;
        }
        if (byte !== 0x20 || this.#length === 1) return "the first word is no method";
        this.#state = "target";
        return undefined;
      case "target":
        if (byte === 0x20 && this.#targetLength > 0) {
          this.#state = "version";
          this.#matched = 1;
          return undefined;
        }
        if (byte <= 0x20 || byte === 0x7f) return "the second word is no request target";
        this.#targetLength += 1;
        return undefined;
      case "version":
        if (byte !== END.charCodeAt(this.#matched)) return "the third word is no version of HTTP/1";
        this.#matched += 1;
        if (this.#matched === END.length) this.#state = "digit";
        return undefined;
      case "digit":
        if (byte !== 0x30 && byte !== 0x31) return "the third word is no version of HTTP/1";
        this.#state = "cr";
        return undefined;
      case "cr":
        if (byte !== 0x0d) return "no CR LF after the version";
        this.#state = "lf";
        return undefined;
      default:
        if (byte !== 0x0a) return "no CR LF after the version";
        this.#state = "complete";
        return undefined;
    }
  }
}
