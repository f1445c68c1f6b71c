/**
 * A place beside a target where an agent runs, however it got there. The session needs
 * nothing but `dial`.
 */
import type { Duplex } from "node:stream";
import type { ByteString, PodProbes, Policy } from "@inpod/protocol";

export interface AgentOptions {
  /** Ed25519 public key, raw 32 bytes in base64: who may speak with the agent. Never a secret. */
  readonly publicKey: string;
  /** Names what is made: another one for each agent of a session. */
  readonly sessionId: string;
  /** The session's own id, in its greetings, where it has had another agent before. Undefined: `sessionId`. */
  readonly greetsAs?: string;
  readonly startupTimeoutMs: number;
  /** Without any session for this long the agent ends itself. */
  readonly idleTimeoutMs: number;
  /** A session whose connection was lost finds its agent for so long. Undefined: a minute. */
  readonly resumeTimeoutMs?: number | undefined;
  /** The agent waits this long for its first session. */
  readonly communicationTimeoutMs: number;
  readonly signal: AbortSignal;
  /** One line of progress for people: "job/inpod-x created". */
  readonly onProgress: (step: string) => void;
  /** Something about the agent that the user must know, now or later, in one line. */
  readonly onNotice?: ((line: string) => void) | undefined;
  /** False: not one that runs already. */
  readonly mayJoin?: boolean;
  /** Not the first: an agent of this session that is beside the pod already, of another use; it is given back then. */
  readonly heldBeside?: (podUid: string) => PlacedAgent | undefined;
  /** Asks the user for a yes, with no as the default. Undefined: there is nobody to ask. */
  readonly confirm?: ((question: string) => Promise<boolean>) | undefined;
}

/** Where on the ladder of places an agent runs, and what cannot be had there. */
export interface AgentRung {
  readonly kind: "job" | "ephemeral" | "unprivileged-ephemeral" | "relay" | "targetless";
  /** For people: `an ephemeral container in pod/orders`. */
  readonly words: string;
  /** Known from the cluster's answers, in better words than the agent's own. */
  readonly missing: Readonly<Partial<Record<"incoming" | "files" | "environment", string>>>;
  /** Why it is not a better one. */
  readonly why?: string;
}

/** A session that wants to speak with an agent, written down by somebody who had the right to. */
export interface Joiner {
  readonly sessionId: string;
  /** Ed25519, raw, base64. */
  readonly publicKey: string;
  /** As he says: the cluster's audit log knows who wrote it. */
  readonly owner: string;
}

export interface PlacedAgent {
  /** For people: `job/inpod-k3x beside pod/orders in namespace "shop"`. */
  readonly name: string;
  /** Undefined where there is no ladder. */
  readonly rung?: AgentRung;
  /** It was there already, for somebody else. */
  readonly isJoined?: boolean;
  /**
   * A new byte stream to the agent, with back pressure both ways. No half-close: a port-forward has
   * none, so end() ends both directions. Rejects when there is no agent any more.
   */
  dial(signal: AbortSignal): Promise<Duplex>;
  /** Why no agent will answer any more; resolves at most once. */
  readonly gone: Promise<string>;
  /**
   * Others who have the right to speak with this agent, as the cluster shows it, those from before included. Whoever
   * serves a session here has the agent admit them. Undefined where nobody can join.
   */
  followJoiners?(listener: (joiner: Joiner) => void): void;
  /**
   * Ends the agent and removes all that was made for it. Idempotent, within 5 s; never throws for what is gone already.
   * @param others sessions that it still serves: for them it stays, and what was made for this session goes. Not said:
   * none, or the one for which a joined agent was made
   */
  remove(others?: number): Promise<void>;
}

/** Reasons of events, as Kubernetes spells them. */
export type AuditReason =
  | "InpodSessionStarted"
  | "InpodTrafficTaken"
  | "InpodTrafficCopied"
  | "InpodSessionEnded";

/** What the owners of a target allow, and where they said so. */
export interface TargetPolicy extends Policy {
  /** For people: "deployment/orders", `namespace "shop"`; empty: nobody said anything. */
  readonly from: readonly string[];
}

