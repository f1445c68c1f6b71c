/**
 * What a session and its agent say to each other, inside the tunnel's frames (see frames.ts).
 * Payloads are JSON. Everything here arrives from a foreign process: it is parsed by the
 * `parse…` functions of parse.ts before anyone believes it.
 *
 * A ByteString holds one byte in each char (latin1): file names and environment values
 * of Linux are bytes, not text.
 */
import type { CanaryResult, CanaryWish } from "./canary.ts";
import type { PodProbes } from "./probes.ts";
import type { AgentStatus, SessionAbout } from "./status.ts";
import type { CertificateText, TlsFacts, TlsUntouched } from "./tls.ts";

export type ByteString = string;

/** `address` is an IP literal, never a name. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Of a port of the pod. Where it may be left out it is TCP then. */
export type PortProtocol = "tcp" | "udp";

export interface PodPort {
  readonly port: number;
  readonly protocol?: PortProtocol;
}

/** What an OPEN frame says of its stream. */
export type StreamHeader =
  /**
   * session → agent: a TCP connection that leaves from the target's network namespace. `host`: an IP literal.
   * `fromPort`: the program has bound its socket to it; where the target's cannot be had it leaves from another.
   */
  | {
      readonly kind: "tcp";
      readonly host: string;
      readonly port: number;
      readonly fromPort?: number;
    }
  /**
   * session → agent: a connection to a stream socket of AF_UNIX in the target, as its main process would make it (the
   * feature "unix-streams"). `name`, in base64: an absolute path, or an abstract name. `waits`: while its queue is full.
   * `isSeqpacket` (the feature "unix-seqpackets"): the stream is records, u32 length (little-endian) · bytes.
   */
  | {
      readonly kind: "unix";
      readonly name: string;
      readonly isAbstract: boolean;
      readonly waits: boolean;
      readonly isSeqpacket?: true;
    }
  /** session → agent: a connected UDP socket in the target's namespace. Its datagrams are DATAGRAM frames. */
  | { readonly kind: "udp"; readonly host: string; readonly port: number }
  /**
   * session → agent: requests of the file service one way, answers and events the other (file-service/). Any number
   * of them, up to four at a time; handles are the session's, and outlive the streams. Leases are the stream's that
   * asked for one last, and end with it. Reset with ESTALE when the target's container has ended: a stream opened anew
   * reaches the next one's files.
   */
  | { readonly kind: "files" }
  /**
   * agent → session: a stolen connection, or the copy of one, of which the agent takes nothing back. `client` is its
   * true peer, `local` the address it was sent to. UDP: all that this client sends to that address, and what is sent
   * back, are DATAGRAM frames; after a while of silence the agent resets it with ETIMEDOUT. `tls`: the client's TLS has
   * ended in the agent, and this is what was inside.
   */
  | {
      readonly kind: "incoming";
      readonly protocol?: PortProtocol;
      readonly client: Endpoint;
      readonly local: Endpoint;
      readonly tls?: TlsFacts;
      /** Of a copy: the agent speaks with the program itself, and takes back what it says. */
      readonly needsAnswers?: boolean;
    };

/** What OPENED (the answer to OPEN) says. */
export type StreamOpened =
  /** `local`: the address in the target's namespace; `peer`: whom it is connected to. */
  | { readonly kind: "tcp" | "udp"; readonly local: Endpoint; readonly peer: Endpoint }
  /** `peer`, in base64: what follows sun_family in the name of the other end. */
  | { readonly kind: "unix"; readonly peer: string }
  /** `isReadOnly`: by the target's policy; whatever would write is EROFS. */
  | { readonly kind: "files"; readonly isReadOnly: boolean }
  | { readonly kind: "incoming" };

export type MissingPart = "incoming" | "mirror" | "files" | "environment";

