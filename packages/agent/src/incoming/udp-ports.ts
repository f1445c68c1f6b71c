/**
 * Which session has which UDP port of the target. Each is one session's as a whole. As with TCP a session stays its
 * holder, without a rule (pause, a lost tunnel), until it gives the port back; open flows end with the rule, because the
 * rules are for each datagram and not for a connection.
 */
import type { Endpoint, PortStatus } from "@inpod/protocol";
import type { Channel } from "@inpod/tunnel";
import type { UdpRules } from "../control/enter.ts";
import { Failure } from "../failure.ts";
import type { Log } from "../log.ts";
import { FLOW_LIMITS, type FlowLimits, Flows } from "./udp-flows.ts";
import { UdpRelay } from "./udp-relay.ts";

const SWEEP_MS = 1000;

export interface UdpHolder {
  /** The session's id. */
  readonly id: string;
  /** Whose it is: other sessions see it when they want the same. */
  readonly name: string;
  /** A stream for what this client sends; undefined: there is none now. */
  openFlow(client: Endpoint, local: Endpoint): Channel | undefined;
  udpDropped(port: number): void;
  udpStealLost(port: number, detail: string): void;
}

interface StolenUdp {
  readonly port: number;
  readonly holder: UdpHolder;
  readonly flows: Flows;
  /** Undefined: there is no rule. */
  relay: UdpRelay | undefined;
}

export class UdpPorts {
  readonly #rules: UdpRules;
  readonly #log: Log;
  readonly #limits: FlowLimits;
  readonly #ports = new Map<number, StolenUdp>();
  /** One change after the other: what they find decides what they do. */
  #changes: Promise<unknown> = Promise.resolve();
  #sweep: NodeJS.Timeout | undefined;

  constructor(rules: UdpRules, log: Log, limits = FLOW_LIMITS) {
    this.#rules = rules;
    this.#log = log;
    this.#limits = limits;
  }

  /**
   * Idempotent for its holder. EADDRINUSE names another one, unless that is to lose it. Also puts the rule of a suspended
   * port back.
   */
  steal(port: number, holder: UdpHolder, takesOver = false): Promise<void> {
    return this.#change(async () => {
      const known = this.#ports.get(port);
      const other = known?.holder === holder ? undefined : known;
      if (other) {
        if (!takesOver) throw held(other);
        await this.#suspend(other, "taken over");
        this.#ports.delete(port);
        this.#log("taken-over", {
          port,
          protocol: "udp",
          session: other.holder.id,
          by: holder.id,
        });
        other.holder.udpStealLost(port, `${holder.name} has taken it over`);
      }
      const stolen = other || !known ? this.#new(port, holder) : known;
      try {
        await this.#activate(stolen);
        this.#ports.set(port, stolen);
      } finally {
        await this.#tidy();
      }
    });
  }

  statusOf(holder: UdpHolder): PortStatus[] {
    return this.#of(holder).map(({ port, flows, relay }) => ({
      ...{ port, protocol: "udp", way: "steal" },
      ...{ sinceMs: flows.since.getTime(), isActive: relay !== undefined },
      ...{ connections: flows.opened, requests: 0 },
    }));
  }

  /** Every datagram reaches the pod from the moment this resolves. Idempotent. */
  release(port: number, holder: UdpHolder): Promise<void> {
    return this.#change(async () => {
      const stolen = this.#ports.get(port);
      if (stolen?.holder === holder) await this.#giveBack(stolen, "released");
    });
  }

  /** All its rules away; the ports stay its own. Stops at the first failure. */
  suspend(holder: UdpHolder, why: string): Promise<void> {
    return this.#change(async () => {
      for (const stolen of this.#of(holder)) await this.#suspend(stolen, why);
      await this.#tidy();
    });
  }

  /** Rules back for what suspend() left. */
  resume(holder: UdpHolder): Promise<void> {
    return this.#change(async () => {
      for (const stolen of this.#of(holder)) await this.#activate(stolen);
    });
  }

  releaseAll(holder: UdpHolder, why: string): Promise<void> {
    return this.#change(async () => {
      for (const stolen of this.#of(holder)) await this.#giveBack(stolen, why);
    });
  }

  /** nft has ended, and with it every rule: nobody's port is stolen any more. */
  rulesLost(detail: string): Promise<void> {
    return this.#change(async () => {
      for (const stolen of [...this.#ports.values()]) {
        if (!stolen.relay) continue;
        this.#end(stolen);
        this.#ports.delete(stolen.port);
        this.#log("steal-lost", {
          port: stolen.port,
          protocol: "udp",
          session: stolen.holder.id,
          why: detail,
        });
        stolen.holder.udpStealLost(stolen.port, detail);
      }
      await this.#tidy();
    });
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => undefined);
    return result;
  }

  #of(holder: UdpHolder): StolenUdp[] {
    return [...this.#ports.values()].filter((stolen) => stolen.holder === holder);
  }

  #new(port: number, holder: UdpHolder): StolenUdp {
    const flows = new Flows(
      {
        open: (client, local) => holder.openFlow(client, local),
        dropped: () => holder.udpDropped(port),
      },
      () => performance.now(),
      this.#limits,
    );
    return { port, holder, flows, relay: undefined };
  }

  async #activate(stolen: StolenUdp): Promise<void> {
    if (stolen.relay) return;
    const { port, holder, flows } = stolen;
    const relay = await UdpRelay.open(port, (...datagram) => flows.datagram(...datagram));
    try {
      await this.#rules.stealUdp(port, relay.port);
    } catch (error) {
      relay.close();
      flows.close("ECONNABORTED");
      throw error;
    }
    stolen.relay = relay;
    this.#sweep ??= setInterval(() => {
      for (const each of this.#ports.values()) each.flows.sweep();
    }, SWEEP_MS).unref();
    this.#log("steal", { port, protocol: "udp", relay: relay.port, session: holder.id });
  }

  async #suspend(stolen: StolenUdp, why: string): Promise<void> {
    const { port, holder, relay } = stolen;
    if (!relay) return;
    relay.isMute = true;
    try {
      await this.#rules.releaseUdp(port);
    } catch (error) {
      relay.isMute = false;
      throw error;
    }
    this.#end(stolen);
    this.#log("release", { port, protocol: "udp", session: holder.id, why });
  }

  async #giveBack(stolen: StolenUdp, why: string): Promise<void> {
    await this.#suspend(stolen, why);
    this.#ports.delete(stolen.port);
    await this.#tidy();
  }

  #end(stolen: StolenUdp): void {
    stolen.relay?.close();
    stolen.relay = undefined;
    stolen.flows.close("ECONNABORTED");
  }

  async #tidy(): Promise<void> {
    if (this.#sweep === undefined || [...this.#ports.values()].some(({ relay }) => relay)) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
    await this.#rules.drained().catch((error: Error) => {
      this.#log("drain-failed", { why: error.message });
    });
  }
}

function held({ port, holder, flows }: StolenUdp): Failure {
  const from = flows.since.toISOString().slice(0, 19).replace("T", " ");
  return new Failure(
    "EADDRINUSE",
    `UDP port ${port} is stolen by ${holder.name} since ${from} UTC`,
  );
}
