/** The requests of one HTTP/1 connection of which only the client's bytes are seen. Keeps a head at most. */
import { BodyReader } from "../http1/body.ts";
import type { RequestHead } from "../http1/head.ts";
import { Requests } from "../http1/requests.ts";
import { NO_TRAILERS, type ReadEvent } from "./events.ts";

/** What becomes of the bytes behind the last request. */
export type After =
  /** An Upgrade was asked for, and only the answer tells whether it is another protocol now: its first bytes do. */
  | { readonly kind: "anything"; readonly bytes: Uint8Array }
  /** They are not HTTP, or can be read in more than one way. */
  | { readonly kind: "bytes"; readonly why: string; readonly bytes: Uint8Array }
  /** The client said that it was its last request: its server does not read on. */
  | { readonly kind: "nothing" };

interface Reading {
  readonly id: number;
  readonly request: RequestHead;
  readonly body: BodyReader;
}

export class Http1Reader {
  readonly #requests = new Requests();
  readonly #emit: (event: ReadEvent) => void;
  readonly #nextId: () => number;
  #reading: Reading | undefined;

  constructor(emit: (event: ReadEvent) => void, nextId: () => number) {
    this.#emit = emit;
    this.#nextId = nextId;
  }

  /** @returns undefined: it goes on; else nothing more is to be pushed */
  push(bytes: Uint8Array): After | undefined {
    const { unread } = this.#requests;
    unread.append(bytes);
    while (unread.length > 0) {
      const after = this.#reading === undefined ? this.#readHead() : this.#readBody(this.#reading);
      if (after === "more") break;
      if (after !== undefined) return after;
    }
    // What waits is not to hold the chunk that it came in.
    if (unread.length > 0 && unread.length < bytes.length) unread.append(unread.consume().slice());
    return undefined;
  }

  /** No more comes. @returns the beginning of a head */
  end(): Uint8Array {
    if (this.#reading !== undefined) this.#end(this.#reading.id, "unfinished");
    this.#reading = undefined;
    return this.#requests.unread.consume();
  }

  #readHead(): After | "more" | undefined {
    const { unread } = this.#requests;
    const event = this.#requests.next();
    if (event === undefined) return "more";
    if (event.kind === "empty-line") return undefined;
    if (event.kind === "malformed")
      return { kind: "bytes", why: event.why, bytes: unread.consume() };
    const { request, length } = event;
    const { method, target, minor, headers } = request;
    const id = this.#nextId();
    unread.consume(length);
    this.#emit({
      kind: "request",
      id,
      request: { version: minor === 0 ? "1.0" : "1.1", method, target, headers },
    });
    const onPayload = (bytes: Uint8Array, from: number, to: number): void => {
      if (to > from) this.#emit({ kind: "body", id, bytes: bytes.subarray(from, to) });
    };
    this.#reading = { id, request, body: new BodyReader(request.body, onPayload) };
    return this.#readBody(this.#reading);
  }

  #readBody({ id, request, body }: Reading): After | "more" | undefined {
    const { unread } = this.#requests;
    unread.consume(body.read(unread.view(), 0));
    if (body.malformed !== undefined) {
      this.#reading = undefined;
      this.#end(id, "unfinished");
      return { kind: "bytes", why: body.malformed, bytes: unread.consume() };
    }
    if (!body.isDone) return "more";
    this.#reading = undefined;
    this.#end(id, "whole");
    if (request.method === "CONNECT")
      return { kind: "bytes", why: "what follows CONNECT", bytes: unread.consume() };
    if (request.mayLeaveHttp) return { kind: "anything", bytes: unread.consume() };
    return request.isPersistent ? undefined : { kind: "nothing" };
  }

  #end(id: number, how: "whole" | "unfinished"): void {
    this.#emit({ kind: "end", id, how, trailers: NO_TRAILERS });
  }
}
