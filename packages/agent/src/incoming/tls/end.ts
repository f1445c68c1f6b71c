/**
 * Ends a client's TLS, so that filters see what is inside: with the certificate that somebody has given for it, and only
 * after the pod's own server has said what it would speak. What cannot be ended, or must not, goes untouched where it
 * would go without certificates.
 */
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { type ClientHello, HelloReader } from "@inpod/http";
import type { TlsFacts, TlsObstacle } from "@inpod/protocol";
import { carriedBy, reset } from "../reset.ts";
import { chooseCertificate, type ServerCertificate } from "./certificates.ts";
import { type PodTls, tlsWithPod } from "./pod.ts";

/** For the client's first message, and again for its part of the handshake. */
const CLIENT_MS = 10_000;
const TLS_1_2 = 0x0303;
/** What has been found out of a name is asked again after so long, and each time costs the pod a handshake. */
const REMEMBERED_MS = 30_000;
const MAX_REMEMBERED = 256;

export interface TlsParts {
  /** Of all who filter this port, in the order in which they came. */
  certificates(): readonly ServerCertificate[];
  /** To the pod's server, without TLS. */
  connect(): Promise<Socket>;
  /** `detail` for people: a name, or the reason as OpenSSL gives it. */
  onObstacle(why: TlsObstacle, detail: string): void;
  /** @param openPod inside TLS, for who is answered by the pod */
  serve(inside: Socket, facts: TlsFacts, openPod: () => Promise<Socket>): void;
}

type Raw = (early: Buffer, why: string) => void;

/** What the pod's server said to a client; `nobody`: none listens, and who is answered by a session needs none. */
type PodAnswer =
  | { readonly kind: "tls"; readonly tls: PodTls }
  | { readonly kind: "nobody" | "asks-for-certificate" }
  | { readonly kind: "failed"; readonly why: string };

/** What each client of a name would learn again. */
interface Remembered {
  readonly answer: "asks-for-certificate" | X509Certificate | undefined;
  readonly untilMs: number;
}

export class TlsEnds {
  /** Of names that could not be served, by name; "" for none. */
  readonly #remembered = new Map<string, Remembered>();

  /**
   * @param client paused, half-open allowed
   * @param early what it has sent, which begins as TLS does
   * @param raw takes over a client that is paused again, with all that it has sent
   */
  end(client: Socket, early: Buffer, parts: TlsParts, raw: Raw): void {
    if (parts.certificates().length === 0) {
      parts.onObstacle("no-certificate", "");
      raw(early, "tls without a certificate");
      return;
    }
    readHello(client, early, (bytes, hello) => {
      if (typeof hello === "string") raw(bytes, hello);
      else if (hello.newestVersion < TLS_1_2) raw(bytes, "tls older than 1.2");
      else this.#meet(client, bytes, hello, parts, raw).catch(() => reset(client));
    });
  }

  async #meet(
    client: Socket,
    bytes: Buffer,
    hello: ClientHello,
    parts: TlsParts,
    raw: Raw,
  ): Promise<void> {
    const untouched = (why: TlsObstacle, detail: string): void => {
      parts.onObstacle(why, detail);
      raw(bytes, `tls: ${why}`);
    };
    const name = hello.serverName ?? "";
    const choose = (ofPod: X509Certificate | undefined): ServerCertificate | undefined =>
      chooseCertificate(parts.certificates(), hello.serverName, ofPod);
    const known = this.#known(name);
    if (known?.answer === "asks-for-certificate") return untouched("client-certificate", "");
    if (known && !choose(known.answer)) return untouched("other-name", name);

    const answer = await askPod(hello, parts);
    const pod = answer.kind === "tls" ? answer.tls : undefined;
    if (client.destroyed) {
      pod?.socket.destroy();
      return;
    }
    if (answer.kind === "failed") return untouched("pod", answer.why);
    if (answer.kind === "asks-for-certificate") {
      this.#remember(name, answer.kind);
      return untouched("client-certificate", "");
    }
    const certificate = choose(pod?.certificate);
    if (certificate === undefined) {
      pod?.socket.destroy();
      this.#remember(name, pod?.certificate);
      return untouched("other-name", name);
    }
    const alpn = pod === undefined ? withoutPod(hello.alpn) : pod.alpn;
    if (alpn !== undefined && !/^(h2|http\/1\.[01])$/.test(alpn)) {
      pod?.socket.destroy();
      raw(bytes, "tls around something that is not HTTP");
      return;
    }
    const connections = keepReady(pod?.socket, async () => {
      const opened = await tlsWithPod(await parts.connect(), {
        ...hello,
        alpn: alpn === undefined ? [] : [alpn],
      });
      if (opened === "asks-for-certificate")
        throw new Error("the server asks for a certificate now");
      return opened.socket;
    });
    client.unshift(bytes);
    accept(client, certificate, alpn, {
      onSecure: (inside) => {
        inside.once("close", connections.close);
        const facts = {
          ...(hello.serverName === undefined ? {} : { serverName: hello.serverName }),
          ...(alpn === undefined ? {} : { alpn }),
        };
        parts.serve(inside, facts, connections.take);
      },
      onFailed: (why) => {
        connections.close();
        if (why !== undefined) parts.onObstacle("refused", why);
      },
    });
  }

  #known(name: string): Remembered | undefined {
    const known = this.#remembered.get(name);
    if (known && known.untilMs > performance.now()) return known;
    this.#remembered.delete(name);
    return undefined;
  }

  #remember(name: string, answer: Remembered["answer"]): void {
    this.#remembered.delete(name);
    this.#remembered.set(name, { answer, untilMs: performance.now() + REMEMBERED_MS });
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > MAX_REMEMBERED && oldest !== undefined)
      this.#remembered.delete(oldest);
  }
}

