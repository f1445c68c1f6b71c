/**
 * The heads of HTTP/1 messages (RFC 9112), read strictly: what two programs could read differently is
 * `malformed`, with the reason, and nobody guesses. The bytes are never changed.
 */
import { latin1 } from "../bytes.ts";
import {
  type Body,
  hasToken,
  isPersistent,
  type Malformed,
  malformed,
  requestBody,
} from "./framing.ts";

/** Bytes. Node takes 16 KiB, nginx 4 times 8 KiB, Envoy 60 KiB, Go 1 MiB. */
export const MAX_HEAD = 64 * 1024;
/** Node takes 2000, Apache and Envoy 100. */
export const MAX_HEADERS = 256;

export interface Header {
  /** In lower case. */
  readonly name: string;
  /** Without the white space around it; one char for each byte. */
  readonly value: string;
}

export interface RequestHead {
  readonly kind: "request";
  readonly method: string;
  /** As it was sent: `/path?query`, `http://host/path`, `host:port` or `*`. */
  readonly target: string;
  /** HTTP/1.0 or HTTP/1.1. */
  readonly minor: 0 | 1;
  readonly headers: readonly Header[];
  /** See RequestFacts. */
  valuesOf?(name: string): readonly string[];
  readonly body: Body;
  /** Another request may follow on the connection. */
  readonly isPersistent: boolean;
  /** CONNECT, or an Upgrade: what follows can be another protocol, and the answer tells. */
  readonly mayLeaveHttp: boolean;
  /** The client sends the body only after a 100 Continue, or after having lost patience. */
  readonly expectsContinue: boolean;
}

export interface ResponseHead {
  readonly kind: "response";
  readonly status: number;
  readonly minor: 0 | 1;
  readonly headers: readonly Header[];
}

/** Finds the empty line at a head's end; remembers how far it has looked. */
export class HeadScanner {
  #lineStart = 0;
  #from = 0;
  #lines = 0;

  /**
   * @param bytes the head from its first byte, each time with more at its end
   * @returns bytes of the head, with the empty line; undefined: there is more to come
   */
  scan(bytes: Uint8Array): number | Malformed | undefined {
    for (;;) {
      const lf = bytes.indexOf(0x0a, this.#from);
      if ((lf === -1 ? bytes.length : lf) >= MAX_HEAD) {
        return malformed(`head longer than ${MAX_HEAD} bytes`);
      }
      if (lf === -1) {
        this.#from = bytes.length;
        return undefined;
      }
      // Some end a line there, others keep the LF in it.
      if (bytes[lf - 1] !== 0x0d) return malformed("LF without CR in a head");
      if (lf - 1 === this.#lineStart) return lf + 1;
      this.#lines += 1;
      if (this.#lines > MAX_HEADERS + 1) return malformed(`more than ${MAX_HEADERS} headers`);
      this.#lineStart = lf + 1;
      this.#from = lf + 1;
    }
  }
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~\w-]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/;
/** A server that leaves the reason out may leave its space out, too. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const NAME = /^[!#$%&'*+.^_`|~\w-]+$/;
/** No control character but the tab: neither CR nor NUL. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const SURROUNDING_SPACE = /^[\t ]+|[\t ]+$/g;

/** @param bytes exactly a head, as HeadScanner found it */
export function parseRequestHead(bytes: Uint8Array): RequestHead | Malformed {
  const lines = linesOf(bytes);
  const [, method, target, minorDigit] = REQUEST_LINE.exec(lines[0] ?? "") ?? [];
  if (method === undefined || target === undefined) return malformed("not a request line");
  if (!isTarget(target, method)) return malformed("not a request target");
  const minor = minorDigit === "0" ? 0 : 1;
  const headers = parseHeaders(lines);
  if (!isList(headers)) return headers;
  if (headers.filter(({ name }) => name === "host").length > 1) {
    return malformed("more than one Host");
  }
  const body = requestBody(method, minor, headers);
  if (body.kind === "malformed") return body;
  const isUpgrade = hasToken(headers, "connection", "upgrade") && has(headers, "upgrade");
  return {
    kind: "request",
    method,
    target,
    minor,
    headers,
    body,
    isPersistent: isPersistent(minor, headers),
    mayLeaveHttp: method === "CONNECT" || isUpgrade,
    expectsContinue: minor === 1 && hasToken(headers, "expect", "100-continue"),
  };
}

/** @param bytes exactly a head, as HeadScanner found it */
export function parseResponseHead(bytes: Uint8Array): ResponseHead | Malformed {
  const lines = linesOf(bytes);
  const [, minorDigit, status] = STATUS_LINE.exec(lines[0] ?? "") ?? [];
  if (status === undefined) return malformed("not a status line");
  const headers = parseHeaders(lines);
  if (!isList(headers)) return headers;
  return {
    kind: "response",
    status: Number(status),
    minor: minorDigit === "0" ? 0 : 1,
    headers,
  };
}

/** Without the empty one at the end. */
const linesOf = (head: Uint8Array): string[] =>
  latin1(head.subarray(0, Math.max(0, head.length - 4))).split("\r\n");

function parseHeaders(lines: readonly string[]): readonly Header[] | Malformed {
  const headers: Header[] = [];
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string;
    if (line.startsWith(" ") || line.startsWith("\t")) return malformed("a folded header");
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    const value = line.slice(colon + 1);
    // A space before the colon: some ignore it, others the header.
    if (!NAME.test(name)) return malformed("not a header's name");
    if (!VALUE.test(value)) return malformed("a control character in a header");
    headers.push({ name: name.toLowerCase(), value: value.replace(SURROUNDING_SPACE, "") });
  }
  return headers;
}

/** Of a head that has been found well-formed. */
export function headersOf(head: Uint8Array): readonly Header[] {
  const headers = parseHeaders(linesOf(head));
  return isList(headers) ? headers : [];
}

const isList = (headers: readonly Header[] | Malformed): headers is readonly Header[] =>
  Array.isArray(headers);

const has = (headers: readonly Header[], wanted: string): boolean =>
  headers.some(({ name }) => name === wanted);

/** The four forms of RFC 9112, section 3.2. */
function isTarget(target: string, method: string): boolean {
  if (method === "CONNECT") return /^[^/?#@]+:\d{1,5}$/.test(target);
  return target.startsWith("/") || target === "*" || /^[a-z][a-z0-9+.-]*:\/\/./i.test(target);
}
