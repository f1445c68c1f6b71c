/**
 * Foreign JSON becomes messages here, or a ProtocolError. Unknown keys are left out, so that a newer
 * peer may say more than we know.
 */

import { parseCanaryResult, parseCanaryWish } from "./canary.ts";
import {
  address,
  byteString,
  endpoint,
  fail,
  fields,
  integer,
  list,
  port,
  text,
} from "./foreign.ts";
import type {
  AgentHello,
  AgentMethod,
  AgentMethods,
  AgentNotice,
  MirrorMissed,
  PodPort,
  SessionHello,
  StreamHeader,
  StreamOpened,
  TargetDescription,
  WireError,
} from "./messages.ts";
import { parsePodProbes } from "./probes.ts";
import { parseAgentStatus, parseSessionAbout } from "./status.ts";
import { parseCertificateText, parseTlsFacts, parseTlsUntouched } from "./tls.ts";

const MAX_ENTRIES = 65536;
const MAX_ADDRESSES = 256;
/** In base64, of a path of PATH_MAX (4096) bytes. */
const MAX_SOCKET_NAME = 5464;
/** MAX_ARG_STRLEN: no variable is longer (execve(2)). */
const MAX_VALUE = 128 * 1024;

/** Chars of a user's name in the cluster; longer ones are cut by whoever sends them. */
export const MAX_OWNER = 256;

function base64(value: unknown): string {
  const said = byteString(value, "name of a socket", MAX_SOCKET_NAME);
  return /^[A-Za-z0-9+/]*={0,2}$/.test(said) ? said : fail("name of a socket");
}

/** TCP needs no word. */
function protocolOf({ protocol }: Readonly<Record<string, unknown>>): { protocol?: "udp" } {
  if (protocol === undefined || protocol === "tcp") return {};
  return protocol === "udp" ? { protocol } : fail("protocol");
}

export function parseStreamHeader(value: unknown): StreamHeader {
  const from = fields(value, "stream header");
  switch (from.kind) {
    case "tcp":
      return {
        kind: "tcp",
        host: address(from.host),
        port: port(from.port),
        ...(from.fromPort === undefined ? {} : { fromPort: port(from.fromPort) }),
      };
    case "unix":
      return {
        kind: "unix",
        name: base64(from.name),
        isAbstract: from.isAbstract === true,
        waits: from.waits === true,
        ...(from.isSeqpacket === true ? { isSeqpacket: true } : {}),
      };
    case "udp":
      return { kind: "udp", host: address(from.host), port: port(from.port) };
    case "files":
      return { kind: "files" };
    case "incoming":
      return {
        kind: "incoming",
        ...protocolOf(from),
        client: endpoint(from.client),
        local: endpoint(from.local),
        ...(from.tls === undefined ? {} : { tls: parseTlsFacts(from.tls) }),
        ...(from.needsAnswers === true ? { needsAnswers: true } : {}),
      };
    default:
      return fail("kind of stream");
  }
}

export function parseStreamOpened(value: unknown): StreamOpened {
  const from = fields(value, "opened stream");
  switch (from.kind) {
    case "tcp":
    case "udp":
      return { kind: from.kind, local: endpoint(from.local), peer: endpoint(from.peer) };
    case "unix":
      return { kind: "unix", peer: base64(from.peer) };
    case "files":
      return { kind: "files", isReadOnly: from.isReadOnly === true };
    case "incoming":
      return { kind: "incoming" };
    default:
      return fail("kind of opened stream");
  }
}

