/**
 * One client of a UDP port of the target: a loopback socket of ours stands for it. What the client sends goes from there
 * to a port of this machine, and what is answered there goes back to the client.
 */
import { createSocket, type Socket } from "node:dgram";
import type { Channel } from "@inpod/tunnel";

/** Datagrams that come before the socket is connected: streams are opened with data right behind. */
const MAX_EARLY = 64;
/** Bytes that the kernel has not taken yet; more are dropped, as a full socket buffer would. */
const MAX_QUEUED_BYTES = 1024 * 1024;

export interface UdpDeliveryOptions {
  readonly channel: Channel;
  readonly to: { readonly port: number; readonly host: "127.0.0.1" | "::1" };
  /** Of a copy nothing goes back. */
  readonly answers: boolean;
  /** Before anything is sent. @param port of our socket, which stands for the client */
  onConnected?(port: number): void;
  /** Whoever is bound there has said something. */
  onAnswer?(): void;
  /** Once. `isRefused`: nobody is bound to that port. */
  onEnd(isRefused: boolean): void;
}

export class UdpDelivery {
  readonly #options: UdpDeliveryOptions;
  readonly #socket: Socket;
  #early: Uint8Array[] | undefined = [];
  #queuedBytes = 0;
  #isOver = false;

  constructor(options: UdpDeliveryOptions) {
    this.#options = options;
    const { channel, to } = options;
    this.#socket = createSocket(to.host === "::1" ? "udp6" : "udp4");
    this.#socket.unref();
    this.#socket.on("message", (message) => {
      options.onAnswer?.();
      if (options.answers) channel.datagram(message);
    });
    this.#socket.on("error", (error: NodeJS.ErrnoException) => this.#failed(error));
    this.#socket.once("connect", () => this.#connected());
    channel.onDatagram = (bytes) => {
      if (this.#early === undefined) this.#send(bytes);
      else if (this.#early.length < MAX_EARLY) this.#early.push(bytes);
    };
    channel.onReset = () => this.#end(false);
    channel.onEnd = () => this.close("ECONNRESET");
    this.#socket.connect(to.port, to.host);
  }

  close(errno: string): void {
    if (this.#isOver) return;
    this.#end(false);
    this.#options.channel.reset(errno);
  }

  #connected(): void {
    if (this.#isOver) return;
    this.#options.onConnected?.(this.#socket.address().port);
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
    this.#options.channel.reset("ECONNREFUSED");
  }

  #end(isRefused: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#socket.close();
    this.#options.onEnd(isRefused);
  }
}
