/** The target's ports that a session has: what it asked for, what the agent is told again, who is given what comes in. */
import { type FilterSpec, renderFilter } from "@inpod/http";
import type { PodPort, PortProtocol, StreamHeader } from "@inpod/protocol";
import type { Channel, Tunnel } from "@inpod/tunnel";
import { TunnelFailure } from "@inpod/tunnel";

export type IncomingHeader = Extract<StreamHeader, { kind: "incoming" }>;
export type OnConnection = (channel: Channel, header: IncomingHeader) => void;

/** `mirror`: copies, to which nothing is answered. */
export type Way = "steal" | "mirror";

/** How a port is had. */
export interface TakeOptions {
  /** Left out: TCP. */
  readonly protocol?: PortProtocol | undefined;
  /** Which requests; undefined: everything. */
  readonly filter?: FilterSpec | undefined;
  /**
   * Of several targets, by the name of each: the port's number there, where it is not the same in all; undefined: it has
   * none. Only a Fan reads it, and then the number that it is asked for is only what the port is called.
   */
  readonly portAt?: ((name: string) => number | undefined) | undefined;
}

export interface StealOptions extends TakeOptions {
  /** Another session that holds the same loses it. Not asked for again when the tunnel is made anew. */
  readonly takesOver?: boolean;
}

export interface Taken extends TakeOptions {
  readonly port: number;
  readonly way: Way;
  readonly onConnection: OnConnection;
  /** Whether the target's connections from before are ended, so that their clients come again. */
  readonly flush?: boolean;
  /** Whether responses say who answered. */
  readonly injectHeaders?: boolean;
}

/** A port that is stolen or mirrored until it is released. */
export interface Stolen {
  release(): Promise<void>;
}

/** TCP needs no word. */
export const podPort = ({ port, protocol }: Pick<Taken, "port" | "protocol">): PodPort =>
  protocol === "udp" ? { port, protocol } : { port };

const keyOf = ({ port, protocol }: Pick<Taken, "port" | "protocol">): string =>
  `${protocol ?? "tcp"} ${port}`;

export class TakenPorts {
  readonly #taken = new Map<string, Taken>();
  /** Released while there was no tunnel: the agent still holds them for us. */
  readonly #released = new Map<string, PodPort>();

  get all(): readonly Taken[] {
    return [...this.#taken.values()];
  }

  get released(): readonly PodPort[] {
    return [...this.#released.values()];
  }

  /** Before the agent answers: connections may overtake it. */
  add(taken: Taken): void {
    this.#released.delete(keyOf(taken));
    this.#taken.set(keyOf(taken), taken);
  }

  has(taken: Taken): boolean {
    return this.#taken.get(keyOf(taken)) === taken;
  }

  /** Whose `port` is. */
  of(port: Pick<Taken, "port" | "protocol">): Taken | undefined {
    return this.#taken.get(keyOf(port));
  }

  /** The agent does not hold it (any more). */
  forget(port: Pick<Taken, "port" | "protocol">): void {
    this.#taken.delete(keyOf(port));
  }

  /** It is nobody's here; the agent is still to be told. */
  release(taken: Taken): void {
    this.#taken.delete(keyOf(taken));
    this.#released.set(keyOf(taken), podPort(taken));
  }

  /** The agent was told. */
  settle(port: PodPort): void {
    this.#released.delete(keyOf(port));
  }
}

/** @throws TunnelFailure also EOPNOTSUPP: this agent would leave out what it does not know, and take something else */
export async function askFor(tunnel: Tunnel, taken: Taken, takesOver = false): Promise<void> {
  const { way, filter, flush, injectHeaders } = taken;
  const params = podPort(taken);
  const needs = (feature: string, what: string): void => {
    if (tunnel.peer.features.includes(feature)) return;
    throw new TunnelFailure("EOPNOTSUPP", `this agent is too old for ${what}`);
  };
  if (params.protocol === "udp") needs("udp-ports", "UDP ports");
  const filtered = filter === undefined ? {} : { filter: renderFilter(filter) };
  if (way === "mirror") {
    if (filter !== undefined) needs("mirror-filter", "filters on what is mirrored");
    await tunnel.call("incoming.mirror", { ...params, ...filtered });
    return;
  }
  if (filter !== undefined) needs("http-filter", "filters");
  if (injectHeaders) needs("inject-headers", "agent.inject_headers");
  await tunnel.call("incoming.steal", {
    ...params,
    ...filtered,
    ...(flush ? { flush } : {}),
    ...(takesOver ? { takesOver } : {}),
    ...(injectHeaders ? { injectHeaders } : {}),
  });
}
