/** Clients of a UDP port of the target, each of which whoever is bound to a port here answers. */
import { UdpDelivery } from "@inpod/session";
import type { Channel } from "@inpod/tunnel";

/** Clients at once. */
const MAX_FLOWS = 1024;

export interface DatagramsOptions {
  /** Of 127.0.0.1. */
  readonly port: number;
  readonly way: "steal" | "mirror";
  onNobody?(): void;
  onSomebody?(): void;
}

export class Datagrams {
  readonly #options: DatagramsOptions;
  readonly #flows = new Set<UdpDelivery>();

  constructor(options: DatagramsOptions) {
    this.#options = options;
  }

  flow(channel: Channel): void {
    if (this.#flows.size >= MAX_FLOWS) {
      channel.reset("EMFILE");
      return;
    }
    const { port, way } = this.#options;
    const flow = new UdpDelivery({
      channel,
      to: { port, host: "127.0.0.1" },
      answers: way === "steal",
      onAnswer: () => this.#options.onSomebody?.(),
      onEnd: (isRefused) => {
        this.#flows.delete(flow);
        if (isRefused) this.#options.onNobody?.();
      },
    });
    this.#flows.add(flow);
  }
}
