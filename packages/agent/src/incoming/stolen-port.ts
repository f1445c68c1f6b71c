/** One stolen port: who holds what of it since when, and what follows for a request. */
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
import type { TlsFacts, TlsObstacle } from "@inpod/protocol";
import type { OutgoingChannel } from "@inpod/tunnel";
import { Failure } from "../failure.ts";
import { Draining } from "./draining.ts";
import type { PortProbes } from "./probes.ts";
import type { Relay } from "./relay.ts";
import type { ServerCertificate } from "./tls/certificates.ts";
import { TlsEnds } from "./tls/end.ts";

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

export interface Claim {
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

export type Destination = Holder | "pod";

interface ConnectionTally extends Tally {
  connections: number;
}

export interface StolenPort {
  readonly port: number;
  /** In the order in which they came. */
  claims: Claim[];
  routes: Routes<Destination>;
  /** What went on to the pod. */
  readonly passed: ConnectionTally;
  probes: PortProbes | undefined;
  relay: Relay | undefined;
  hasRule: boolean;
  /** It is served as long as the agent lives, whoever takes it. */
  isKept: boolean;
  /** Of the rule of now; undefined: connections from before have not been taken over. */
  takingOver: AbortController | undefined;
  readonly tls: TlsEnds;
  readonly draining: Draining;
}

export const newStolenPort = (port: number): StolenPort => ({
  port,
  claims: [],
  routes: new Routes<Destination>("pod"),
  passed: { connections: 0, requests: 0 },
  probes: undefined,
  relay: undefined,
  hasRule: false,
  isKept: false,
  takingOver: undefined,
  tls: new TlsEnds(),
  draining: new Draining(),
});

export function ruleGoes(stolen: StolenPort): void {
  stolen.hasRule = false;
  stolen.takingOver?.abort();
  stolen.takingOver = undefined;
  stolen.draining.begin();
}

/** For everybody's responses, as soon as one session wants it: a client cannot know whose it gets. */
export const fieldOf = ({ claims }: StolenPort, to: Destination): Field | undefined =>
  claims.some(({ isActive, injectHeaders }) => isActive && injectHeaders)
    ? answeredBy(to === "pod" ? "pod" : "developer")
    : undefined;

export const claimOf = ({ claims }: StolenPort, holder: Holder): Claim | undefined =>
  claims.find((claim) => claim.holder === holder);

export const sameFilter = (one: FilterSpec | undefined, other: FilterSpec | undefined): boolean =>
  one === undefined || other === undefined
    ? one === other
    : relate(one, other).kind === "same" && describeFilter(one) === describeFilter(other);

/** Who is suspended keeps what it has. */
export const conflictsWith = (
  { claims }: StolenPort,
  holder: Holder,
  filter: FilterSpec | undefined,
): Claim[] =>
  claims.filter((other) => {
    if (other.holder === holder) return false;
    if (filter === undefined || other.filter === undefined) return filter === other.filter;
    return isConflict(relate(filter, other.filter));
  });

export function held(port: number, { holder, filter, since }: Claim): Failure {
  const from = since.toISOString().slice(0, 19).replace("T", " ");
  return new Failure(
    "EADDRINUSE",
    filter === undefined
      ? `port ${port} is stolen by ${holder.name} since ${from} UTC`
      : `requests to port ${port} are stolen by ${holder.name} since ${from} UTC: ${describeFilter(filter)}`,
  );
}

export function reroute(stolen: StolenPort): void {
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
export const mayBeProbe = ({ port, probes }: StolenPort, holder: Holder, socket: Socket): boolean =>
  probes?.mayAsk(socket.remoteAddress ?? "") === true && holder.probes?.(port) !== undefined;
