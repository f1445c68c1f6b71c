/** Datagrams of this machine's programs to the subnets: for each socket and peer a connected socket of the target. */
import type { Channel, Session } from "@inpod/session";
import type { Ends } from "./frames.ts";

/** As nf_conntrack_udp_timeout_stream. */
const IDLE_MS = 120_000;
/** A resolver's socket is for one question. */
const DNS_IDLE_MS = 15_000;
const DNS_PORT = 53;
/** The oldest is forgotten first. */
const MAX_FLOWS = 4096;

interface Flow {
  readonly channel: Channel;
  readonly timer: NodeJS.Timeout;
}

export interface UdpParts {
  readonly session: Pick<Session, "openUdp">;
  readonly answer: (ends: Ends, payload: Uint8Array) => void;
  /** The destination learns that its source has refused it. */
  readonly refuse: (ends: Ends) => void;
}

export class UdpFlows {
  readonly #parts: UdpParts;
  readonly #flows = new Map<string, Flow>();

  constructor(parts: UdpParts) {
    this.#parts = parts;
  }

  received(ends: Ends, payload: Uint8Array): void {
    const { source, destination } = ends;
    const key = `${source.address} ${source.port} ${destination.address} ${destination.port}`;
    const flow = this.#flows.get(key) ?? this.#open(key, ends);
    flow?.timer.refresh();
    flow?.channel.datagram(payload);
  }

  #open(key: string, { source, destination }: Ends): Flow | undefined {
    const [oldest] = this.#flows.keys();
    if (this.#flows.size >= MAX_FLOWS && oldest !== undefined) this.#close(oldest);
    const back: Ends = { source: destination, destination: source };
    let channel: Channel;
    try {
      channel = this.#parts.session.openUdp(destination.address, destination.port);
    } catch {
      return undefined; // no tunnel just now: it is lost, as UDP may lose it
    }
    const idleMs = destination.port === DNS_PORT ? DNS_IDLE_MS : IDLE_MS;
    const timer = setTimeout(() => this.#close(key), idleMs).unref();
    channel.onDatagram = (message) => {
      timer.refresh();
      this.#parts.answer(back, message);
    };
    channel.onReset = (errno) => {
      clearTimeout(timer);
      this.#flows.delete(key);
      if (errno === "ECONNREFUSED") this.#parts.refuse(back);
    };
    const flow = { channel, timer };
    this.#flows.set(key, flow);
    return flow;
  }

  #close(key: string): void {
    const flow = this.#flows.get(key);
    this.#flows.delete(key);
    clearTimeout(flow?.timer);
    flow?.channel.reset("ECONNRESET");
  }

  close(): void {
    for (const key of [...this.#flows.keys()]) this.#close(key);
  }
}
