/** What one upstream connection answers: which bytes belong to which request, and what follows. */
import { Unread } from "../bytes.ts";
import { BodyReader } from "./body.ts";
import { type Body, isPersistent, responseBody } from "./framing.ts";
import { HeadScanner, parseResponseHead, type RequestHead } from "./head.ts";
import { quickResponse } from "./quick-head.ts";

/** A request that was sent, until its final response is complete. */
export interface Exchange {
  readonly request: RequestHead;
  /** The client has been told to continue by us, and need not be told again. */
  hasContinued: boolean;
}

export type ResponseEvent =
  /** Of the response under way, or of an interim one before it. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** The oldest exchange is over. `closes`: no other response follows on this connection. */
  | { readonly kind: "complete"; readonly closes: boolean }
  /** What was replied last was a 101, or the yes to a CONNECT: from here on it is not HTTP/1. */
  | { readonly kind: "left-http" }
  /** Nobody can say where this response ends; `bytes` begin with it. */
  | { readonly kind: "malformed"; readonly why: string; readonly bytes: Uint8Array }
  /** Nobody has asked; a server that closes an idle connection may say 408 before. */
  | { readonly kind: "unsolicited"; readonly why: string; readonly bytes: Uint8Array };

/**
 * What takes the place of a final response's head; undefined: it stays as it is.
 *
 * @param bytes begin with the head, of `length` bytes
 * @param closes the response says by itself that nothing follows
 */
export type OnHead = (bytes: Uint8Array, length: number, closes: boolean) => Uint8Array | undefined;

export class Responses {
  readonly #onHead: OnHead | undefined;
  readonly #unread = new Unread();
  readonly #exchanges: Exchange[] = [];
  #scanner = new HeadScanner();
  #body: BodyReader | undefined;
  /** All of the response has been handed out. */
  #isComplete = false;
  /** Of the head that has begun to come. */
  #hasLooked = false;
  #closes = false;
  #isGivenUp = false;

  constructor(onHead?: OnHead) {
    this.#onHead = onHead;
  }

  /** Requests without a complete response. */
  get outstanding(): number {
    return this.#exchanges.length;
  }

  /** A request's head goes to this connection. */
  expect(exchange: Exchange): void {
    this.#exchanges.push(exchange);
  }

  push(bytes: Uint8Array): void {
    this.#unread.append(bytes);
  }

  /** @returns undefined: nothing more can be said of the bytes that have come */
  next(): ResponseEvent | undefined {
    const exchange = this.#exchanges[0];
    if (this.#isGivenUp) return this.#unreadBytes();
    if (this.#isComplete) return this.#complete();
    if (this.#body !== undefined) return this.#nextOfBody(this.#body, 0);
    if (this.#unread.length === 0) return undefined;
    if (exchange === undefined) return this.#giveUp("unsolicited", "a response to nothing");
    if (!this.#hasLooked) {
      // Once for each head, so that one that comes in pieces is not read again with each.
      this.#hasLooked = true;
      const quick = quickResponse(this.#unread.view(), exchange.request.method);
      if (quick !== undefined) return this.#begin(quick.body, quick.isPersistent, quick.length);
    }
    const length = this.#scanner.scan(this.#unread.view());
    if (length === undefined) return undefined;
    if (typeof length !== "number") return this.#malformed(length.why);
    const head = parseResponseHead(this.#unread.view().subarray(0, length));
    if (head.kind === "malformed") return this.#malformed(head.why);
    this.#scanner = new HeadScanner();
    this.#hasLooked = false;
    const isTunnel = exchange.request.method === "CONNECT" && isSuccess(head.status);
    if (head.status === 101 || isTunnel) {
      if (!exchange.request.mayLeaveHttp) return this.#malformed("an upgrade that nobody wanted");
      this.#exchanges.shift();
      return { kind: "left-http" };
    }
    if (head.status < 200) {
      const bytes = this.#unread.consume(length);
      if (head.status !== 100 || !exchange.hasContinued) return { kind: "bytes", bytes };
      exchange.hasContinued = false;
      return this.next();
    }
    const body = responseBody(head, exchange.request.method);
    return this.#begin(body, isPersistent(head.minor, head.headers), length);
  }

  /** @param headLength bytes: the body begins there */
  #begin(body: Body, isPersistent: boolean, headLength: number): ResponseEvent | undefined {
    this.#hasLooked = false;
    this.#closes = body.kind === "until-close" || !isPersistent;
    const edited = this.#onHead?.(this.#unread.view(), headLength, this.#closes);
    if (edited !== undefined) {
      this.#unread.consume(headLength);
      this.#body = new BodyReader(body);
      const end = this.#body.read(this.#unread.view(), 0);
      return { kind: "bytes", bytes: joined(edited, this.#unread.consume(end)) };
    }
    const length = headLength + (body.kind === "length" ? body.length : 0);
    if (body.kind === "none" || (body.kind === "length" && length <= this.#unread.length)) {
      this.#isComplete = true;
      return { kind: "bytes", bytes: this.#unread.consume(length) };
    }
    this.#body = new BodyReader(body);
    return this.#nextOfBody(this.#body, headLength);
  }

  #complete(): ResponseEvent {
    this.#isComplete = false;
    this.#body = undefined;
    this.#exchanges.shift();
    return { kind: "complete", closes: this.#closes };
  }

  /** The bytes that have come and of which nothing was said. */
  rest(): Uint8Array {
    return this.#unread.consume();
  }

  /** @param from the body's bytes begin there; what is before is its head, and goes with them */
  #nextOfBody(body: BodyReader, from: number): ResponseEvent | undefined {
    const end = body.read(this.#unread.view(), from);
    if (end > 0) return { kind: "bytes", bytes: this.#unread.consume(end) };
    if (body.malformed !== undefined) return this.#malformed(body.malformed);
    return body.isDone ? this.#complete() : undefined;
  }

  #malformed(why: string): ResponseEvent {
    return this.#giveUp("malformed", why);
  }

  /** What follows is nothing but bytes. */
  #giveUp(kind: "malformed" | "unsolicited", why: string): ResponseEvent {
    this.#isGivenUp = true;
    return { kind, why, bytes: this.#unread.consume() };
  }

  #unreadBytes(): ResponseEvent | undefined {
    const bytes = this.#unread.consume();
    return bytes.length > 0 ? { kind: "bytes", bytes } : undefined;
  }
}

/** In one piece: so it is one packet. */
function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

const isSuccess = (status: number): boolean => status >= 200 && status < 300;
