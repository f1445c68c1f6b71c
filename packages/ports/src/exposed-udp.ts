/** Clients of a UDP port of the target: a loopback socket of ours stands for each, and whoever is bound here answers it. */
import { createSocket, type Socket } from "node:dgram";
import type { Channel } from "@inpod/tunnel";

/** Clients at once. */
const MAX_FLOWS = 1024;
/** Datagrams that come before the socket is connected. */
const MAX_EARLY = 64;
/** Bytes that the kernel has not taken yet; more are dropped, as a full socket buffer would. */
const MAX_QUEUED_BYTES = 1024 * 1024;

export interface DatagramsOptions {
  /** Of 127.0.0.1. */
  readonly port: number;
  readonly way: "steal" | "mirror";
  onNobody?(): void;
  onSomebody?(): void;
}

export class Datagrams {
  readonly #options: DatagramsOptions;
  readonly #flows = new Set<Flow>();

  constructor(options: DatagramsOptions) {
    this.#options = options;
  }

  flow(channel: Channel): void {
    if (this.#flows.size >= MAX_FLOWS) {
      channel.reset("EMFILE");
      return;
    }
    const flow = new Flow(channel, this.#options, () => this.#flows.delete(flow));
    this.#flows.add(flow);
  }

  close(): void {
    for (const flow of [...this.#flows]) flow.close("ECONNRESET");
  }
}

class Flow {
  readonly #channel: Channel;
  readonly #options: DatagramsOptions;
  readonly #onEnd: () => void;
  readonly #socket: Socket;
  #early: Uint8Array[] | undefined = [];
  #queuedBytes = 0;
  #isOver = false;

  constructor(channel: Channel, options: DatagramsOptions, onEnd: () => void) {
    this.#channel = channel;
    this.#options = options;
    this.#onEnd = onEnd;
    this.#socket = createSocket("udp4");
    this.#socket.on("message", (message) => {
      options.onSomebody?.();
      if (options.way === "steal") channel.datagram(message);
    });
    this.#socket.on("error", (error: NodeJS.ErrnoException) => this.#failed(error));
    this.#socket.once("connect", () => this.#connected());
    channel.onDatagram = (bytes) => {
      if (this.#early === undefined) this.#send(bytes);
      else if (this.#early.length < MAX_EARLY) this.#early.push(bytes);
    };
    channel.onReset = () => this.#end();
    channel.onEnd = () => this.close("ECONNRESET");
    this.#socket.connect(options.port, "127.0.0.1");
  }

  close(errno: string): void {
    if (this.#isOver) return;
    this.#end();
    this.#channel.reset(errno);
  }

  #connected(): void {
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
    this.#options.onNobody?.();
    this.close("ECONNREFUSED");
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#socket.close();
    this.#onEnd();
  }
}
