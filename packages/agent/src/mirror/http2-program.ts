/** Requests of HTTP/2 to a session's program, over one stream of the tunnel: what it answers is read, as HTTP/2 needs it, and dropped. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { type Channel, duplexOf } from "@inpod/tunnel";

import { type CopyBudget, Share } from "./copies.ts";

/** The client has gone, and had the target's answers; the program may be in a debugger, and does not lose its requests for that. */
const ANSWER_MS = 10 * 60_000;

/** One request. Whatever it is told after its end it ignores. */
export interface Http2Request {
  data(bytes: Buffer): void;
  end(trailers: IncomingHttpHeaders | undefined): void;
  cancel(code: number): void;
  /** Once, when nothing more comes, whatever the program said. */
  onAnswered(listener: () => void): void;
}

export class Http2Program {
  readonly #channel: Channel;
  readonly #session: ClientHttp2Session;
  readonly #share: Share;
  readonly #missed: (what: "limit" | "malformed") => void;
  /** Written, and not yet taken by the session: the program's windows are closed. */
  #waitingBytes = 0;
  #isOver = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param missed a request cannot be repeated as it is; or, once: all were ended because the session takes too little */
  constructor(channel: Channel, budget: CopyBudget, missed: (what: "limit" | "malformed") => void) {
    this.#channel = channel;
    this.#missed = missed;
    this.#share = new Share(budget, () => this.#waitingBytes + channel.queuedBytes);
    const duplex = duplexOf(channel);
    this.#session = connect("http://copy", {
      createConnection: () => duplex,
      settings: { enablePush: false },
    });
    this.#session.on("error", () => undefined);
    this.#session.once("close", () => this.#finish());
  }

  /** It takes another request. */
  get isOpen(): boolean {
    return !this.#isOver && !this.#session.closed && !this.#session.destroyed;
  }

  /**
   * @param headers name, value, name, value
   * @returns undefined: it cannot be repeated
   */
  request(headers: readonly string[], hasBody: boolean): Http2Request | undefined {
    const stream = this.#begin(headers, hasBody);
    if (stream === undefined) {
      this.#missed("malformed");
      return undefined;
    }
    stream.on("error", () => undefined);
    stream.resume();
    let trailers: IncomingHttpHeaders | undefined;
    stream.on("wantTrailers", () => stream.sendTrailers({ ...trailers }));
    return {
      data: (bytes) => {
        if (stream.destroyed || stream.closed) return;
        this.#waitingBytes += bytes.length;
        stream.write(bytes, () => {
          this.#waitingBytes -= bytes.length;
        });
        if (this.#share.hasRoom()) return;
        this.reset("ENOBUFS");
        this.#missed("limit");
      },
      end: (given) => {
        trailers = given;
        stream.end();
      },
      onAnswered: (listener) => {
        if (stream.destroyed) listener();
        else stream.once("close", listener);
      },
      cancel: (code) => {
        if (!stream.closed) stream.close(code === 0 ? constants.NGHTTP2_CANCEL : code);
      },
    };
  }

  /** As soon as it has answered all. */
  end(): void {
    if (this.#isOver || this.#timer !== undefined) return;
    this.#session.close();
    this.#timer = setTimeout(() => this.reset("ETIMEDOUT"), ANSWER_MS).unref();
  }

  reset(errno: string): void {
    if (this.#isOver) return;
    this.#finish();
    this.#channel.reset(errno);
    this.#session.destroy();
  }

  #begin(headers: readonly string[], hasBody: boolean): ClientHttp2Stream | undefined {
    const options = { endStream: !hasBody, waitForTrailers: hasBody };
    try {
      return this.#session.request(joined(headers, true), options);
    } catch {
      // Some headers node:http2 sends once only, and reads the first of.
    }
    try {
      return this.#session.request(joined(headers, false), options);
    } catch {
      return undefined;
    }
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#share.giveBack();
  }
}

/** @param isAll repeated headers, too; else the first of each, but for cookies, which HTTP/2 cuts into many */
function joined(headers: readonly string[], isAll: boolean): OutgoingHttpHeaders {
  const byName: Record<string, string | string[]> = Object.create(null);
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] as string;
    const value = headers[at + 1] as string;
    const before = byName[name];
    if (before === undefined) byName[name] = value;
    else if (isAll || name === "cookie") byName[name] = [before, value].flat();
  }
  return byName;
}