export function parseTargetDescription(value: unknown): TargetDescription {
  const from = fields(value, "description");
  const missing = fields(from.missing, "missing");
  const reasons: Record<string, string> = {};
  for (const key of ["incoming", "mirror", "files", "environment"] as const) {
    if (missing[key] !== undefined) reasons[key] = text(missing[key], key);
  }
  return {
    hostname: byteString(from.hostname, "hostname", 255),
    addresses: list(from.addresses, "addresses", MAX_ADDRESSES, address),
    environment: list(from.environment, "environment", MAX_ENTRIES, (entry) => {
      const [name, content] = list(entry, "variable", 2, (part) => part);
      return [
        byteString(name, "name of a variable", MAX_VALUE),
        byteString(content, "value of a variable", MAX_VALUE),
      ] as const;
    }),
    uid: integer(from.uid, "uid", 0xffff_ffff),
    gid: integer(from.gid, "gid", 0xffff_ffff),
    missing: reasons,
  };
}

const MISSED: readonly MirrorMissed["what"][] = [
  ...(["tls", "began-before", "hole", "limit", "packets", "not-http", "malformed"] as const),
];

export function parseNotice(value: unknown): AgentNotice {
  const from = fields(value, "notice");
  switch (from.kind) {
    case "target-gone":
    case "leave-asked":
      return { kind: from.kind, detail: text(from.detail, "detail") };
    case "steal-lost":
    case "mirror-lost":
      return {
        kind: from.kind,
        port: port(from.port),
        ...protocolOf(from),
        detail: text(from.detail, "detail"),
      };
    case "connections-kept":
      return { kind: from.kind, port: port(from.port), detail: text(from.detail, "detail") };
    case "udp-dropped":
      return {
        kind: from.kind,
        port: port(from.port),
        count: integer(from.count, "count"),
        ...(from.why === "fragments" ? { why: from.why } : {}),
      };
    case "mirror-missed":
      return {
        kind: "mirror-missed",
        port: port(from.port),
        what: MISSED.find((each) => each === from.what) ?? fail("what was missed"),
        count: integer(from.count, "count"),
      };
    case "tls-untouched":
      return { kind: "tls-untouched", ...parseTlsUntouched(value) };
    default:
      return fail("kind of notice");
  }
}

export function parseWireError(value: unknown): WireError {
  const from = fields(value, "error");
  const errno = text(from.errno, "errno", 32);
  if (!/^E[A-Z0-9]+$/.test(errno)) fail("errno");
  return { errno, detail: text(from.detail, "detail") };
}

const nothing = (value: unknown): Record<string, never> => {
  fields(value, "parameters");
  return {};
};

const podPort = (value: unknown): PodPort => {
  const from = fields(value, "parameters");
  const parsed = port(from.port);
  return parsed === 0 ? fail("port") : { port: parsed, ...protocolOf(from) };
};

/** The one thing of a session's that reaches the agent's part with rights. */
const containerOnly = (value: unknown): { id: string } => {
  const id = text(fields(value, "parameters").id, "id", 64);
  return /^[0-9a-f]{8,64}$/.test(id) ? { id } : fail("id of a container");
};

export function sessionIdOf(value: unknown): string {
  const id = text(value, "sessionId", 64);
  return /^[a-z0-9-]+$/.test(id) ? id : fail("sessionId");
}

/** 32 bytes in base64. */
const publicKeyOf = (value: unknown): string => {
  const key = text(value, "publicKey", 44);
  return /^[A-Za-z0-9+/]{43}=$/.test(key) ? key : fail("publicKey");
};

/** Package http reads the filter. */
const filteredPort = (value: unknown): AgentMethods["incoming.mirror"]["params"] => {
  const { filter } = fields(value, "parameters");
  return filter === undefined
    ? podPort(value)
    : { ...podPort(value), filter: fields(filter, "filter") };
};

