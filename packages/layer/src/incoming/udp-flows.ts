/** One client of a UDP port of the pod: what it sends comes to the program under the client's name (the tap's). */
import type { Endpoint } from "@inpod/protocol";
import { type Channel, UdpDelivery } from "@inpod/session";
import type { Tap } from "@inpod/tap";
import { encodeAddress } from "@inpod/tap";

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
  readonly client: Endpoint;
  /** Ours, which stands for the client; 0: not yet. */
  port = 0;
  readonly #delivery: UdpDelivery;
  #forget: () => void = () => {};

  constructor({ tap, channel, client, local, real, answers, onEnd }: FlowParts) {
    this.client = client;
    this.#delivery = new UdpDelivery({
      channel,
      to: real,
      answers,
      onConnected: (port) => {
        this.port = port;
        this.#forget = tap.setName(
          "datagram",
          port,
          encodeAddress(local.address, local.port),
          encodeAddress(client.address, client.port),
        );
      },
      onEnd: (isRefused) => {
        this.#forget();
        onEnd(isRefused);
      },
    });
  }

  close(errno: string): void {
    this.#delivery.close(errno);
  }
}