/** What an agent knows of its target; asked once, at the start of a session. */
export interface TargetDescription {
  readonly hostname: ByteString;
  /** Addresses of the target's network namespace, loopback left out; the first is the pod's own. */
  readonly addresses: readonly string[];
  /** The main process's environment as the kernel shows it, in its order. Secret: never logged. */
  readonly environment: readonly (readonly [name: ByteString, value: ByteString])[];
  readonly uid: number;
  readonly gid: number;
  /** What this agent cannot do here, in words: `{ incoming: "nft: Operation not permitted" }`. `incoming`: stealing. */
  readonly missing: Readonly<Partial<Record<MissingPart, string>>>;
}

/** Requests of a session to its agent: parameters and result by method. */
export interface AgentMethods {
  readonly describe: { params: Record<string, never>; result: TargetDescription };
  /**
   * From its answer on, new TCP connections to `port` of the pod arrive as "incoming" streams. With `filter` (the
   * feature "http-filter"), as package http reads it, those streams carry the requests that match, as they came.
   * Idempotent; another filter takes the place of the one before. EADDRINUSE names who has the same.
   * With `flush` (the feature "flush") the pod's connections from before are ended, idle ones first, so that their
   * clients come again: after the answer, within some seconds.
   * With `injectHeaders` (the feature "inject-headers") each HTTP response of the port gets a header that says whether the
   * pod or a developer has answered.
   *
   * `protocol` "udp" (the feature "udp-ports"), here and below: the UDP port of that number, which is another port.
   */
  readonly "incoming.steal": {
    params: {
      port: number;
      protocol?: PortProtocol;
      filter?: Readonly<Record<string, unknown>>;
      flush?: boolean;
      /** Whoever has the same loses it, and is told ("steal-lost"). Part of the feature "status". */
      takesOver?: boolean;
      injectHeaders?: boolean;
    };
    result: Record<string, never>;
  };
  /**
   * From its answer on, TCP connections to `port` of the pod that begin are copied: what their clients send arrives as
   * "incoming" streams, each from its first byte on; the pod answers them. Idempotent; any number of sessions.
   *
   * With `filter` (the feature "mirror-filter") a stream carries those requests of one connection that match, as they
   * came, and ends with the connection; after the session's end has ended it (FIN or reset) the next request opens
   * another. Requests of HTTP/2 come over a connection of their own, which needs answers. Another filter takes the place
   * of the one before, whose streams are reset.
   */
  readonly "incoming.mirror": {
    params: {
      port: number;
      protocol?: PortProtocol;
      filter?: Readonly<Record<string, unknown>>;
    };
    result: Record<string, never>;
  };
  /** From its answer on, new connections reach the pod; open ones live on, but for copies, which are reset. */
  readonly "incoming.release": {
    params: { port: number; protocol?: PortProtocol };
    result: Record<string, never>;
  };
  /**
   * The agent may end TLS with this certificate on ports that this session filters (the feature "tls"), until the session
   * ends. Idempotent. EINVAL for what cannot be used, E2BIG for too many.
   */
  readonly "incoming.certificate": { params: CertificateText; result: Record<string, never> };
  /**
   * Of the pod's ports, what is the kubelet's own business (the feature "probes"): from the answer on this session gets
   * none of it, whatever it takes. Before a port is asked for; a later one takes the place of the one before.
   */
  readonly "incoming.probes": { params: PodProbes; result: Record<string, never> };
  /** Whether what is sent to a Service arrives at a port that the session has (the feature "canary"). Slow. */
  readonly "incoming.canary": { params: CanaryWish; result: CanaryResult };
  /** The session's end is about to be stopped (Ctrl-Z): all its ports pass through until `resume`. */
  readonly pause: { params: Record<string, never>; result: Record<string, never> };
  readonly resume: { params: Record<string, never>; result: Record<string, never> };
  /**
   * The target's container was started again, in the same pod, as the one with this id (64 lower-case hexadecimal
   * digits as a rule): from the answer on files and description are its. Idempotent; ESRCH when no process of it
   * is found, EBUSY while the one before still runs, ESTALE when the pod's network is another one.
   */
  readonly "target.container": { params: { id: string }; result: Record<string, never> };
  /**
   * Another session may speak with this agent, with that key: asked by one that already does, which has seen in the
   * cluster that the other may. `publicKey`: Ed25519, raw, base64. `owner`: as the cluster knows him, for people.
   */
  readonly "session.admit": {
    params: { sessionId: string; publicKey: string; owner: string };
    result: Record<string, never>;
  };
  /**
   * Another session of the same owner is asked to end (the feature "leave"): it is told, and ends as by SIGTERM; one whose
   * tunnel is lost ends now. ESRCH: no such session; EPERM: another's, or nobody knows whose; EOPNOTSUPP: it is too old.
   */
  readonly "session.leave": { params: { sessionId: string }; result: Record<string, never> };
  /** Who is served, and what of the pod's ports is whose: the feature "status". */
  readonly status: { params: Record<string, never>; result: AgentStatus };
  /**
   * The session ends: its rules are gone when the answer comes, which says how many others there are. An agent
   * without sessions then ends itself.
   */
  readonly end: { params: Record<string, never>; result: { others: number } };
}
export type AgentMethod = keyof AgentMethods;

