/** An agent that is a relay pod: it serves a Service's ports from its start, and gives the Service back at its end. */
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { RelayPlace } from "@inpod/protocol";
import type { Ports } from "../incoming/ports.ts";
import type { Log } from "../log.ts";
import { restore } from "./restore.ts";
import { type ServiceApi, serviceApi } from "./service-api.ts";

const WAITS = {
  /**
   * The nodes' proxies learn of the selector one after the other, and write their rules once a second at most (kube-proxy's
   * minSyncPeriod), on a busy node later: who still comes shows that one of them has not done so. So long must be quiet.
   */
  settleMs: 2500,
  /** Somebody may know our pod's address by another way, and never stop. */
  maxSettleMs: 6000,
  /** Somebody else wrote the Service in between, or the API server was not there for a moment. */
  retryMs: 400,
  /** It may be away for minutes. */
  againMs: 5000,
  /** The same for who has been told to end. */
  giveUpMs: 8000,
  /** For what is under way when the Service is free. All three together are less than what targets gives (relay-objects.ts). */
  drainMs: 4000,
};
/** After the pod's start, its node's proxy may learn of the origin a second later; where nobody serves it nobody waits longer. */
const ORIGIN_MS = 3000;
const ORIGIN_LATE_MS = 1000;
const ORIGIN_RETRY_MS = 100;

/**
 * The kubelet tells each pod the addresses of the Services that were there before it: a cluster's DNS may not know one that
 * is a second old.
 */
export function originOf(
  { origin, namespace }: Pick<RelayPlace, "origin" | "namespace">,
  env: NodeJS.ProcessEnv,
): string {
  const variable = `${origin.toUpperCase().replaceAll("-", "_")}_SERVICE_HOST`;
  return env[variable] ?? `${origin}.${namespace}`;
}

type RelayPorts = Pick<Ports, "keep" | "drainAll" | "quietForMs">;

export class RelayPod {
  readonly #place: RelayPlace;
  readonly #ports: RelayPorts;
  readonly #log: Log;
  readonly #api: ServiceApi;
  readonly #waits: typeof WAITS;
  readonly #told = new AbortController();
  readonly #givenUp = new AbortController();
  #ending: Promise<void> | undefined;

  constructor(
    place: RelayPlace,
    ports: RelayPorts,
    log: Log,
    api: ServiceApi = serviceApi(place, process.env),
    waits = WAITS,
  ) {
    this.#place = place;
    this.#ports = ports;
    this.#log = log;
    this.#api = api;
    this.#waits = waits;
  }

  /**
   * Before anybody can learn that this agent is there, and so lead anybody to it.
   * @param connect to the origin. @throws listen(2)'s errors
   */
  async start(connect: (port: number) => Promise<Socket>): Promise<void> {
    const { ports, service, origin } = this.#place;
    await this.#ports.keep(ports);
    const isReached = await untilReached(ports, connect);
    this.#log("relay", { service, origin, ports: ports.join(","), isReached });
  }

  /**
   * The Service first, then what is under way. While it cannot be given back it leads to nobody but this pod, which goes on
   * for the Service's pods. Never rejects.
   */
  end(why: string): Promise<void> {
    this.#ending ??= this.#end(why);
    return this.#ending;
  }

  /** The same, by somebody who does not wait for long (the kubelet). */
  endSoon(why: string): Promise<void> {
    if (!this.#told.signal.aborted) {
      this.#told.abort();
      setTimeout(() => this.#givenUp.abort(), this.#waits.giveUpMs);
    }
    return this.end(why);
  }

  async #end(why: string): Promise<void> {
    const { service, restores } = this.#place;
    const { retryMs, againMs, drainMs } = this.#waits;
    const { signal } = this.#givenUp;
    for (let isFree = !restores; !isFree && !signal.aborted; ) {
      const given = await restore(this.#api, this.#place, retryMs, signal);
      this.#log(given.isFree ? "service-free" : "service-held", {
        service,
        why,
        outcome: given.why,
      });
      isFree = given.isFree;
      // Who has been told to end has no time to wait, but for that between attempts.
      if (!isFree) await delay(againMs, undefined, { signal: this.#told.signal }).catch(() => {});
    }
    await this.#settle();
    await this.#ports.drainAll(drainMs);
  }

  /** Until nobody comes any more. */
  async #settle(): Promise<void> {
    const { settleMs, maxSettleMs } = this.#waits;
    const since = performance.now();
    for (;;) {
      const passedMs = performance.now() - since;
      const quietMs = Math.min(this.#ports.quietForMs(), passedMs);
      const leftMs = Math.min(settleMs - quietMs, maxSettleMs - passedMs);
      if (leftMs <= 0) {
        this.#log("settled", { lastMs: Math.round(passedMs - quietMs) });
        return;
      }
      await delay(leftMs);
    }
  }
}

/** By any port: a node's proxy learns of all of them at once. */
async function untilReached(
  ports: readonly number[],
  connect: (port: number) => Promise<Socket>,
): Promise<boolean> {
  const deadline = performance.now() + ORIGIN_MS;
  const reach = async (port: number): Promise<boolean> => {
    const socket = await connect(port).catch(() => undefined);
    socket?.destroy();
    return socket !== undefined;
  };
  for (;;) {
    // A packet from before the proxy's rules has an entry of connection tracking that leads nowhere: another one is sent.
    const late = delay(ORIGIN_LATE_MS, false, { ref: false });
    const reached = ports.map((port) => Promise.race([reach(port), late]));
    if ((await Promise.all(reached)).includes(true)) return true;
    if (performance.now() > deadline) return false;
    await delay(ORIGIN_RETRY_MS);
  }
}
