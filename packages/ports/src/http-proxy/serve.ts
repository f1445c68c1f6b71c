/**
 * An HTTP proxy: CONNECT, and requests in absolute form. Reading and writing HTTP is node:http's, strict and bounded.
 * CONNECT and an Upgrade are bytes as they come; other requests go to their server by connections that are used again.
 */
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TunnelFailure } from "@inpod/session";
import { failureOf } from "../forward.ts";
import { join } from "../join.ts";
import { connectTo, type Destination, type Reach } from "../reach.ts";
import { Upstream } from "./upstream.ts";
import { type AbsoluteForm, endToEnd, hostOf, readAbsoluteForm, readAuthority } from "./words.ts";

const HEAD_MS = 10_000;
const IDLE_MS = 60_000;

export interface HttpProxyOptions {
  readonly reach: Reach;
  onFailure?(to: Destination, error: TunnelFailure): void;
  onConnected?(to: Destination): void;
  onRefused?(why: string): void;
  /** How long a client may take for the head of a request. Default: 10 s. */
  readonly headMs?: number | undefined;
}

export class HttpProxy {
  readonly #options: HttpProxyOptions;
  readonly #server: Server;
  readonly #upstream: Upstream;

  constructor(options: HttpProxyOptions) {
    this.#options = options;
    this.#upstream = new Upstream(options.reach, (to) => options.onConnected?.(to));
    const { headMs = HEAD_MS } = options;
    this.#server = createServer({
      headersTimeout: headMs,
      requestTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      connectionsCheckingInterval: headMs,
    });
    // Node looks after the time of heads, and knows its connections, of a server that listens (lib/_http_server.js,
    // setupConnectionsTracking, Node 20 to 26). This one is given its connections.
    this.#server.emit("listening");
    this.#server.timeout = 0;
    this.#server.on("request", (request, response) => this.#request(request, response));
    this.#server.on("connect", (request, socket, head) =>
      this.#connect(request, socket as Socket, head).catch(() => socket.destroy()),
    );
    this.#server.on("upgrade", (request, socket, head) =>
      this.#upgrade(request, socket as Socket, head).catch(() => socket.destroy()),
    );
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
      const isTooLong = error.code === "HPE_HEADER_OVERFLOW";
      if (!socket.writable) socket.destroy();
      else
        endWith(
          socket,
          answer(isTooLong ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400),
        );
    });
  }

  /** @param socket paused @param first what was read of it */
  serve(socket: Socket, first: Uint8Array): void {
    socket.unshift(first);
    this.#server.emit("connection", socket);
    socket.resume();
  }

  close(): void {
    this.#upstream.close();
    this.#server.closeAllConnections();
    this.#server.close(() => {});
  }

  async #connect(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const to = readAuthority(request.url ?? "");
    if (to === undefined) {
      this.#options.onRefused?.("CONNECT to what is no host and port");
      endWith(socket, answer(400, "CONNECT takes HOST:PORT"));
      return;
    }
    await this.#tunnel(socket, head, to, "HTTP/1.1 200 Connection established\r\n\r\n");
  }

  async #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const form = readAbsoluteForm(request.url ?? "");
    if (form === undefined) {
      endWith(socket, answer(400, NOT_A_WEB_SERVER));
      return;
    }
    await this.#tunnel(socket, Buffer.concat([upgradeHead(request, form), head]), form.to, "");
  }

  /** @param head goes to the server first @param greeting to the client, when the server is reached */
  async #tunnel(socket: Socket, head: Buffer, to: Destination, greeting: string): Promise<void> {
    socket.pause();
    // At once: after the end of what the client sends it is too late.
    if (head.length > 0) socket.unshift(head);
    socket.on("error", () => {});
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    socket.once("close", onClose);
    try {
      const { channel } = await connectTo(this.#options.reach, to, gone.signal);
      socket.off("close", onClose);
      if (socket.destroyed) {
        channel.reset("ECONNRESET");
        return;
      }
      this.#options.onConnected?.(to);
      if (greeting !== "") socket.write(greeting);
      join(socket, channel);
    } catch (error) {
      if (gone.signal.aborted) return;
      const failure = failureOf(error);
      this.#options.onFailure?.(to, failure);
      endWith(socket, answer(statusOf(failure), wordsOf(to, failure)));
    }
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    response.sendDate = false;
    const form = readAbsoluteForm(request.url ?? "");
    if (form === undefined) {
      const isHttps = /^https:/i.test(request.url ?? "");
      this.#options.onRefused?.(
        isHttps ? "https without CONNECT" : "a request to the proxy itself",
      );
      refuse(request, response, isHttps ? 501 : 400, isHttps ? USE_CONNECT : NOT_A_WEB_SERVER);
      return;
    }
    this.#pass(request, response, form, true);
  }

  #pass(
    request: IncomingMessage,
    response: ServerResponse,
    { to, path }: AbsoluteForm,
    mayRepeat: boolean,
  ): void {
    const headers = endToEnd(request.rawHeaders);
    // HTTP/1.0 does not ask for one, and 1.1, in which it goes on, does (RFC 9112, 3.2).
    if (request.headers.host === undefined) headers.push("Host", hostOf(to));
    const hasBody = isFramed(request);
    // A method that may have a body and has none is told so: else it would be sent in chunks.
    if (!hasBody && !/^(GET|HEAD|OPTIONS|TRACE)$/.test(request.method ?? ""))
      headers.push("Content-Length", "0");
    const wish: RequestOptions & { readonly setDefaultHeaders: boolean } = {
      agent: this.#upstream.agent,
      host: to.host,
      port: to.port,
      method: request.method ?? "GET",
      path,
      headers,
      setHost: false,
      setDefaultHeaders: false,
    };
    const outgoing = httpRequest(wish);
    const failed = (error: unknown): void => {
      const failure = failureOf(error);
      this.#options.onFailure?.(to, failure);
      refuse(request, response, statusOf(failure), wordsOf(to, failure));
    };
    outgoing.on("response", (incoming) => {
      const { statusCode = 0, statusMessage = "", rawHeaders } = incoming;
      try {
        response.writeHead(statusCode, statusMessage, forClient(request, endToEnd(rawHeaders)));
      } catch (error) {
        // Node reads status lines that it does not write: "000", or with control characters.
        incoming.destroy();
        failed(new TunnelFailure("EPROTO", (error as Error).message));
        return;
      }
      incoming.on("error", () => response.destroy()); // cut short there, cut short here
      incoming.pipe(response);
    });
    outgoing.on("information", ({ statusCode }) => {
      if (statusCode === 102) response.writeProcessing();
    });
    outgoing.on("error", (error) => {
      if (response.headersSent || response.destroyed) {
        response.destroy();
        return;
      }
      // A connection that was idle may have ended when the request was on its way.
      if (mayRepeat && outgoing.reusedSocket && !hasBody) {
        this.#pass(request, response, { to, path }, false);
        return;
      }
      failed(error);
    });
    response.once("close", () => {
      if (!response.writableFinished) outgoing.destroy();
    });
    if (hasBody) request.pipe(outgoing);
    else outgoing.end();
  }
}

