/** What the layer is told: the user's configuration, resolved and defaulted (cli/src/config). */
import type { Endpoint } from "@inpod/protocol";
import type { HttpFilterSpec, TlsDelivery } from "@inpod/session";
import type { DnsFilter } from "./rules/dns.ts";
import type { TraceSink } from "./trace.ts";

export interface LayerConfig {
  readonly files: {
    readonly mode: "local" | "localwithoverrides" | "read" | "write";
    readonly readWrite: readonly string[];
    readonly readOnly: readonly string[];
    readonly local: readonly string[];
    /** Expressions for the developer's credentials that the program may use (feature.local_credentials). */
    readonly localCredentials?: readonly string[];
    readonly notFound: readonly string[];
    readonly mapping: readonly (readonly [regex: string, replacement: string])[];
    readonly fallback: boolean;
    /** Whether the container's volumes are the pod's in every mode but "local". */
    readonly autoMount: boolean;
  };
  readonly outgoing: {
    readonly tcp: boolean;
    readonly udp: boolean;
    readonly ignoreLocalhost: boolean;
    /** Expressions for paths of unix sockets, and names ("@…"), that are the pod's. */
    readonly unixStreams?: readonly string[];
    readonly filter?: {
      readonly remote?: readonly string[];
      readonly local?: readonly string[];
    };
  };
  readonly incoming: {
    readonly mode: "off" | "steal" | "mirror";
    /** Only these ports are the pod's; undefined: all. */
    readonly ports: readonly number[] | undefined;
    readonly ignorePorts: readonly number[];
    readonly ignoreLocalhost: boolean;
    /** The program's port → the pod's port. */
    readonly portMapping: ReadonlyMap<number, number>;
    /** The program's port → the one that it is really bound to. */
    readonly listenPorts: ReadonlyMap<number, number>;
    /** Where another session holds the same already: the program ends, the other loses it, or the target keeps it. */
    readonly onConcurrentSteal: "abort" | "override" | "continue";
    /** Of the ports that it is for, only such requests are stolen. */
    readonly httpFilter?:
      | (HttpFilterSpec & { readonly said: Readonly<Record<string, unknown>> })
      | undefined;
    /** How the program gets what was inside TLS that has ended in the agent; left out: as TLS again. */
    readonly tlsDelivery?: TlsDelivery | undefined;
  };
  readonly dns: boolean;
  /** Which names are the pod's; undefined: all. */
  readonly dnsFilter?: DnsFilter | undefined;
  /** Whether programs may make sockets of IPv6. */
  readonly ipv6: boolean;
  readonly hostname: boolean;
  readonly skipBuildTools: boolean;
  readonly skipExtraBuildTools: readonly string[];
  readonly skipProcesses: readonly string[];
}

/** What was decided about one call, for --verbose. `subject` names a path, an address or a program; never contents. */
export interface Decision {
  readonly call: string;
  readonly subject: string;
  readonly verdict: string;
  readonly why: string;
  /**
   * The key of the configuration that has decided, with the entry if it is a list (`feature.fs.local[0]`); of a default,
   * the key by which it is changed. Undefined: no configuration changes it.
   */
  readonly key: string | undefined;
}

/** What the user should read once. `key`: said again only under another key. */
export interface Notice {
  readonly key: string;
  readonly text: string;
}

export interface Reporter {
  /** Whether `decision` is to be told all, also what the tap decides by itself. Left out: no. */
  readonly wantsDecisions?: boolean;
  decision(decision: Decision): void;
  /** Gets every call with its result; left out: nobody wants them. */
  readonly trace?: TraceSink;
  notice(notice: Notice): void;
  /** A program of the tree has begun. `executable`: its path. */
  program?(pid: number, executable: string): void;
  /** The program listens on a port that another session holds, and is not to go on without it. */
  portHeld?(port: number, because: string): void;
}

export const endpointText = ({ address, port }: Endpoint): string =>
  address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
