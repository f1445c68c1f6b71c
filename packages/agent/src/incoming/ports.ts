/**
 * Which sessions want what of which port. A port's rule is there while one of them is active; a session stays
 * its holder, without a rule (pause, a lost tunnel), until it gives the port back. The relay stays as long as
 * connections are open or the rule is there, and without a rule they are asked to end.
 */
import type { Socket } from "node:net";
import {
  answeredBy,
  describeFilter,
  type Field,
  type FilterSpec,
  isConflict,
  Routes,
  relate,
  type Tally,
} from "@inpod/http";
import type { PassedStatus, PortStatus, TlsFacts, TlsObstacle } from "@inpod/protocol";
import type { OutgoingChannel } from "@inpod/tunnel";
import type { Rules } from "../control/enter.ts";
import { Failure } from "../failure.ts";
import type { Log } from "../log.ts";
import type { OwnEnds } from "../mirror/own-ends.ts";
import { endpoint } from "../outgoing/tcp.ts";
import { Canary } from "./canary.ts";
import { Connection } from "./connection.ts";
import { Draining, ended } from "./draining.ts";
import { type FilteredParts, SILENCE_MS, serveFiltered } from "./filtered.ts";
import { firstSign } from "./first-sign.ts";
import { addressed, connectToPod } from "./pass-through.ts";
import type { PortProbes } from "./probes.ts";
import { type Passage, Raw } from "./raw.ts";
import { Relay } from "./relay.ts";
import { takeOver } from "./take-over.ts";
import type { ServerCertificate } from "./tls/certificates.ts";
import { TlsEnds, type TlsParts } from "./tls/end.ts";
import { channelUpstream, podUpstream } from "./upstream.ts";

/**
 * A connection whose SYN was redirected just before a release may reach our backlog just after: so long
 * a relay listens on.
 */
const LINGER_MS = 1000;
/** For what was asked before the session ended. A session waits for two seconds. */
const END_GRACE_MS = 1000;

export interface Holder {
  /** The session's id. */
  readonly id: string;
  /** Whose it is: other sessions see it when they want the same. */
  readonly name: string;
  /** Takes the paused socket of a new connection to `port`, or resets it. */
  take(socket: Socket, port: number): void;
  /** A stream for some requests of this client, which were inside `tls`; undefined: there is none. */
  open(client: Socket, port: number, tls?: TlsFacts): OutgoingChannel | undefined;
  /** What it has given to end TLS on this port. */
  certificates(port: number): readonly ServerCertificate[];
  /** It filters the port, and its filter has not seen what came. */
  tlsUntouched(port: number, why: TlsObstacle, detail: string): void;
  stealLost(port: number, detail: string): void;
  /** What of the port is not its; undefined: nothing of it is a probe, or it takes those as well. */
  probes?(port: number): PortProbes | undefined;
  /** Connections to `port` from before stay with the pod. */
  connectionsKept(port: number, detail: string): void;
}

export interface StealOptions {
  /** undefined: everything that no filter takes. */
  readonly filter?: FilterSpec | undefined;
  /** Whether connections from before are taken over. */
  readonly flush?: boolean | undefined;
  /** Whether another holder of the same loses it. */
  readonly takesOver?: boolean | undefined;
  /** Whether responses say who answered. */
  readonly injectHeaders?: boolean | undefined;
}

interface Claim {
  readonly holder: Holder;
  /** undefined: everything that no filter takes. */
  readonly filter: FilterSpec | undefined;
  readonly flush: boolean;
  readonly injectHeaders: boolean;
  readonly since: Date;
  readonly tally: ConnectionTally;
  isActive: boolean;
  /** Connections that are all its. */
  readonly sockets: Set<Socket>;
}

type Destination = Holder | "pod";

interface ConnectionTally extends Tally {
  connections: number;
}

interface StolenPort {
  readonly port: number;
  /** In the order in which they came. */
  claims: Claim[];
  routes: Routes<Destination>;
  /** What went on to the pod. */
  readonly passed: ConnectionTally;
  probes: PortProbes | undefined;
  relay: Relay | undefined;
  hasRule: boolean;
  /** Of the rule of now; undefined: connections from before have not been taken over. */
  takingOver: AbortController | undefined;
  readonly tls: TlsEnds;
  readonly draining: Draining;
}

