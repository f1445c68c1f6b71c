/** Datagrams to one peer of the target, and back: the target's socket is made by the first one. */
import { type Channel, TunnelFailure } from "@inpod/session";
import { addressesOf, type Destination, type Reach } from "./reach.ts";

/** Datagrams that come while the name is looked up. */
const MAX_EARLY = 64;

export interface FlowOptions {
  readonly reach: Reach;
  readonly to: Destination;
  /** `address`: of the peer, an IP literal. */
  readonly onDatagram: (bytes: Uint8Array, address: string) => void;
  /**
   * Once, and never after close(). ETIMEDOUT: nothing went either way for two minutes; ECONNRESET: the tunnel was lost.
   * What is sent afterwards needs a new flow.
   */
  readonly onEnd: (error: TunnelFailure) => void;
}

export class TargetFlow {
  readonly #options: FlowOptions;
  #channel: Channel | undefined;
  #early: Uint8Array[] | undefined = [];
  #isOver = false;

  constructor(options: FlowOptions) {
    this.#options = options;
    this.#open().catch((error: unknown) => this.#ended(error));
  }

  send(bytes: Uint8Array): void {
    if (this.#channel) this.#channel.datagram(bytes);
    else if (this.#early && this.#early.length < MAX_EARLY) this.#early.push(bytes);
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#early = undefined;
    this.#channel?.reset("ECANCELED");
  }

  async #open(): Promise<void> {
    const { reach, to, onDatagram } = this.#options;
    const [address = ""] = await addressesOf(reach, to.host);
    if (this.#isOver) return;
    const channel = reach.openUdp(address, to.port);
    this.#channel = channel;
    channel.onDatagram = (bytes) => {
      if (!this.#isOver) onDatagram(bytes, address);
    };
    channel.onReset = (errno, detail) => this.#ended(new TunnelFailure(errno, detail));
    channel.opened.catch((error: unknown) => this.#ended(error));
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const bytes of early) channel.datagram(bytes);
  }

  #ended(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#early = undefined;
    const { onEnd } = this.#options;
    if (error instanceof TunnelFailure) onEnd(error);
    else onEnd(new TunnelFailure("EIO", error instanceof Error ? error.message : String(error)));
  }
}
