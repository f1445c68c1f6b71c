/**
 * Which sessions want what of which port. A port's rule is there while one of them is active; a session stays
 * its holder, without a rule (pause, a lost tunnel), until it gives the port back. The relay stays as long as
 * connections are open or the rule is there, and without a rule they are asked to end.
 */
import type { Socket } from "node:net";
import { describeFilter } from "@inpod/http";
import type { PassedStatus, PortStatus } from "@inpod/protocol";
import type { Rules } from "../control/enter.ts";
import type { Log } from "../log.ts";
import type { OwnEnds } from "../mirror/own-ends.ts";
import { Arrivals } from "./arrivals.ts";
import { Canary } from "./canary.ts";
import { allEnded, ended } from "./draining.ts";
import type { OwnPorts } from "./own-ports.ts";
import { Relay } from "./relay.ts";
import { reset } from "./reset.ts";
import { isSomebodyComing } from "./still-coming.ts";
import {
  type Claim,
  claimOf,
  conflictsWith,
  type Holder,
  held,
  newStolenPort,
  reroute,
  ruleGoes,
  type StealOptions,
  type StolenPort,
  sameFilter,
} from "./stolen-port.ts";
import { takeOver } from "./take-over.ts";

/**
 * A connection whose SYN was redirected just before a release may reach our backlog just after: so long
 * a relay listens on.
 */
const LINGER_MS = 1000;
/** For what was asked before the session ended. A session waits for four seconds in all. */
const END_GRACE_MS = 1000;

export class Ports {
  readonly canary = new Canary();
  readonly #rules: Rules;
  readonly #arrivals: Arrivals;
  readonly #log: Log;
  readonly #lingerMs: number;
  readonly #ownPorts: OwnPorts | undefined;
  readonly #ports = new Map<number, StolenPort>();
  /** One change after the other: what they find decides what they do. */
  #changes: Promise<unknown> = Promise.resolve();
  #sweep: NodeJS.Timeout | undefined;
  #hasTable = false;

  /**
   * @param own where connections of ours to the pod are noted
   * @param ownPorts we are no target's neighbour: a port is taken by listening on it
   */
  constructor(
    rules: Rules,
    log: Log,
    own: Pick<OwnEnds, "add" | "remove">,
    lingerMs = LINGER_MS,
    ownPorts?: OwnPorts,
  ) {
    this.#rules = ownPorts ?? rules;
    this.#log = log;
    const toOrigin = ownPorts && ((port: number) => ownPorts.connect(port));
    this.#arrivals = new Arrivals({ rules, own, log, canary: this.canary, toOrigin });
    this.#lingerMs = lingerMs;
    this.#ownPorts = ownPorts;
  }

