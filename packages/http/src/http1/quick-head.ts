/**
 * Heads as most of them are, read in one pass over their bytes and without making a string of each header. Whatever
 * is not quite usual (half a head, another version, an upgrade, anything malformed or repeated) is `undefined`: the
 * exact reader of head.ts says what it is. So this one never decides anything but what that one would, too.
 */
import { latin1 } from "../bytes.ts";
import type { Body } from "./framing.ts";
import { type Header, headersOf, MAX_HEAD, MAX_HEADERS, type RequestHead } from "./head.ts";
import { isTokenByte, MAX_METHOD, MAX_REQUEST_LINE } from "./request-line.ts";

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const TAB = 0x09;

/** Of header values and reasons. */
const IS_VALUE = new Uint8Array(256).fill(1, 0x20);
IS_VALUE[TAB] = 1;
IS_VALUE[0x7f] = 0;

const NONE: Body = { kind: "none" };
const CHUNKED: Body = { kind: "chunked" };
const UNTIL_CLOSE: Body = { kind: "until-close" };

/** 15 digits are below 2^53. */
const MAX_DIGITS = 15;

class QuickRequest implements RequestHead {
  readonly kind = "request";
  readonly minor = 1;
  readonly mayLeaveHttp = false;
  readonly expectsContinue = false;
  readonly method: string;
  readonly target: string;
  readonly body: Body;
  readonly isPersistent: boolean;
  readonly #bytes: Uint8Array;
  readonly #fields: Fields;
  #headers: readonly Header[] | undefined;

  constructor(method: string, target: string, fields: Fields, bytes: Uint8Array) {
    this.method = method;
    this.target = target;
    this.body = bodyOf(fields) ?? NONE;
    this.isPersistent = fields.isPersistent;
    this.#bytes = bytes;
    this.#fields = fields;
  }

  /** Made when somebody asks: most requests are told apart by less. */
  get headers(): readonly Header[] {
    this.#headers ??= headersOf(this.#bytes.subarray(0, this.#fields.length));
    return this.#headers;
  }

  valuesOf(name: string): readonly string[] {
    const bytes = this.#bytes;
    const { lines, length } = this.#fields;
    const values: string[] = [];
    for (let i = 0; i < lines.length; i++) {
      const at = lines[i] as number;
      const colon = at + name.length;
      if (bytes[colon] !== COLON || !isSameName(bytes, at, name)) continue;
      const end = (lines[i + 1] ?? length - 2) - 2;
      const [from, to] = trimmed(bytes, colon + 1, end);
      values.push(latin1(bytes.subarray(from, to)));
    }
    return values;
  }
}

/** @param bytes a head from its first byte, and whatever follows; not to be written to again */
export function quickRequest(
  bytes: Uint8Array,
): { readonly request: RequestHead; readonly length: number } | undefined {
  const end = Math.min(bytes.length, MAX_REQUEST_LINE);
  let at = 0;
  while (at < end && isUpper(bytes[at] as number)) at += 1;
  const methodEnd = at;
  if (at === 0 || at > MAX_METHOD || at + 1 >= end || bytes[at] !== SPACE) return undefined;
  // Of the forms of a target the usual one; bytes beyond ASCII are left to the exact reader.
  if (bytes[at + 1] !== 0x2f) return undefined;
  at += 2;
  while (at < end && isVisible(bytes[at] as number)) at += 1;
  const targetEnd = at;
  if (at + VERSION.length > end || !isText(bytes, at, VERSION)) return undefined;
  const fields = quickFields(bytes, at + VERSION.length);
  if (fields === undefined) return undefined;
  const { length } = fields;
  const method = methodOf(bytes, methodEnd);
  if (method === "CONNECT") return undefined;
  const target =
    targetEnd === methodEnd + 2 ? "/" : latin1(bytes.subarray(methodEnd + 1, targetEnd));
  return { request: new QuickRequest(method, target, fields, bytes), length };
}

export interface QuickResponse {
  readonly length: number;
  readonly body: Body;
  readonly isPersistent: boolean;
}

/** Of final responses only. See quickRequest() for `bytes`. */
export function quickResponse(bytes: Uint8Array, requestMethod: string): QuickResponse | undefined {
  // HTTP/1.1 200 ...
  if (bytes.length < 13 || requestMethod === "CONNECT") return undefined;
  if (!isText(bytes, 0, "HTTP/1.1 ")) return undefined;
  const hundreds = (bytes[9] as number) - 0x30;
  const tens = (bytes[10] as number) - 0x30;
  const ones = (bytes[11] as number) - 0x30;
  if (hundreds < 2 || hundreds > 9 || !isDigit(tens) || !isDigit(ones)) return undefined;
  let at = 12;
  if (bytes[at] === SPACE) while (IS_VALUE[bytes[at] as number] === 1) at += 1;
  if (bytes[at] !== CR || bytes[at + 1] !== LF) return undefined;
  const fields = quickFields(bytes, at + 2);
  if (fields === undefined) return undefined;
  const status = hundreds * 100 + tens * 10 + ones;
  const isWithout = status === 204 || status === 304 || requestMethod === "HEAD";
  const body = isWithout ? NONE : (bodyOf(fields) ?? UNTIL_CLOSE);
  return { length: fields.length, body, isPersistent: fields.isPersistent };
}

