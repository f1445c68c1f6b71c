/** What agent and session say to each other of TLS that comes to a filtered port. */
import { fail, fields, list, port, text } from "./foreign.ts";

/** What a client's TLS has agreed on. */
export interface TlsFacts {
  /** The server that the client means, in lower case. */
  readonly serverName?: string;
  /** The protocol that the pod's server has chosen: "h2". */
  readonly alpn?: string;
}

/** A server's certificate and its key. Secret: kept for the life of a session, and told to nobody. */
export interface CertificateText {
  /** PEM: the server's own first, then those that have signed it. */
  readonly cert: string;
  /** PEM, without a passphrase. */
  readonly key: string;
  /** Left out: every port. */
  readonly ports?: readonly number[];
}

/** TLS has come to a port that this session filters, and no filter has seen what is in it. Told once per port and reason. */
export interface TlsUntouched {
  readonly port: number;
  readonly why: TlsObstacle;
  /** For people: the name that the client means, or the reason as OpenSSL gives it. */
  readonly detail: string;
}

const OBSTACLES = [
  /** Nobody has given a certificate. */
  "no-certificate",
  /** None of those given is for the name that the client means. */
  "other-name",
  /** The pod's server asks for the client's certificate, which cannot be passed on. */
  "client-certificate",
  /** The pod's server does not agree with the agent. */
  "pod",
  /** The client does not take the certificate, and goes away. */
  "refused",
] as const;
export type TlsObstacle = (typeof OBSTACLES)[number];

/** Chars of certificate and key together, so that they fit into one frame, each end of a line being two there. */
export const MAX_PEM = 60_000;
const MAX_PORTS = 256;

export function parseTlsFacts(value: unknown): TlsFacts {
  const { serverName, alpn } = fields(value, "tls");
  return {
    ...(serverName === undefined ? {} : { serverName: text(serverName, "name of a server", 255) }),
    ...(alpn === undefined ? {} : { alpn: text(alpn, "protocol", 255) }),
  };
}

export function parseTlsUntouched(value: unknown): TlsUntouched {
  const from = fields(value, "notice");
  return {
    port: port(from.port),
    why: OBSTACLES.find((each) => each === from.why) ?? fail("why TLS was untouched"),
    detail: text(from.detail, "detail"),
  };
}

export function parseCertificateText(value: unknown): CertificateText {
  const from = fields(value, "parameters");
  return {
    cert: text(from.cert, "certificate", MAX_PEM),
    key: text(from.key, "key", MAX_PEM),
    ...(from.ports === undefined ? {} : { ports: list(from.ports, "ports", MAX_PORTS, port) }),
  };
}
