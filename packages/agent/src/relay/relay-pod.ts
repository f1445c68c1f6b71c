/** An agent that is a relay pod: it serves a Service's ports from its start, and gives the Service back at its end. */
import { setTimeout as delay } from "node:timers/promises";
import type { RelayPlace } from "@inpod/protocol";
import type { Ports } from "../incoming/ports.ts";
import type { Log } from "../log.ts";
import { restore } from "./restore.ts";
import { type ServiceApi, serviceApi } from "./service-api.ts";

/** The nodes' proxies learn of the selector one after the other: so long connections may still come here. */
const SETTLE_MS = 1500;
/** For what is under way after that. */
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
  #ending: Promise<void> | undefined;

  constructor(
    place: RelayPlace,
    ports: Pick<Ports, "keep" | "drainAll">,
    log: Log,
    api: ServiceApi = serviceApi(place, process.env),
  ) {
    this.#place = place;
    this.#ports = ports;
    this.#log = log;
    this.#api = api;
  }

  /** Before anybody can learn that this agent is there. @throws listen(2)'s errors */
  async start(): Promise<void> {
    const { ports, service, origin } = this.#place;
    await this.#ports.keep(ports);
    this.#log("relay", { service, origin, ports: ports.join(",") });
  }

  /** The Service first, then what is under way. Never rejects. */
  end(why: string): Promise<void> {
    this.#ending ??= this.#end(why);
    return this.#ending;
  }

  async #end(why: string): Promise<void> {
    const { service, restores } = this.#place;
    if (restores) {
      const { isFree, why: outcome } = await restore(this.#api, this.#place);
      this.#log(isFree ? "service-free" : "service-held", { service, why, outcome });
    }
    await delay(SETTLE_MS);
    await this.#ports.drainAll(DRAIN_MS);
  }
}