/** Each is told once per change, from what is known when the target was opened. */
export interface TargetObserver {
  /** The target's container was started again, as this one (the runtime's id). */
  onContainer(id: string): void;
  /** It does not run now; `why` in words: "CrashLoopBackOff". */
  onWaiting(why: string): void;
  /** It is about to be gone: its end was asked for. */
  onEnding(): void;
  /**
   * The next place() goes to another pod of the workload, or to what is the target then. Then that one is followed.
   * @param goesOn this one serves its clients for a while yet; else the agent of now is of no use any more
   */
  onMoving(why: string, goesOn?: boolean): void;
  /** There is no such target any more. Nothing follows. */
  onGone(why: string): void;
}

/** Variables as a pod's spec has them. Secret: never logged. */
export interface SpecEnvironment {
  readonly variables: readonly (readonly [name: ByteString, value: ByteString])[];
  /** What the spec names and could not be had, without values: "TOKEN (secrets/keys: you may not read it)". */
  readonly missing: readonly string[];
}

/** One of a workload's pods, whose traffic can be taken beside that of the target's own. */
export interface Replica {
  /** The pod's uid. */
  readonly id: string;
  /** The pod's name. */
  readonly name: string;
  /** `ready`: as Services see it. `ending`: it is being deleted, and may go on for its grace period. */
  readonly state: "ready" | "unready" | "ending";
  /** The runtime's id of the container of now. */
  readonly containerId: string;
  /** What its owners allow, which may be less than for another pod. @throws UserError */
  policy(signal: AbortSignal): Promise<TargetPolicy>;
  place: Target["place"];
  probes: NonNullable<Target["probes"]>;
  audit: NonNullable<Target["audit"]>;
}

/** All pods of the workload that is the target, over time. */
export interface Replicas {
  /** "deployment/orders" */
  readonly of: string;
  /**
   * As last known, in the order in which they are chosen; those that cannot be a target now are left out, and it stays
   * as it was found until follow() is called.
   */
  now(): readonly Replica[];
  /** `id` of the one that is the target itself, for files, environment and outgoing traffic. */
  own(): string;
  /** After every change. @returns to be called when nobody listens any more */
  listen(listener: () => void): () => void;
}

/** PEM. Secret: never logged. */
export interface TlsSecret {
  readonly cert: string;
  readonly key: string;
}

/** What leads traffic of others to some ports of a target. `name` for people: `service/web`. */
export type Front =
  /** No Service leads to the pod, or one without an address of its own (headless). */
  | { readonly kind: "none"; readonly why: string }
  /** Services lead to the pod, and none to a port that is asked for. */
  | {
      readonly kind: "other-ports";
      readonly why: string;
      readonly mapping: readonly [number, number] | undefined;
    }
  | {
      readonly kind: "not-now";
      readonly name: string;
      readonly why: string;
      /** Its probes say so. */
      readonly isUnready: boolean;
    }
  | {
      readonly kind: "service";
      readonly name: string;
      /** The Service's own. */
      readonly address: string;
      readonly servicePort: number;
      readonly podPort: number;
      /** Pods that it sends to. */
      readonly endpoints: number;
      /** It keeps a client with one of them. */
      readonly isSticky: boolean;
      /** A proxy in the pod that may answer in its place. */
      readonly mesh: string | undefined;
    };

/** A port of the target, or of the Service that it is, as people name it. */
export interface PortWish {
  /** Undefined: not said; the one of the number `otherwise`, or the only one. */
  readonly port: number | string | undefined;
  readonly otherwise: number;
  /** Undefined: whichever it has. */
  readonly protocol: "tcp" | "udp" | undefined;
}

/** What was meant, and where the target's pods have it. */
export interface TargetPort {
  readonly protocol: "tcp" | "udp";
  /** For people: `port 80 (http) of service/web`. */
  readonly name: string;
  /** Undefined: it is a pod's own. */
  readonly servicePort: number | undefined;
  /** By which clients in the cluster have it, "web.shop:80"; undefined: by a pod's address. */
  readonly address?: string | undefined;
  /** For people, what to know of it. */
  readonly note?: string | undefined;
  /** Of the target's own pod, as it is now; undefined: it has no such port. */
  own(): number | undefined;
  /** @param id a replica's: numbers of named ports differ between pods. Undefined as above, or of a pod that has gone */
  at(id: string): number | undefined;
}

