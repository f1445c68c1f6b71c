/**
 * One connection to a port of a pod, through the API server's and the kubelet's port-forward over WebSocket, as a Duplex.
 * Of the two ways to do so the API server chooses the first one that it knows: SPDY in it, which is the cheaper one
 * upwards, or else channels.
 *
 * @kubernetes/client-node's own ignores back pressure and copies each byte three times: 7.6 seconds
 * of processor time for a gigabyte upwards instead of 2.8.
 */
import { createHash, randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { ApiClient, Upgraded } from "./api-client.ts";
import { CHANNEL_SUBPROTOCOL, ChannelWire, type PortWire } from "./portforward-channels.ts";
import { SPDY_SUBPROTOCOL, SpdyWire } from "./portforward-spdy.ts";
import { encodeHeader, FrameParser, masked, OPCODE, WebSocketError } from "./websocket-frames.ts";

/** By preference. An API server that does not know the first one passes both on to the kubelet, which knows the other. */
const SUBPROTOCOLS = new Map<string, new (port: number) => PortWire>([
  [SPDY_SUBPROTOCOL, SpdyWire],
  [CHANNEL_SUBPROTOCOL, ChannelWire],
]);
/** RFC 6455 section 4.2.2. */
const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** Bytes per direction, as the sockets' own. */
const HIGH_WATER_MARK = 256 * 1024;
/** After our close frame the server ends the connection; when it does not, we do. */
const CLOSE_TIMEOUT_MS = 3_000;
const NO_MASK = new Uint8Array(4);
/** Bytes of a message up to which its pieces are joined: requests, credit, a keystroke. */
const GLUE_BYTES = 1024;

/** The port-forward ended, in the kubelet's words. */
export class PortForwardError extends Error {
  override readonly name = "PortForwardError";
  /** Nothing listens on the port (yet). */
  readonly isRefused: boolean;

  constructor(message: string, isRefused = false) {
    super(message);
    this.isRefused = isRefused;
  }
}

export interface PodPort {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

/**
 * Resolves when the API server has agreed, which is before anything in the pod was reached: that
 * nothing listens there is an error event later.
 *
 * Ending the writing side ends the connection as a whole, since the protocol has no half-close;
 * what the pod had sent by then can still be read.
 *
 * @throws ApiError, UserError when the API server cannot be reached, the signal's reason
 */
export async function dialPod(
  api: ApiClient,
  { namespace, pod, port }: PodPort,
  signal: AbortSignal,
): Promise<PodStream> {
  const key = randomBytes(16).toString("base64");
  const upgraded = await api.upgrade(
    { verb: "get", group: "", resource: "pods", subresource: "portforward", namespace, name: pod },
    { ports: String(port) },
    {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Protocol": [...SUBPROTOCOLS.keys()].join(", "),
      "Sec-WebSocket-Key": key,
    },
    signal,
  );
  const accept = createHash("sha1")
    .update(key + ACCEPT_GUID)
    .digest("base64");
  const Wire = SUBPROTOCOLS.get(upgraded.headers["sec-websocket-protocol"] ?? "");
  if (upgraded.headers["sec-websocket-accept"] !== accept || Wire === undefined) {
    upgraded.socket.destroy();
    throw new PortForwardError(`the server does not speak ${CHANNEL_SUBPROTOCOL}`);
  }
  return new PodStream(upgraded, new Wire(port), `port ${port} of pod "${pod}"`);
}

export class PodStream extends Duplex {
  /** Settles with the first byte from the pod, or with what ended the connection before. */
  readonly answered: Promise<void>;
  #onAnswer!: { resolve: () => void; reject: (error: Error) => void };
  readonly #socket: Duplex;
  readonly #isEncrypted: boolean;
  readonly #what: string;
  readonly #frames = new FrameParser();
  readonly #wire: PortWire;
  #closeTimer: NodeJS.Timeout | undefined;
  #isClosing = false;
  #hasEnded = false;

  constructor({ socket, head, isEncrypted }: Upgraded, wire: PortWire, what: string) {
    super({ readableHighWaterMark: HIGH_WATER_MARK, writableHighWaterMark: HIGH_WATER_MARK });
    this.#socket = socket;
    this.#isEncrypted = isEncrypted;
    this.#what = what;
    this.#wire = wire;
    this.answered = new Promise((resolve, reject) => {
      this.#onAnswer = { resolve, reject };
    });
    // Nobody has to wait for it.
    this.answered.catch(() => {});
    const { setNoDelay, setKeepAlive } = socket as TLSSocket;
    setNoDelay?.call(socket, true);
    setKeepAlive?.call(socket, true, 30_000);
    socket.on("data", (bytes: Buffer) => this.#receive(bytes));
    socket.on("error", (error) => this.destroy(error));
    // Without a close frame before it: the API server or something in between went away.
    socket.on("end", () => this.#ended("the connection was cut"));
    socket.on("close", () => this.#ended("the connection was cut"));
    if (wire.opening.length > 0) this.#message(OPCODE.binary, wire.opening);
    if (head.length > 0) this.#receive(head);
  }

  #receive(bytes: Uint8Array): void {
    let hasRoom = true;
    try {
      for (const event of this.#frames.push(bytes)) {
        if (event.kind === "ping") this.#message(OPCODE.pong, event.payload);
        else if (event.kind === "close") this.#closed(event.code, event.reason);
        else if (event.kind === "data") {
          for (const inside of this.#wire.push(event)) {
            if (inside.kind === "data") {
              hasRoom = this.push(inside.bytes);
              this.#onAnswer.resolve();
            } else if (inside.kind === "ping") this.#message(OPCODE.binary, inside.answer);
            else if (inside.kind === "end") this.#ended();
            else {
              this.destroy(explainChannelError(inside.text, this.#what));
              return;
            }
          }
        }
      }
    } catch (error) {
      if (!(error instanceof WebSocketError)) throw error;
      this.destroy(new PortForwardError(`${this.#what}: broken WebSocket: ${error.message}`));
      return;
    }
    if (!hasRoom) this.#socket.pause();
  }

  /** RFC 6455 section 7.4.1: 1000 is the normal end; the kubelet also closes without a code. */
  #closed(code: number, reason: string): void {
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#message(OPCODE.close, new Uint8Array(0));
    }
    if (code === 1000 || code === 1005) this.#ended();
    else
      this.destroy(
        new PortForwardError(`${this.#what}: closed by the server (${code}) ${reason}`.trim()),
      );
  }

  #ended(why?: string): void {
    if (this.#hasEnded || this.destroyed) return;
    this.#hasEnded = true;
    if (why !== undefined && !this.#isClosing) {
      this.destroy(new PortForwardError(`${this.#what}: ${why}`));
      return;
    }
    this.#onAnswer.reject(new PortForwardError(`${this.#what}: closed before a byte came`));
    // The other end reads no more either, so our writing side ends with it (autoDestroy follows).
    this.push(null);
    this.end();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#send([chunk], chunk.length, done);
  }

  override _writev(
    chunks: Array<{ chunk: Buffer; encoding: BufferEncoding }>,
    done: (error?: Error | null) => void,
  ): void {
    const parts = chunks.map(({ chunk }) => chunk);
    this.#send(
      parts,
      parts.reduce((sum, part) => sum + part.length, 0),
      done,
    );
  }

  /** Few frames, and no joined copies but of little; `done` when the kernel has taken all of it. */
  #send(parts: readonly Buffer[], total: number, done: (error?: Error | null) => void): void {
    if (this.#isClosing) {
      done(new PortForwardError(`${this.#what}: closed`));
      return;
    }
    const pieces: Uint8Array[] = [];
    let left = total;
    let frameLeft = 0;
    let offset = 0;
    let mask: Uint8Array = NO_MASK;
    for (const part of parts) {
      for (let at = 0; at < part.length; ) {
        if (frameLeft === 0) {
          frameLeft = Math.min(left, this.#wire.maxFrame);
          mask = this.#mask();
          const before = this.#wire.before(frameLeft);
          const header = encodeHeader(OPCODE.binary, before.length + frameLeft, mask);
          pieces.push(header, masked(before, mask));
          offset = before.length;
        }
        const piece = part.subarray(at, at + frameLeft);
        pieces.push(this.#isEncrypted ? piece : masked(piece, mask, offset));
        at += piece.length;
        left -= piece.length;
        frameLeft -= piece.length;
        offset += piece.length;
      }
    }
    if (total <= GLUE_BYTES) {
      this.#socket.write(Buffer.concat(pieces), done);
      return;
    }
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    // An empty write calls back after all that was written before it.
    this.#socket.write(new Uint8Array(0), done);
    this.#socket.uncork();
  }

  /**
   * Masks keep scripts in browsers from writing what a proxy on the way takes for HTTP. Inside TLS
   * no proxy sees the bytes, and a mask of zeros leaves them as they are.
   */
  #mask(): Uint8Array {
    return this.#isEncrypted ? NO_MASK : randomBytes(4);
  }

  #message(opcode: number, payload: Uint8Array): void {
    if (this.#socket.writableEnded || this.#socket.destroyed) return;
    const mask = this.#mask();
    this.#socket.write(
      Buffer.concat([encodeHeader(opcode, payload.length, mask), masked(payload, mask)]),
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#message(OPCODE.close, Uint8Array.of(0x03, 0xe8)); // 1000
    }
    this.#closeTimer = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#closeTimer);
    this.#socket.destroy();
    this.#onAnswer.reject(error ?? new PortForwardError(`${this.#what}: closed`));
    done(error);
  }
}

/** The container runtime's text names namespaces and sandbox ids; what it comes to is mostly one thing. */
function explainChannelError(text: string, what: string): PortForwardError {
  if (/connection refused/i.test(text))
    return new PortForwardError(`${what}: connection refused`, true);
  // No more than a line of foreign text, and nothing that moves a terminal's cursor.
  const line = text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 300);
  return new PortForwardError(`${what}: ${line}`);
}