/** Whether a body follows: RFC 9112, 6.3 of requests. */
const isFramed = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;

/** HTTP/1.0 knows no chunks: there a body without a length ends with the connection. */
const forClient = ({ httpVersion }: IncomingMessage, fields: readonly string[]): string[] =>
  httpVersion === "1.0"
    ? fields.filter((_, at) => fields[at - (at % 2)]?.toLowerCase() !== "transfer-encoding")
    : [...fields];

/** What the client still sends is of no use to anybody, and its end is seen by who reads. */
function endWith(socket: Duplex, last: string): void {
  socket.end(last);
  socket.resume();
}

/** The same of a request. */
function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  words: string,
): void {
  // With its own words: a head that could not be written has left its.
  response.writeHead(status, STATUS_CODES[status], ["Content-Type", TEXT, "Connection", "close"]);
  response.end(`${words}\n`);
  request.resume();
}

/** A whole response, after which the connection ends. */
function answer(status: number, words = STATUS_CODES[status] ?? ""): string {
  const body = `${words}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    `Content-Type: ${TEXT}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

/** As it came, but for its target and what was for the proxy. */
function upgradeHead(request: IncomingMessage, { path }: AbsoluteForm): Buffer {
  const lines = [`${request.method} ${path} HTTP/1.1`];
  const headers = [
    ...endToEnd(request.rawHeaders),
    ...["Connection", "Upgrade", "Upgrade", request.headers.upgrade ?? ""],
  ];
  for (let at = 0; at < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`);
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

const statusOf = ({ errno }: TunnelFailure): number => (errno === "ETIMEDOUT" ? 504 : 502);

const wordsOf = ({ host, port }: Destination, { errno, message }: TunnelFailure): string =>
  errno === "ENOENT" || errno === "EAGAIN"
    ? `inpod: the target does not know ${host}: ${message}`
    : errno === "EPROTO"
      ? `inpod: what ${host} port ${port} answers is no HTTP: ${message}`
      : `inpod: the target cannot connect to ${host} port ${port}: ${errno}`;

const TEXT = "text/plain; charset=utf-8";
const NOT_A_WEB_SERVER =
  "this is inpod's proxy, no web server: use it as a proxy (curl -x http://ADDRESS URL)";
const USE_CONNECT = "for https:// a client sends CONNECT to its proxy";
