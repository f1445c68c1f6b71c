/**
 * The clients of one UDP port: all that one sends is one stream of the tunnel. UDP has no end, so that silence is one; and
 * anybody can send from any address, so that there are never more than so many. Whoever calls has the clock.
 */
import type { Endpoint } from "@inpod/protocol";
import type { Channel } from "@inpod/tunnel";

export interface FlowLimits {
  readonly flows: number;
  /** Without a datagram either way. */
  readonly idleMs: number;
  /** Where there are too many, the one that is silent longest makes room, if it has been for so long. */
  readonly roomAfterMs: number;
}

export const FLOW_LIMITS: FlowLimits = { flows: 1024, idleMs: 60_000, roomAfterMs: 2000 };

export interface FlowHandlers {
  /** A stream for a client that is not known; undefined: there is none now. */
  open(client: Endpoint, local: Endpoint): Channel | undefined;
  /** A datagram found no room: too many clients, or a tunnel that takes no more. */
  dropped(): void;
}

interface Flow {
  /** Undefined: the session has not taken it, or has ended it. The next datagram but for REFUSED_MS opens another. */
  channel: Channel | undefined;
  atMs: number;
  answer: ((bytes: Uint8Array) => void) | undefined;
}

/** How soon a stream that was refused is opened again: a program may begin to listen. */
const REFUSED_MS = 1000;

export class Flows {
  readonly #handlers: FlowHandlers;
  readonly #limits: FlowLimits;
  readonly #now: () => number;
  readonly since = new Date();
  /** How many there have been. */
  opened = 0;
  /** Who was heard last is last. */
  readonly #flows = new Map<string, Flow>();

  constructor(handlers: FlowHandlers, now: () => number, limits = FLOW_LIMITS) {
    this.#handlers = handlers;
    this.#now = now;
    this.#limits = limits;
  }

  get count(): number {
    return this.#flows.size;
  }

  /** @param answer what sends back to the client, of a port that is stolen */
  datagram(
    bytes: Uint8Array,
    client: Endpoint,
    local: Endpoint,
    answer?: (bytes: Uint8Array) => void,
  ): void {
    const key = `${client.address} ${client.port} ${local.address}`;
    const flow = this.#heard(key) ?? this.#open(key, client, local);
    if (!flow) return;
    flow.answer = answer;
    if (flow.channel && !flow.channel.datagram(bytes)) this.#handlers.dropped();
  }

  /** Ends what has been silent for too long. */
  sweep(): void {
    const now = this.#now();
    for (const [key, { channel, atMs }] of this.#flows) {
      if (now - atMs < this.#limits.idleMs) return;
      this.#flows.delete(key);
      channel?.reset("ETIMEDOUT");
    }
  }

  close(errno: string): void {
    const all = [...this.#flows.values()];
    this.#flows.clear();
    for (const { channel } of all) channel?.reset(errno);
  }

  #heard(key: string): Flow | undefined {
    const flow = this.#flows.get(key);
    if (!flow) return undefined;
    const now = this.#now();
    if (!flow.channel && now - flow.atMs >= REFUSED_MS) {
      this.#flows.delete(key);
      return undefined;
    }
    if (flow.channel) {
      flow.atMs = now;
      this.#flows.delete(key);
      this.#flows.set(key, flow);
    }
    return flow;
  }

  #open(key: string, client: Endpoint, local: Endpoint): Flow | undefined {
    if (this.#flows.size >= this.#limits.flows && !this.#makeRoom()) {
      this.#handlers.dropped();
      return undefined;
    }
    const channel = this.#handlers.open(client, local);
    if (!channel) return undefined;
    this.opened++;
    const flow: Flow = { channel, atMs: this.#now(), answer: undefined };
    this.#flows.set(key, flow);
    channel.onDatagram = (bytes) => {
      if (!flow.answer) return;
      this.#heard(key);
      flow.answer(bytes);
    };
    const ended = (): void => {
      flow.channel = undefined;
      flow.atMs = this.#now();
    };
    channel.onReset = ended;
    channel.onEnd = () => {
      if (!flow.channel) return;
      ended();
      channel.reset("ECONNRESET");
    };
    return flow;
  }

  #makeRoom(): boolean {
    const [oldest] = this.#flows;
    if (!oldest || this.#now() - oldest[1].atMs < this.#limits.roomAfterMs) return false;
    this.#flows.delete(oldest[0]);
    oldest[1].channel?.reset("ETIMEDOUT");
    return true;
  }
}
