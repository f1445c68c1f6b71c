/** By which requests and connections the kubelet asks a pod how it is: they are the pod's, whoever takes its ports. */
import { address, fail, fields, list, port, text } from "./foreign.ts";

const PROBE_KINDS = ["http", "https", "tcp", "grpc"] as const;
export type ProbeKind = (typeof PROBE_KINDS)[number];

/** A probe or a hook of one of the pod's containers, as its spec has it; a command in a container is none. */
export interface Probe {
  readonly port: number;
  readonly kind: ProbeKind;
  /** Of `http` and `https`: the path, with its query. */
  readonly path?: string;
  /** Where the spec says another one than the kubelet's own; "": the kubelet says none. */
  readonly userAgent?: string;
}

export interface PodProbes {
  /** Addresses of the target's node: the kubelet's own, or not; IP literals. */
  readonly from: readonly string[];
  readonly probes: readonly Probe[];
}

/** Each of a pod's containers can have three, and two hooks. */
export const MAX_PROBES = 256;
export const MAX_NODE_ADDRESSES = 16;
const MAX_PATH = 4096;
const MAX_USER_AGENT = 1024;

/** @throws ProtocolError */
export function parsePodProbes(value: unknown): PodProbes {
  const from = fields(value, "probes");
  return {
    from: list(from.from, "addresses", MAX_NODE_ADDRESSES, address),
    probes: list(from.probes, "probes", MAX_PROBES, parseProbe),
  };
}

function parseProbe(value: unknown): Probe {
  const from = fields(value, "probe");
  const number = port(from.port);
  return {
    port: number === 0 ? fail("port") : number,
    kind: PROBE_KINDS.find((each) => each === from.kind) ?? fail("kind of probe"),
    ...(from.path === undefined ? {} : { path: text(from.path, "path", MAX_PATH) }),
    ...(from.userAgent === undefined
      ? {}
      : { userAgent: text(from.userAgent, "userAgent", MAX_USER_AGENT) }),
  };
}