/** What the target is to connect to. */
export interface Endpoint {
  /** A name or an IP literal. */
  readonly host: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
}

/** As things are now; each throws when the cluster does not let us know. */
export interface TargetServices {
  /** @param ports of the target, in the order in which they count */
  front(ports: readonly number[], signal: AbortSignal): Promise<Front>;
  /** Names of NetworkPolicies that hold the target. */
  networkPolicies(signal: AbortSignal): Promise<string[]>;
}

/** A Service that a session publishes. */
export interface PublishWish {
  readonly name: string;
  /** Of the Service, each with the agent's that it leads to. */
  readonly ports: readonly { readonly port: number; readonly agentPort: number }[];
  /** Whether it is to have an address outside of the cluster. */
  readonly isExternal: boolean;
}

export interface Published {
  readonly namespace: string;
  /** Inside the cluster. */
  readonly address: string;
  /** Outside: when the cluster has given one. Rejects with the signal's reason. */
  external(signal: AbortSignal): Promise<string>;
}

export interface Target {
  /** "pod/orders-7d4f/container/app", "podman/web" or "process/1234". */
  readonly name: string;
  /** How it was chosen, in one line for people; undefined where there was no choice. */
  readonly why?: string;
  /** Where the target's container has volumes, as its spec says; undefined where there is no spec. */
  readonly volumeMounts?: readonly string[];
  /**
   * What the settings of a container without a cluster say; its main process's own environment, which the agent reads,
   * stands above it. Secret.
   */
  readonly environment?: Readonly<Record<string, string>>;
  /** What asks the target's pod how it is, as it is now. Undefined where nothing does. */
  probes?(): PodProbes;
  /** What leads traffic of others to it. Undefined where there are no Services. */
  readonly services?: TargetServices;
  /** In the order of the wishes. Undefined where ports have numbers only. @throws UserError TARGET_PORT_UNKNOWN, those of the API */
  ports?(wishes: readonly PortWish[], signal: AbortSignal): Promise<readonly TargetPort[]>;
  /** All that the Service, or the pod's containers, name; SCTP left out. Undefined as above. */
  declaredPorts?(signal: AbortSignal): Promise<readonly PortWish[]>;
  /**
   * Whether a Service that the target knows by this name has such a port; what is not known is not refused. Undefined where
   * there are none. @throws UserError TARGET_PORT_UNKNOWN
   */
  checkService?(to: Endpoint, signal: AbortSignal): Promise<void>;
  /** Undefined: a kind of target that has none. */
  readonly policy?: TargetPolicy;
  /**
   * For everybody who looks at the target: who was there. What it returns takes a note that continues the user's
   * name ("took port 80"), and never throws.
   *
   * @param onRefused called at most once: nobody will see the notes
   */
  audit?(
    sessionId: string,
    onRefused: (why: string) => void,
  ): (reason: AuditReason, note: string) => Promise<void>;
  /** The Service that leads to the agent of now, from place() on. Undefined where none is published. */
  readonly published?: () => Published | undefined;
  /** Undefined: there is one pod, or the kind has none that do the same work. */
  readonly replicas?: Replicas;
  /** May be called again when an agent is gone: the next one goes beside what the target is then. */
  place(options: AgentOptions): Promise<PlacedAgent>;
  /** For a target without a process. Undefined where there is no spec. @throws UserError */
  specEnvironment?(signal: AbortSignal): Promise<SpecEnvironment>;
  /** Of the target's namespace. Undefined where there are no Secrets. @throws UserError */
  tlsSecret?(name: string, signal: AbortSignal): Promise<TlsSecret>;
  /**
   * Until the target is gone or `signal` is aborted. Undefined where an agent sees all that there is to see.
   * @throws UserError when the cluster does not let us
   */
  follow?(observer: TargetObserver, signal: AbortSignal): Promise<void>;
}