export class Ports {
  readonly canary = new Canary();
  readonly #rules: Rules;
  readonly #own: Pick<OwnEnds, "add" | "remove">;
  readonly #log: Log;
  readonly #lingerMs: number;
  readonly #ports = new Map<number, StolenPort>();
  /** One change after the other: what they find decides what they do. */
  #changes: Promise<unknown> = Promise.resolve();
  #sweep: NodeJS.Timeout | undefined;
  #hasTable = false;

  /** @param own where connections of ours to the pod are noted */
  constructor(rules: Rules, log: Log, own: Pick<OwnEnds, "add" | "remove">, lingerMs = LINGER_MS) {
    this.#rules = rules;
    this.#own = own;
    this.#log = log;
    this.#lingerMs = lingerMs;
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
    for (const socket of await this.#giveBack(holder, why)) socket.resetAndDestroy();
  }

  /**
   * The same in good order: new connections reach the pod at once; for what is under way there is a second.
   *
   * @param isLast the agent ends, too, and with it every connection
   */
  async end(holder: Holder, isLast: () => boolean): Promise<void> {
    const left = new Set(await this.#giveBack(holder, "session ended"));
    if (isLast()) {
      for (const { relay } of this.#ports.values())
        for (const socket of relay?.connections ?? []) left.add(socket);
    }
    await ended(left, END_GRACE_MS);
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
    const stolen = this.#ports.get(port) ?? {
      port,
      claims: [],
      routes: new Routes<Destination>("pod"),
      passed: { connections: 0, requests: 0 },
      probes: undefined,
      relay: undefined,
      hasRule: false,
      takingOver: undefined,
      tls: new TlsEnds(),
      draining: new Draining(),
    };
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
    this.#log("taken-over", { port, session: lost.holder.id, by: by.id });
    lost.holder.stealLost(port, `${by.name} has taken it over`);
  }

  async #activate(stolen: StolenPort, claim: Claim): Promise<void> {
    if (claim.isActive) return;
    const { port } = stolen;
    if (!stolen.hasRule) {
      try {
        stolen.relay ??= await Relay.open({
          onConnection: (socket) => this.#route(stolen, socket),
          onIdle: () => this.#sweepLater(),
        });
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
    if (claim.flush) void this.#takeOver(stolen, holder);
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
    if (isLast && stolen.hasRule) {
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

  /** For some milliseconds, once in a session: else nobody looks into a port that is stolen as a whole. */
  #lookForCanary(stolen: StolenPort, socket: Socket): void {
    firstSign(socket, SILENCE_MS, (sign) => {
      if (sign === "ended") this.canary.answer(socket, stolen.port);
      else this.#route(stolen, socket, true);
    });
  }

  /** @param isLooked it is not the canary */
  #route(stolen: StolenPort, socket: Socket, isLooked = false): void {
    const { probes, routes } = stolen;
    // Also one that is suspended: its rule has turned the connection here. Where nobody is left, there is the pod.
    const claim = stolen.claims.find(({ filter }) => filter === undefined);
    const isLookedInto = claim?.injectHeaders === true || !routes.isUnfiltered;
    if (!isLooked && this.canary.isOut(stolen.port)) this.#lookForCanary(stolen, socket);
    else if (claim === undefined || isLookedInto) this.#serve(stolen, socket);
    else if (!mayBeProbe(stolen, claim.holder, socket)) this.#give(stolen, claim, socket);
    else if (probes?.isRequest !== undefined) this.#serve(stolen, socket);
    else {
      firstSign(socket, SILENCE_MS, (sign) => {
        if (sign === "ended") this.#serve(stolen, socket, new Raw<Destination>("pod"));
        else if (stolen.claims.includes(claim)) this.#give(stolen, claim, socket);
        else this.#serve(stolen, socket);
      });
    }
  }

  #give({ port }: StolenPort, claim: Claim, socket: Socket): void {
    claim.tally.connections++;
    claim.sockets.add(socket);
    socket.once("close", () => claim.sockets.delete(socket));
    claim.holder.take(socket, port);
  }

  /** @param passage undefined: its first bytes tell */
  #serve(stolen: StolenPort, socket: Socket, passage?: Passage<Destination>): void {
    const { port } = stolen;
    const client = endpoint(socket.remoteAddress, socket.remotePort);
    const relay = endpoint(socket.localAddress, socket.localPort);
    const toPod = async (): Promise<Socket> => {
      const local = await addressed(this.#rules, client, relay, port);
      return connectToPod({ rules: this.#rules, own: this.#own }, client, local);
    };
    const parts = (openPod: () => Promise<Socket>, tls?: TlsFacts): FilteredParts<Destination> => ({
      routes: () => stolen.routes,
      // Of HTTP/2 too: the kubelet would wait for the first word of a program that stands still.
      raw: (kind) =>
        stolen.probes?.isConnection(kind) && stolen.probes.mayAsk(client.address)
          ? stolen.routes.restOfProbes
          : undefined,
      open: (to, events) => {
        if (to === "pod") {
          stolen.passed.connections++;
          return podUpstream(openPod(), events);
        }
        const claim = claimOf(stolen, to);
        if (claim !== undefined) claim.tally.connections++;
        const channel = to.open(socket, port, tls);
        return channel && channelUpstream(channel, events);
      },
      onRaw: (to, why) => this.#log("raw", { port, to: to === "pod" ? "pod" : to.id, why }),
      fieldOf: (to) => fieldOf(stolen, to),
      draining: stolen.draining,
    });
    const filterers = (): readonly Holder[] =>
      stolen.claims.flatMap(({ holder, filter, isActive }) => (isActive && filter ? [holder] : []));
    const certificates = (): readonly ServerCertificate[] =>
      filterers().flatMap((holder) => holder.certificates(port));
    const tlsParts: TlsParts = {
      certificates,
      connect: toPod,
      onObstacle: (why, detail) => {
        for (const holder of filterers()) holder.tlsUntouched(port, why, detail);
      },
      serve: (inside, facts, openPod) => serveFiltered(inside, parts(openPod, facts)),
    };
    if (passage !== undefined) {
      new Connection(socket, passage, parts(toPod)).start(Buffer.alloc(0));
      return;
    }
    serveFiltered<Destination>(socket, {
      ...parts(toPod),
      tls: {
        hasCertificate: () => certificates().length > 0,
        end: (from, early, raw) => stolen.tls.end(from, early, tlsParts, raw),
      },
    });
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
      if (stolen.hasRule || (stolen.relay?.connectionCount ?? 0) > 0) continue;
      stolen.relay?.close();
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

function ruleGoes(stolen: StolenPort): void {
  stolen.hasRule = false;
  stolen.takingOver?.abort();
  stolen.takingOver = undefined;
  stolen.draining.begin();
}

/** For everybody's responses, as soon as one session wants it: a client cannot know whose it gets. */
const fieldOf = ({ claims }: StolenPort, to: Destination): Field | undefined =>
  claims.some(({ isActive, injectHeaders }) => isActive && injectHeaders)
    ? answeredBy(to === "pod" ? "pod" : "developer")
    : undefined;

const claimOf = ({ claims }: StolenPort, holder: Holder): Claim | undefined =>
  claims.find((claim) => claim.holder === holder);

const sameFilter = (one: FilterSpec | undefined, other: FilterSpec | undefined): boolean =>
  one === undefined || other === undefined
    ? one === other
    : relate(one, other).kind === "same" && describeFilter(one) === describeFilter(other);

/** Who is suspended keeps what it has. */
const conflictsWith = (
  { claims }: StolenPort,
  holder: Holder,
  filter: FilterSpec | undefined,
): Claim[] =>
  claims.filter((other) => {
    if (other.holder === holder) return false;
    if (filter === undefined || other.filter === undefined) return filter === other.filter;
    return isConflict(relate(filter, other.filter));
  });

function held(port: number, { holder, filter, since }: Claim): Failure {
  const from = since.toISOString().slice(0, 19).replace("T", " ");
  return new Failure(
    "EADDRINUSE",
    filter === undefined
      ? `port ${port} is stolen by ${holder.name} since ${from} UTC`
      : `requests to port ${port} are stolen by ${holder.name} since ${from} UTC: ${describeFilter(filter)}`,
  );
}

function reroute(stolen: StolenPort): void {
  const active = stolen.claims.filter(({ isActive }) => isActive);
  // They are the pod's: who knows of them knows the same.
  stolen.probes = active
    .map(({ holder }) => holder.probes?.(stolen.port))
    .find((probes) => probes !== undefined);
  const routes = new Routes<Destination>("pod", stolen.passed, stolen.probes?.isRequest);
  for (const { holder, filter, tally } of active)
    routes.add(holder, filter, tally, { takesProbes: holder.probes?.(stolen.port) === undefined });
  stolen.routes = routes;
}

/** All that comes is the holder's, but for what the kubelet may have sent. */
const mayBeProbe = ({ port, probes }: StolenPort, holder: Holder, socket: Socket): boolean =>
  probes?.mayAsk(socket.remoteAddress ?? "") === true && holder.probes?.(port) !== undefined;