/** What an agent tells without being asked. */
export type AgentNotice =
  /**
   * The target's main process has ended. Without it there are no files (ESTALE); connections, and what is stolen,
   * go on. `detail` for people.
   */
  | { readonly kind: "target-gone"; readonly detail: string }
  /** A port is no longer stolen although nobody released it. */
  | ({ readonly kind: "steal-lost"; readonly detail: string } & PodPort)
  /** Its owner wants the session to end; `detail`: where he asked from. For sessions with the feature "leave". */
  | { readonly kind: "leave-asked"; readonly detail: string }
  /** Connections from before stay with the pod: they cannot be taken over. */
  | { readonly kind: "connections-kept"; readonly port: number; readonly detail: string }
  /** A port is no longer mirrored, either. */
  | ({ readonly kind: "mirror-lost"; readonly detail: string } & PodPort)
  | ({ readonly kind: "mirror-missed" } & MirrorMissed)
  | ({ readonly kind: "tls-untouched" } & TlsUntouched)
  | ({ readonly kind: "udp-dropped" } & UdpDropped);

/** Datagrams of a UDP port that have not reached the session since it began. */
export interface UdpDropped {
  readonly port: number;
  readonly count: number;
  /** Only their first fragments can be seen, of a port that is mirrored. Left out: they found no room on their way. */
  readonly why?: "fragments";
}

/** What mirroring a port has missed since the session began. */
export interface MirrorMissed {
  /** 0: nobody knows of which. */
  readonly port: number;
  /**
   * Connections: with TLS, which nobody else could answer · open before mirroring began · ended because a packet was
   * missed · ended because the session, or the agent's memory, takes no more. And packets that found no room. With a
   * filter also: no HTTP · ended because what came could not be read, or is read in more than one way.
   */
  readonly what: "tls" | "began-before" | "hole" | "limit" | "packets" | "not-http" | "malformed";
  readonly count: number;
}

/** Failures that cross the tunnel keep their errno name; `detail` is for people and holds no secrets. */
export interface WireError {
  readonly errno: string;
  readonly detail: string;
}

/** First frame of the agent, sent as soon as a connection is accepted. */
export interface AgentHello {
  readonly role: "agent";
  /** The oldest and newest protocol it speaks. */
  readonly versions: readonly [number, number];
  readonly build: string;
  /** 32 random bytes, base64. */
  readonly nonce: string;
  readonly features: readonly string[];
  /** How many it works for, those included that may come back. Said to whoever can dial: `clean` asks for no more. */
  readonly sessions: number;
}

/**
 * First frame of the session, in answer to AgentHello; further frames may follow at once.
 * `signature`: Ed25519, base64, over the UTF-8 text
 * "inpod-hello\n" + version + "\n" + agent nonce + "\n" + session nonce + "\n" + sessionId.
 */
export interface SessionHello {
  readonly role: "session";
  /** Of itself, for people (the feature "about"); undefined: an older one, or it does not say. */
  readonly about?: SessionAbout | undefined;
  readonly version: number;
  readonly build: string;
  readonly sessionId: string;
  readonly nonce: string;
  readonly signature: string;
  readonly features: readonly string[];
}
