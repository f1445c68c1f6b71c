/** Nobody listens here: a client of HTTP is told so in its own words, any other one gets a reset. Both at once. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createServer2, type Http2Server } from "node:http2";
import type { Duplex } from "node:stream";
import { type Detection, Detector } from "@inpod/http";
import { type Channel, duplexOf } from "@inpod/session";

/** A client that has said nothing waits for the server's first word: then it is no HTTP. */
const SILENCE_MS = 100;
/** Of a request's body, before it is answered: who answers earlier makes some clients fail without reading the answer. */
const MAX_BODY = 64 * 1024 * 1024;
/** Of a request, from its first byte to the answer's last. */
const CLIENT_MS = 60_000;
/** gRPC's UNAVAILABLE. */
const UNAVAILABLE = "14";

/** Answers 502 to whatever it is asked. The connection ends with it, so that the next request asks anew who listens. */
export class Nobody {
  readonly #text: string;
  readonly #clientMs: number;
  #http1: Server | undefined;
  #http2: Http2Server | undefined;

  /** @param text of the body, for whoever reads the client's log @param clientMs how long a client is listened to */
  constructor(text: string, clientMs = CLIENT_MS) {
    this.#text = text;
    this.#clientMs = clientMs;
  }

  /** @param channel nobody has read of it */
  meet(channel: Channel): void {
    const detector = new Detector();
    const held: Uint8Array[] = [];
    let isOver = false;
    const reset = (): void => {
      isOver = true;
      clearTimeout(timer);
      channel.reset("ECONNREFUSED");
    };
    const timer = setTimeout(reset, SILENCE_MS);
    channel.onReset = () => {
      isOver = true;
      clearTimeout(timer);
    };
    let kind: Detection["kind"] = "undecided";
    const decide = (): void => {
      if (isOver || kind === "undecided") return;
      if (kind === "http1" || kind === "http2") {
        isOver = true;
        clearTimeout(timer);
        this.#serve(kind, duplexOf(channel, held));
      } else reset();
    };
    let isHeld = true;
    channel.onData = (bytes) => {
      if (isOver) return;
      held.push(bytes);
      kind = detector.push(bytes).kind;
      if (!isHeld) decide();
    };
    // What the channel had held is all there now, and its end may be next.
    isHeld = false;
    decide();
    if (!isOver) channel.onEnd = reset;
  }

  #serve(kind: "http1" | "http2", stream: Duplex): void {
    stream.on("error", () => {});
    // Node looks at its clients' time itself only where it listens.
    const late = setTimeout(() => stream.destroy(), this.#clientMs).unref();
    stream.once("close", () => clearTimeout(late));
    const server = kind === "http1" ? this.#server1() : this.#server2();
    server.emit("connection", stream);
  }

  #server1(): Server {
    if (this.#http1 !== undefined) return this.#http1;
    const server = createServer((request, response) => this.#answer(request, response));
    // Who asks first whether to send a body is answered before it does.
    server.on("checkContinue", (_, response: ServerResponse) => this.#end(response));
    // A client may end its direction with its request (RFC 9112, section 9.6). lib/_http_server.js, Node 0.6 to 26.
    Object.assign(server, { httpAllowHalfOpen: true });
    this.#http1 = server;
    return server;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    let length = 0;
    request.on("data", (bytes: Buffer) => {
      length += bytes.length;
      if (length > MAX_BODY && !response.writableEnded) this.#end(response);
    });
    request.once("end", () => {
      if (!response.writableEnded) this.#end(response);
    });
    request.on("error", () => {});
  }

  #end(response: ServerResponse): void {
    response.writeHead(502, { "content-type": "text/plain; charset=utf-8", connection: "close" });
    response.end(this.#text);
  }

  #server2(): Http2Server {
    if (this.#http2 !== undefined) return this.#http2;
    const server = createServer2();
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      stream.resume();
      const isGrpc = /^application\/grpc/.test(headers["content-type"] ?? "");
      if (isGrpc) {
        // "Trailers-Only" of gRPC's protocol: the status is in the one block of headers.
        const status = {
          "grpc-status": UNAVAILABLE,
          "grpc-message": encodeURIComponent(this.#text.trim()),
        };
        stream.respond(
          { ":status": 200, "content-type": "application/grpc", ...status },
          { endStream: true },
        );
      } else {
        stream.respond({ ":status": 502, "content-type": "text/plain; charset=utf-8" });
        stream.end(this.#text);
      }
      stream.session?.close();
    });
    server.on("session", (session) => session.on("error", () => {}));
    this.#http2 = server;
    return server;
  }
}
