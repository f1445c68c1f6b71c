/**
 * Every contract that crosses a process border, and the pure core of the tunnel. It does no input or
 * output, owns no timer, clock or socket.
 */
export const PROTOCOL_VERSION = 1;

/** What this version's agents can do that older ones would misread. */
export const AGENT_FEATURES: readonly string[] = [
  "http-filter",
  "mirror-filter",
  "flush",
  "status",
  "tls",
  "probes",
  "canary",
  "unix-streams",
  "unix-seqpackets",
  "udp-ports",
  "inject-headers",
  "about",
  "leave",
  "own-ports",
];

/**
 * What this version's sessions understand that older ones would not: notices of TLS, and connections whose TLS has ended;
 * being asked to leave.
 */
export const SESSION_FEATURES: readonly string[] = ["tls", "leave"];

export {
  type CanaryResult,
  type CanaryWish,
  MAX_CANARY_ATTEMPTS,
  MAX_CANARY_MS,
} from "./canary.ts";
export { errnoNumber } from "./errno.ts";
export type * from "./events.ts";
export * from "./file-service/index.ts";
export {
  decodeHeader,
  decodeJson,
  encodeJson,
  FrameType,
  HEADER_BYTES,
  MAX_HELLO,
  ProtocolError,
} from "./frames.ts";
export {
  disownPatch,
  FIELD_MANAGER,
  HELD_ANNOTATION,
  type HeldNote,
  type Hold,
  holdOf,
  leadsToOwnPods,
  leadsToRelay,
  namesRelay,
  ownSelector,
  renewPatch,
  restorePatch,
  type ServiceLike,
  sameSelector,
  takePatch,
} from "./held-service.ts";
export { ipBytes } from "./ip.ts";
export type * from "./messages.ts";
export type { MuxHandlers } from "./mux.ts";
export { Mux } from "./mux.ts";
export { nearest, nearestFirst, nearestNames } from "./nearest.ts";
export { parseRelayPlace, type RelayPlace, renderRelayPlace } from "./own-ports.ts";
export {
  MAX_OWNER,
  parseAgentHello,
  parseResult,
  parseSessionHello,
  parseWireError,
} from "./parse.ts";
export { ALLOWS_ALL, hides, type Policy, parsePolicy, renderPolicy, stricter } from "./policy.ts";
export {
  MAX_NODE_ADDRESSES,
  MAX_PROBES,
  type PodProbes,
  type Probe,
  type ProbeKind,
} from "./probes.ts";
export type * from "./status.ts";
export { sessionAbout } from "./status.ts";
export { MuxStream } from "./stream.ts";
export {
  type CertificateText,
  MAX_PEM,
  type TlsFacts,
  type TlsObstacle,
  type TlsUntouched,
} from "./tls.ts";
export { UserError } from "./user-error.ts";
export { matchesWildcard } from "./wildcard.ts";