/** How the parameters and the result of each method are read. */
const METHODS: {
  readonly [M in AgentMethod]: {
    readonly params: (value: unknown) => AgentMethods[M]["params"];
    readonly result: (value: unknown) => AgentMethods[M]["result"];
  };
} = {
  describe: { params: nothing, result: parseTargetDescription },
  "incoming.steal": {
    params: (value) => {
      const { flush, takesOver, injectHeaders } = fields(value, "parameters");
      if (flush !== undefined && typeof flush !== "boolean") fail("flush");
      if (injectHeaders !== undefined && typeof injectHeaders !== "boolean") fail("injectHeaders");
      return {
        ...filteredPort(value),
        ...(flush === undefined ? {} : { flush }),
        ...(takesOver === true ? { takesOver } : {}),
        ...(injectHeaders === undefined ? {} : { injectHeaders }),
      };
    },
    result: nothing,
  },
  "incoming.certificate": { params: parseCertificateText, result: nothing },
  "incoming.mirror": { params: filteredPort, result: nothing },
  "incoming.release": { params: podPort, result: nothing },
  "incoming.canary": { params: parseCanaryWish, result: parseCanaryResult },
  "incoming.probes": { params: parsePodProbes, result: nothing },
  pause: { params: nothing, result: nothing },
  resume: { params: nothing, result: nothing },
  "target.container": { params: containerOnly, result: nothing },
  "session.admit": {
    params: (value) => {
      const from = fields(value, "parameters");
      return {
        sessionId: sessionIdOf(from.sessionId),
        publicKey: publicKeyOf(from.publicKey),
        owner: text(from.owner, "owner", MAX_OWNER),
      };
    },
    result: nothing,
  },
  "session.leave": {
    params: (value) => ({ sessionId: sessionIdOf(fields(value, "parameters").sessionId) }),
    result: nothing,
  },
  status: { params: nothing, result: parseAgentStatus },
  end: {
    params: nothing,
    result: (value) => ({ others: integer(fields(value, "result").others, "others", 0xffff) }),
  },
};

/** @throws ProtocolError for an unknown method or parameters that are not its own */
export function parseRequest(value: unknown): { method: AgentMethod; params: unknown } {
  const from = fields(value, "request");
  const method = text(from.method, "method", 64);
  if (!Object.hasOwn(METHODS, method)) fail(`method ${JSON.stringify(method)}`);
  return {
    method: method as AgentMethod,
    params: METHODS[method as AgentMethod].params(from.params),
  };
}

export function parseResult<M extends AgentMethod>(
  method: M,
  value: unknown,
): AgentMethods[M]["result"] {
  return METHODS[method].result(value);
}

export function parseResponse(
  value: unknown,
): { readonly result: unknown } | { readonly error: WireError } {
  const from = fields(value, "response");
  return from.error === undefined ? { result: from.result } : { error: parseWireError(from.error) };
}

/** 32 bytes in base64: nothing that could stand for another line of the text that is signed. */
function nonce(value: unknown): string {
  const encoded = text(value, "nonce", 44);
  return /^[A-Za-z0-9+/]{43}=$/.test(encoded) ? encoded : fail("nonce");
}

const features = (value: unknown): string[] =>
  list(value, "features", 64, (entry) => text(entry, "feature", 64));

export function parseAgentHello(value: unknown): AgentHello {
  const from = fields(value, "hello");
  if (from.role !== "agent") fail("role");
  const [oldest, newest] = list(from.versions, "versions", 2, (entry) =>
    integer(entry, "version", 0xffff),
  );
  if (oldest === undefined || newest === undefined) fail("versions");
  return {
    role: "agent",
    versions: [oldest, newest],
    build: text(from.build, "build", 128),
    nonce: nonce(from.nonce),
    features: features(from.features),
    sessions: integer(from.sessions, "sessions", 0xffff),
  };
}

export function parseSessionHello(value: unknown): SessionHello {
  const from = fields(value, "hello");
  if (from.role !== "session") fail("role");
  const sessionId = sessionIdOf(from.sessionId);
  return {
    role: "session",
    version: integer(from.version, "version", 0xffff),
    build: text(from.build, "build", 128),
    sessionId,
    nonce: nonce(from.nonce),
    signature: text(from.signature, "signature", 128),
    features: features(from.features),
    ...(from.about === undefined ? {} : { about: parseSessionAbout(from.about) }),
  };
}