async function askPod(hello: ClientHello, { connect }: TlsParts): Promise<PodAnswer> {
  let socket: Socket;
  try {
    socket = await connect();
  } catch {
    return { kind: "nobody" };
  }
  try {
    const tls = await tlsWithPod(socket, hello);
    return tls === "asks-for-certificate" ? { kind: tls } : { kind: "tls", tls };
  } catch (error) {
    return { kind: "failed", why: reasonOf(error) ?? "the connection was closed" };
  }
}

/** `found`: the message, or why there is none; the client is paused then. */
function readHello(
  client: Socket,
  early: Buffer,
  found: (bytes: Buffer, hello: ClientHello | string) => void,
): void {
  const reader = new HelloReader();
  const all: Buffer[] = [];
  const stop = (hello: ClientHello | string): void => {
    clearTimeout(timer);
    client.off("data", take);
    client.off("end", ended);
    client.off("close", closed);
    client.pause();
    found(Buffer.concat(all), hello);
  };
  const take = (bytes: Buffer): void => {
    all.push(bytes);
    const reading = reader.push(bytes);
    if (reading.kind === "hello") stop(reading.hello);
    else if (reading.kind === "no-hello") stop(reading.why);
  };
  const ended = (): void => stop("ended");
  const closed = (): void => clearTimeout(timer);
  const timer = setTimeout(() => stop("half a ClientHello"), CLIENT_MS);
  client.on("data", take);
  client.once("end", ended);
  client.once("close", closed);
  take(early);
  if (client.listenerCount("data", take) > 0) client.resume();
}

interface Accepted {
  onSecure(inside: Socket): void;
  /** The client's connection is closed. Undefined: by the client, without a word. */
  onFailed(why: string | undefined): void;
}

/** @param alpn what is answered to a client that offers it; undefined: nothing */
function accept(
  client: Socket,
  certificate: ServerCertificate,
  alpn: string | undefined,
  { onSecure, onFailed }: Accepted,
): void {
  const tls = new TLSSocket(client, {
    isServer: true,
    secureContext: certificate.context,
    ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
  });
  let isOver = false;
  const over = (error?: Error): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    onFailed(error && reasonOf(error));
    // An alert that is on its way still reaches the client.
    tls.destroySoon();
  };
  const timer = setTimeout(() => {
    over();
    client.destroy();
  }, CLIENT_MS);
  const closed = (): void => over();
  tls.on("error", over);
  client.once("close", closed);
  tls.once("secure", () => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    client.off("close", closed);
    onSecure(carriedBy(tls, client));
  });
}

/** The pod's server does not answer: what every server speaks, if the client does. */
const withoutPod = (offered: readonly string[]): string | undefined =>
  ["http/1.1", "h2"].find((protocol) => offered.includes(protocol));

/**
 * A connection that stands already is for the first who needs one, unless the other end has closed it; the next ones
 * are made.
 */
function keepReady(
  ready: Socket | undefined,
  open: () => Promise<Socket>,
): { take(): Promise<Socket>; close(): void } {
  let held = ready;
  // An end is only seen by who reads; what comes before it is for the one who takes it.
  const look = (): void => {
    if (held?.readableLength === 0) held.read();
  };
  const forget = (): void => {
    held?.destroy();
    held = undefined;
  };
  ready?.on("readable", look);
  ready?.once("end", forget);
  ready?.once("close", forget);
  return {
    take: () => {
      const socket = held;
      if (socket === undefined) return open();
      held = undefined;
      socket.off("readable", look);
      socket.off("end", forget);
      socket.off("close", forget);
      return Promise.resolve(socket);
    },
    close: forget,
  };
}

/** `sslv3 alert certificate unknown` */
function reasonOf(error: unknown): string | undefined {
  const { reason, code, message } = error as { reason?: string; code?: string; message?: string };
  if (code === "ECONNRESET" || code === "EPIPE") return undefined;
  return (reason ?? message ?? code ?? "").slice(0, 200);
}
