/** The heads of a client's requests, one after the other; the bodies between them are the owner's to follow. */
import { Unread } from "../bytes.ts";
import { HeadScanner, parseRequestHead, type RequestHead } from "./head.ts";
import { quickRequest } from "./quick-head.ts";
import { RequestLineScanner } from "./request-line.ts";

export type RequestEvent =
  /** The first `length` bytes that are unread. */
  | { readonly kind: "head"; readonly request: RequestHead; readonly length: number }
  /** After a body, before the next head; `bytes` are used. */
  | { readonly kind: "empty-line"; readonly bytes: Uint8Array }
  | { readonly kind: "malformed"; readonly why: string };

/** Empty lines after a body (RFC 9112, section 2.2): Go takes two. */
const MAX_EMPTY_LINES = 2;

export class Requests {
  readonly unread = new Unread();
  #scanner = new HeadScanner();
  /** undefined: the request line is complete. */
  #line: RequestLineScanner | undefined = new RequestLineScanner();
  #lineLength = 0;
  #isFirst = true;
  #emptyLines = 0;

  /**
   * @returns undefined: there is more to come. After a head, what is called next is for the next request:
   *   until then the owner consumes the head and its body.
   */
  next(): RequestEvent | undefined {
    const bytes = this.unread.view();
    if (bytes.length === 0) return undefined;
    if (bytes[0] === 0x0d && !this.#isFirst && this.#emptyLines < MAX_EMPTY_LINES) {
      if (bytes.length < 2) return undefined;
      if (bytes[1] === 0x0a) {
        this.#emptyLines += 1;
        return { kind: "empty-line", bytes: this.unread.consume(2) };
      }
    }
    if (this.#lineLength === 0) {
      // Tried once for each head, so that one that comes in pieces is not read again with each.
      const quick = quickRequest(bytes);
      if (quick !== undefined) {
        this.#isFirst = false;
        this.#emptyLines = 0;
        return { kind: "head", ...quick };
      }
    }
    // At once, not at the end of what may be no head.
    const line = this.#line?.push(bytes.subarray(this.#lineLength));
    this.#lineLength = bytes.length;
    if (line?.kind === "complete") this.#line = undefined;
    if (line?.kind === "no-request-line") return { kind: "malformed", why: line.why };
    const length = this.#scanner.scan(bytes);
    if (length === undefined) return undefined;
    if (typeof length !== "number") return length;
    const request = parseRequestHead(bytes.subarray(0, length));
    if (request.kind === "malformed") return request;
    this.#scanner = new HeadScanner();
    this.#line = new RequestLineScanner();
    this.#lineLength = 0;
    this.#isFirst = false;
    this.#emptyLines = 0;
    return { kind: "head", request, length };
  }
}