interface Fields {
  /** Of the whole head. */
  readonly length: number;
  /** Where each header begins. */
  readonly lines: readonly number[];
  /** -1: it says nothing. */
  readonly contentLength: number;
  readonly isChunked: boolean;
  readonly isPersistent: boolean;
}

function bodyOf({ contentLength, isChunked }: Fields): Body | undefined {
  if (isChunked) return CHUNKED;
  if (contentLength === -1) return undefined;
  return contentLength === 0 ? NONE : { kind: "length", length: contentLength };
}

/** @param from where the first header begins */
function quickFields(bytes: Uint8Array, from: number): Fields | undefined {
  const end = Math.min(bytes.length, MAX_HEAD);
  let at = from;
  const lines: number[] = [];
  let contentLength = -1;
  let isChunked = false;
  let isPersistent = true;
  let hasHost = false;
  let hasConnection = false;
  while (at < end && bytes[at] !== CR) {
    const name = at;
    if (lines.push(name) > MAX_HEADERS) return undefined;
    while (at < end && isTokenByte(bytes[at] as number)) at += 1;
    const colon = at;
    if (at === name || at >= end || bytes[at] !== COLON) return undefined;
    at += 1;
    while (at < end && IS_VALUE[bytes[at] as number] === 1) at += 1;
    if (at + 1 >= end || bytes[at] !== CR || bytes[at + 1] !== LF) return undefined;
    switch (colon - name) {
      case 4:
        if (!isName(bytes, name, "host")) break;
        if (hasHost) return undefined;
        hasHost = true;
        break;
      case 6:
        if (isName(bytes, name, "expect")) return undefined;
        break;
      case 7:
        if (isName(bytes, name, "upgrade")) return undefined;
        break;
      case 10:
        if (!isName(bytes, name, "connection")) break;
        if (hasConnection) return undefined;
        hasConnection = true;
        if (isValue(bytes, colon + 1, at, "close")) isPersistent = false;
        else if (!isValue(bytes, colon + 1, at, "keep-alive")) return undefined;
        break;
      case 14:
        if (!isName(bytes, name, "content-length")) break;
        if (contentLength !== -1 || isChunked) return undefined;
        contentLength = numberOf(bytes, colon + 1, at);
        if (contentLength === -1) return undefined;
        break;
      case 17:
        if (!isName(bytes, name, "transfer-encoding")) break;
        if (contentLength !== -1 || isChunked) return undefined;
        if (!isValue(bytes, colon + 1, at, "chunked")) return undefined;
        isChunked = true;
        break;
      default:
        break;
    }
    at += 2;
  }
  if (at + 1 >= end || bytes[at + 1] !== LF) return undefined;
  return { length: at + 2, lines, contentLength, isChunked, isPersistent };
}

const VERSION = " HTTP/1.1\r\n";
const COLON = 0x3a;

const isUpper = (byte: number): boolean => byte >= 0x41 && byte <= 0x5a;
const isVisible = (byte: number): boolean => byte > 0x20 && byte < 0x7f;
const isDigit = (value: number): boolean => value >= 0 && value <= 9;
const isSpace = (byte: number | undefined): boolean => byte === SPACE || byte === TAB;

function isText(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** @param name in lower case. Of the bytes of a token only letters become letters by this bit. */
function isName(bytes: Uint8Array, at: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    if (((bytes[at + i] as number) | 0x20) !== name.charCodeAt(i)) return false;
  }
  return true;
}

/** @param name any token, in lower case */
function isSameName(bytes: Uint8Array, at: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const byte = bytes[at + i] as number;
    if ((isUpper(byte) ? byte | 0x20 : byte) !== name.charCodeAt(i)) return false;
  }
  return true;
}

/** Without the white space around it. */
function trimmed(bytes: Uint8Array, from: number, to: number): [from: number, to: number] {
  let [start, end] = [from, to];
  while (start < end && isSpace(bytes[start])) start += 1;
  while (end > start && isSpace(bytes[end - 1])) end -= 1;
  return [start, end];
}

/** @param value in lower case, letters and hyphens */
function isValue(bytes: Uint8Array, from: number, to: number, value: string): boolean {
  const [start, end] = trimmed(bytes, from, to);
  return end - start === value.length && isName(bytes, start, value);
}

/** -1: it is none that is surely right. */
function numberOf(bytes: Uint8Array, from: number, to: number): number {
  const [start, end] = trimmed(bytes, from, to);
  if (start === end || end - start > MAX_DIGITS) return -1;
  let number = 0;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (!isDigit(digit)) return -1;
    number = number * 10 + digit;
  }
  return number;
}

function methodOf(bytes: Uint8Array, end: number): string {
  if (end === 3 && isText(bytes, 0, "GET")) return "GET";
  return end === 4 && isText(bytes, 0, "POST") ? "POST" : latin1(bytes.subarray(0, end));
}