  /** Those that are served whoever takes them, from now until the agent's end. @throws listen(2)'s errors */
  async keep(ports: Iterable<number>): Promise<void> {
    for (const port of ports) {
      await this.#change(async () => {
        const stolen = newStolenPort(port);
        stolen.isKept = true;
        stolen.hasRule = true;
        stolen.relay = await this.#open(stolen);
        this.#ports.set(port, stolen);
      });
    }
  }

  /** Since the last connection came. */
  quietForMs(): number {
    const last = [...this.#ports.values()].map(({ relay }) => relay?.lastAtMs ?? 0);
    return performance.now() - Math.max(0, ...last);
  }

  /** Every connection is asked to end, and until `graceMs` have passed there is time to. Then there are no ports any more. */
  async drainAll(graceMs: number): Promise<void> {
    const all = [...this.#ports.values()];
    for (const { draining } of all) draining.begin();
    const relays = all.flatMap(({ relay }) => relay ?? []);
    await allEnded(relays, graceMs);
    for (const relay of relays) relay.close();
  }

  #open(stolen: StolenPort): Promise<Relay> {
    const handlers = {
      onConnection: (socket: Socket) => this.#arrivals.route(stolen, socket),
      onIdle: () => this.#sweepLater(),
    };
    return this.#ownPorts ? Relay.openOn(stolen.port, handlers) : Relay.open(handlers);
  }

  /**
   * Idempotent for its holder, whose earlier filter this one replaces. EADDRINUSE names another holder of the
   * same, unless it is to lose it. Also puts the rule of a suspended port back.
   */
  steal(port: number, holder: Holder, options: StealOptions = {}): Promise<void> {
    return this.#change(() => this.#claim(port, holder, options));
  }

  statusOf(holder: Holder): PortStatus[] {
    return [...this.#ports.values()].flatMap((stolen) => {
      const claim = claimOf(stolen, holder);
      if (claim === undefined) return [];
      const { filter, since, isActive, tally } = claim;
      return {
        port: stolen.port,
        protocol: "tcp" as const,
        way: "steal" as const,
        ...(filter === undefined ? {} : { filter: describeFilter(filter) }),
        sinceMs: since.getTime(),
        isActive,
        connections: tally.connections,
        requests: filter === undefined ? 0 : tally.requests,
      };
    });
  }

  /** Of ports that somebody has. */
  passedStatus(): PassedStatus[] {
    return [...this.#ports.values()]
      .filter(({ claims }) => claims.length > 0)
      .map(({ port, passed: { connections, requests } }) => ({ port, connections, requests }));
  }

  /** New connections reach the pod from the moment this resolves; open ones live on. Idempotent. */
  release(port: number, holder: Holder): Promise<void> {
    return this.#change(async () => {
      const stolen = this.#ports.get(port);
      if (stolen === undefined) return;
      await this.#suspendClaim(stolen, holder, "released");
      stolen.claims = stolen.claims.filter((claim) => claim.holder !== holder);
    });
  }

  /** What it says of probes is another thing than before. */
  probesChanged(holder: Holder): void {
    for (const stolen of this.#ports.values()) if (claimOf(stolen, holder)) reroute(stolen);
  }

  /** All its rules away; the ports stay its own. Stops at the first failure. */
  suspend(holder: Holder, why: string): Promise<void> {
    return this.#change(async () => {
      for (const stolen of this.#ports.values()) await this.#suspendClaim(stolen, holder, why);
    });
  }

  /** Rules back for what suspend() left. */
  resume(holder: Holder): Promise<void> {
    // One change: after a suspend() or releaseAll() that comes meanwhile, none of its rules may come back.
    return this.#change(async () => {
      for (const stolen of this.#ports.values()) {
        const claim = claimOf(stolen, holder);
        if (claim) await this.#activate(stolen, claim);
      }
    });
  }

  /** All its rules away, its connections reset, its ports free. */
  async releaseAll(holder: Holder, why: string): Promise<void> {
    for (const socket of await this.#giveBack(holder, why)) reset(socket);
  }

  /**
   * The same in good order: new connections reach the pod at once; for what is under way there is a second.
   *
   * @param isLast the agent ends, too, and with it every connection
   */
  async end(holder: Holder, isLast: () => boolean): Promise<void> {
    const left = await this.#giveBack(holder, "session ended");
    const all = [...this.#ports.values()];
    // What a kept port passes on is the Service's, which is given back first.
    const ending = isLast()
      ? all.flatMap(({ relay, isKept }) => (isKept ? [] : (relay ?? [])))
      : [];
    // Of connections that are not all its: those go on when it is gone.
    const shared = all.map(({ draining }) => draining.answered(holder, END_GRACE_MS));
    await Promise.all([ended(left, END_GRACE_MS), allEnded(ending, END_GRACE_MS), ...shared]);
  }

  /** @returns the connections that were all its */
  #giveBack(holder: Holder, why: string): Promise<Socket[]> {
    return this.#change(async () => {
      const sockets: Socket[] = [];
      for (const stolen of this.#ports.values()) {
        const claim = claimOf(stolen, holder);
        if (claim === undefined) continue;
        await this.#suspendClaim(stolen, holder, why);
        sockets.push(...claim.sockets);
        stolen.claims = stolen.claims.filter((other) => other !== claim);
      }
      return sockets;
    });
  }

  isRelay(port: number): boolean {
    return [...this.#ports.values()].some(({ relay }) => relay?.port === port);
  }

  /** nft has ended, and with it every rule: nobody's port is stolen any more. */
  rulesLost(detail: string): Promise<void> {
    return this.#change(async () => {
      for (const stolen of this.#ports.values()) {
        if (!stolen.hasRule) continue;
        ruleGoes(stolen);
        // Without translation their packets reach nobody.
        stolen.relay?.resetConnections();
        for (const { holder, isActive } of stolen.claims) {
          if (!isActive) continue;
          this.#log("steal-lost", { port: stolen.port, session: holder.id, why: detail });
          holder.stealLost(stolen.port, detail);
        }
        stolen.claims = stolen.claims.filter(({ isActive }) => !isActive);
        reroute(stolen);
      }
      this.#sweepLater();
    });
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => undefined);
    return result;
  }

  async #claim(port: number, holder: Holder, options: StealOptions): Promise<void> {
    const { filter, flush = false, injectHeaders = false, takesOver = false } = options;
    const stolen = this.#ports.get(port) ?? newStolenPort(port);
    const own = claimOf(stolen, holder);
    const isSame = own !== undefined && sameFilter(own.filter, filter);
    if (isSame) return this.#activate(stolen, own);
    const conflicts = conflictsWith(stolen, holder, filter);
    const [first] = conflicts;
    if (first !== undefined && !takesOver) throw held(port, first);
    const claim = {
      holder,
      filter,
      flush,
      injectHeaders,
      since: new Date(),
      tally: { connections: 0, requests: 0 },
      isActive: false,
      sockets: new Set<Socket>(),
    };
    this.#ports.set(port, stolen);
    let old: Claim | undefined = claim;
    try {
      await this.#activate(stolen, claim);
      old = own;
      for (const lost of conflicts) this.#takeFrom(stolen, lost, holder);
    } finally {
      stolen.claims = stolen.claims.filter((other) => other !== old);
      reroute(stolen);
    }
  }

  /** Its open connections live on. */
  #takeFrom(stolen: StolenPort, lost: Claim, by: Holder): void {
    const { port } = stolen;
    stolen.claims = stolen.claims.filter((other) => other !== lost);
    this.#log("steal-lost", { port, session: lost.holder.id, by: by.id });
    lost.holder.stealLost(port, `${by.name} has taken it over`);
  }

  async #activate(stolen: StolenPort, claim: Claim): Promise<void> {
    if (claim.isActive) return;
    const { port } = stolen;
    if (!stolen.hasRule) {
      try {
        stolen.relay ??= await this.#open(stolen);
        this.#hasTable = true;
        stolen.draining.stop();
        // Before the rule: the first connection finds whose it is.
        claim.isActive = true;
        if (!stolen.claims.includes(claim)) stolen.claims.push(claim);
        reroute(stolen);
        await this.#rules.steal(port, stolen.relay.port);
        stolen.hasRule = true;
      } catch (error) {
        claim.isActive = false;
        reroute(stolen);
        this.#sweepLater();
        throw error;
      }
    } else {
      claim.isActive = true;
      if (!stolen.claims.includes(claim)) stolen.claims.push(claim);
      reroute(stolen);
    }
    const { holder, filter } = claim;
    if (claim.flush && this.#ownPorts === undefined) void this.#takeOver(stolen, holder);
    this.#log("steal", {
      port,
      relay: stolen.relay?.port ?? 0,
      session: holder.id,
      ...(filter === undefined ? {} : { filter: describeFilter(filter) }),
    });
  }

  /** Once for each rule, whoever asks first. With a filter too: who comes again is asked of it. */
  async #takeOver(stolen: StolenPort, holder: Holder): Promise<void> {
    if (stolen.takingOver !== undefined) return;
    const { port } = stolen;
    stolen.takingOver = new AbortController();
    const { signal } = stolen.takingOver;
    try {
      const { idle, busy } = await takeOver(this.#rules, port, signal);
      if (idle + busy > 0) this.#log("taken-over", { port, idle, busy });
    } catch (error) {
      if (signal.aborted) return;
      const why = error instanceof Error ? error.message : String(error);
      this.#log("connections-kept", { port, why });
      holder.connectionsKept(port, why);
    }
  }

  async #suspendClaim(stolen: StolenPort, holder: Holder, why: string): Promise<void> {
    const claim = claimOf(stolen, holder);
    if (!claim?.isActive) return;
    const isLast = !stolen.claims.some((other) => other !== claim && other.isActive);
    if (isLast && stolen.isKept) {
      stolen.draining.begin();
      stolen.draining.stop();
    } else if (isLast && stolen.hasRule) {
      stolen.takingOver?.abort();
      await this.#rules.release(stolen.port);
      ruleGoes(stolen);
      this.#sweepLater();
    }
    claim.isActive = false;
    reroute(stolen);
    // Whoever comes again meets the pod, without us.
    this.#log("release", { port: stolen.port, session: holder.id, why });
  }

  #sweepLater(): void {
    clearTimeout(this.#sweep);
    this.#sweep = setTimeout(() => {
      this.#change(() => this.#removeDrained()).catch((error: Error) =>
        this.#log("drain-failed", { why: error.message }),
      );
    }, this.#lingerMs).unref();
  }

  async #removeDrained(): Promise<void> {
    for (const stolen of this.#ports.values()) {
      const { relay } = stolen;
      if (stolen.hasRule || (relay?.connectionCount ?? 0) > 0) continue;
      if (relay !== undefined && (await isSomebodyComing([relay.port]))) {
        this.#sweepLater();
        continue;
      }
      if ((relay?.connectionCount ?? 0) > 0) continue; // whoever came meanwhile
      relay?.close();
      stolen.relay = undefined;
      if (stolen.claims.length === 0) this.#ports.delete(stolen.port);
    }
    const isInUse = [...this.#ports.values()].some((stolen) => stolen.relay);
    if (isInUse || !this.#hasTable) return;
    await this.#rules.drained();
    this.#hasTable = false;
    this.#log("drained");
  }
}
