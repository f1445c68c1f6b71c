/**
 * One client of a UDP port of the pod: a loopback socket of ours stands for it. What the client sends comes to the program
 * from there, under the client's name (the tap's), and what the program answers there goes back to the client.
 */
import type { Socket } from "node:dgram";
import { createSocket } from "node:dgram";
import type { Endpoint } from "@inpod/protocol";
import type { Channel } from "@inpod/session";
import type { Tap } from "@inpod/tap";
import { encodeAddress } from "@inpod/tap";

/** Datagrams that come before the socket is connected: streams are opened with data right behind. */
const MAX_EARLY = 64;
/** Bytes that the kernel has not taken yet; more are dropped, as a full socket buffer would. */
const MAX_QUEUED_BYTES = 1024 * 1024;

export interface FlowParts {
  readonly tap: Tap;
  readonly channel: Channel;
  readonly client: Endpoint;
  readonly local: Endpoint;
  /** Of the program's socket. */
  readonly real: { readonly port: number; readonly host: "127.0.0.1" | "::1" };
  /** Of a copy nothing goes back. */
  readonly answers: boolean;
  /** It has ended. `isRefused`: nobody is bound to that port any more. */
  readonly onEnd: (isRefused: boolean) => void;
}

export class UdpFlow {
  readonly #parts: FlowParts;
  readonly #socket: Socket;
  /** Ours, which stands for the client; 0: not yet. */
  port = 0;
  #early: Uint8Array[] | undefined = [];
  #forget: () => void = () => {};
  #queuedBytes = 0;
  #isOver = false;

  constructor(parts: FlowParts) {
    this.#parts = parts;
    const { channel, real } = parts;
    this.#socket = createSocket(real.host === "::1" ? "udp6" : "udp4");
    this.#socket.unref();
    this.#socket.on("message", (message) => {
      if (parts.answers) channel.datagram(message);
    });
    this.#socket.on("error", (error: NodeJS.ErrnoException) => this.#failed(error));
    this.#socket.once("connect", () => this.#connected());
    channel.onDatagram = (bytes) => {
      if (!this.#early) this.#send(bytes);
      else if (this.#early.length < MAX_EARLY) this.#early.push(bytes);
    };
    channel.onReset = () => this.#end(false);
    channel.onEnd = () => this.close("ECONNRESET");
    this.#socket.connect(real.port, real.host);
  }

  get client(): Endpoint {
    return this.#parts.client;
  }

  close(errno: string): void {
    if (this.#isOver) return;
    this.#end(false);
    this.#parts.channel.reset(errno);
  }

  #connected(): void {
    if (this.#isOver) return;
    const { tap, local, client } = this.#parts;
    this.port = this.#socket.address().port;
    this.#forget = tap.setName(
      "datagram",
      this.port,
      encodeAddress(local.address, local.port),
      encodeAddress(client.address, client.port),
    );
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const bytes of early) this.#send(bytes);
  }

  #send(bytes: Uint8Array): void {
    if (this.#isOver || this.#queuedBytes + bytes.length > MAX_QUEUED_BYTES) return;
    this.#queuedBytes += bytes.length;
    this.#socket.send(bytes, (error) => {
      this.#queuedBytes -= bytes.length;
      if (error) this.#failed(error);
    });
  }

  /** ECONNREFUSED is the kernel's word for a port that nobody is bound to; anything else costs one datagram. */
  #failed(error: NodeJS.ErrnoException): void {
    if (this.#isOver || error.code !== "ECONNREFUSED") return;
    this.#end(true);
    this.#parts.channel.reset("ECONNREFUSED");
  }

  #end(isRefused: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#forget();
    this.#socket.close();
    this.#parts.onEnd(isRefused);
  }
}
