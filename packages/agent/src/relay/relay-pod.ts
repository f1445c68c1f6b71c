/** An agent that is a relay pod: it serves a Service's ports from its start, and gives the Service back at its end. */
import { setTimeout as delay } from "node:timers/promises";
import type { RelayPlace } from "@inpod/protocol";
import type { Ports } from "../incoming/ports.ts";
import type { Log } from "../log.ts";
import { restore } from "./restore.ts";
import { type ServiceApi, serviceApi } from "./service-api.ts";

const WAITS = {
  /** The nodes' proxies learn of the selector one after the other: so long connections may still come here. */
  settleMs: 1500,
  /** Somebody else wrote the Service in between, or the API server was not there for a moment. */
  retryMs: 400,
  /** It may be away for minutes. */
  againMs: 5000,
};
/** For what is under way when the Service is free. */
const DRAIN_MS = 2000;

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

export class RelayPod {
  readonly #place: RelayPlace;
  readonly #ports: Pick<Ports, "keep" | "drainAll">;
  readonly #log: Log;
  readonly #api: ServiceApi;
  readonly #waits: typeof WAITS;
  readonly #told = new AbortController();
  #ending: Promise<void> | undefined;

  constructor(
    place: RelayPlace,
    ports: Pick<Ports, "keep" | "drainAll">,
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

  /** Before anybody can learn that this agent is there. @throws listen(2)'s errors */
  async start(): Promise<void> {
    const { ports, service, origin } = this.#place;
    await this.#ports.keep(ports);
    this.#log("relay", { service, origin, ports: ports.join(",") });
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
    this.#told.abort();
    return this.end(why);
  }

  async #end(why: string): Promise<void> {
    const { service, restores } = this.#place;
    const { settleMs, retryMs, againMs } = this.#waits;
    const { signal } = this.#told;
    for (let isFree = !restores; !isFree; ) {
      const isLast = signal.aborted;
      const given = await restore(this.#api, this.#place, retryMs);
      this.#log(given.isFree ? "service-free" : "service-held", {
        service,
        why,
        outcome: given.why,
      });
      isFree = given.isFree;
      if (isLast) break;
      if (!isFree) await delay(againMs, undefined, { signal }).catch(() => {});
    }
    await delay(settleMs);
    await this.#ports.drainAll(DRAIN_MS);
  }
}
