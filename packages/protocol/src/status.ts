/** What an agent says of those whom it serves: `inpod status`. */
import { fail, fields, integer, list, port, text } from "./foreign.ts";

/** What a session says of itself in its greeting, to be told to people; nothing is decided by it. */
export interface SessionAbout {
  /** The command that it is: "exec", "exchange", "forward". */
  readonly mode: string;
  /** As its user named it: "service/web". Empty: it has none. */
  readonly target: string;
  /** Name of the developer's machine. */
  readonly machine: string;
  /** What else there is to know, in one line: "-L 5432:db:5432". No secrets. */
  readonly detail?: string | undefined;
}

/** Of one session and one port. */
export interface PortStatus {
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  readonly way: "steal" | "mirror";
  /** In one line for people; undefined: all that comes, or all that no filter takes. */
  readonly filter?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
  /** False: its session is stopped, or its tunnel lost; the pod answers meanwhile. */
  readonly isActive: boolean;
  /** Connections, or copies of some, that the session was given. */
  readonly connections: number;
  /** Requests that matched the filter; 0 without one. */
  readonly requests: number;
}

export interface SessionStatus {
  readonly sessionId: string;
  /** As the cluster knows him; empty: nobody said. */
  readonly owner: string;
  readonly sinceMs: number;
  /** False: its tunnel is lost, and it may come back. */
  readonly isConnected: boolean;
  readonly ports: readonly PortStatus[];
  /** Undefined: its inpod is older, or the agent is. */
  readonly about?: SessionAbout | undefined;
}

/** Of a port that somebody steals: what of it went on to the pod. */
export interface PassedStatus {
  readonly port: number;
  readonly connections: number;
  /** Of connections that are split into requests. */
  readonly requests: number;
}

export interface AgentStatus {
  /** Those that only ask are left out. */
  readonly sessions: readonly SessionStatus[];
  readonly passed: readonly PassedStatus[];
}

const MAX_SESSIONS = 256;
const MAX_PORTS = 1024;
const MAX_LINE = 1024;

/** Characters: a machine's name (HOST_NAME_MAX), and lines that a person reads. */
const MAX_MODE = 32;
const MAX_MACHINE = 64;
const MAX_DETAIL = 256;

/** Cut to what a greeting may hold: MAX_HELLO are bytes, of which JSON makes six of what it has to escape. */
export const sessionAbout = ({ mode, target, machine, detail }: SessionAbout): SessionAbout => ({
  mode: cut(mode, MAX_MODE),
  target: cut(target, MAX_DETAIL),
  machine: cut(machine, MAX_MACHINE),
  ...(detail === undefined ? {} : { detail: cut(detail, MAX_DETAIL) }),
});

const cut = (line: string, limit: number): string =>
  line.slice(0, limit).replace(/[\p{Cc}\p{Cs}]/gu, "?");

/** @throws ProtocolError */
export function parseSessionAbout(value: unknown): SessionAbout {
  const from = fields(value, "about");
  return {
    mode: text(from.mode, "mode", MAX_MODE),
    target: text(from.target, "target", MAX_DETAIL),
    machine: text(from.machine, "machine", MAX_MACHINE),
    ...(from.detail === undefined ? {} : { detail: text(from.detail, "detail", MAX_DETAIL) }),
  };
}

const portStatus = (value: unknown): PortStatus => {
  const from = fields(value, "port");
  return {
    port: port(from.port),
    protocol: from.protocol === "udp" ? "udp" : "tcp",
    way: from.way === "steal" || from.way === "mirror" ? from.way : fail("way"),
    filter: from.filter === undefined ? undefined : text(from.filter, "filter", MAX_LINE),
    sinceMs: integer(from.sinceMs, "sinceMs"),
    isActive: from.isActive === true,
    connections: integer(from.connections, "connections"),
    requests: integer(from.requests, "requests"),
  };
};

/** @throws ProtocolError */
export function parseAgentStatus(value: unknown): AgentStatus {
  const from = fields(value, "status");
  return {
    sessions: list(from.sessions, "sessions", MAX_SESSIONS, (entry) => {
      const session = fields(entry, "session");
      return {
        sessionId: text(session.sessionId, "sessionId", 64),
        owner: text(session.owner, "owner", MAX_LINE),
        sinceMs: integer(session.sinceMs, "sinceMs"),
        isConnected: session.isConnected === true,
        ports: list(session.ports, "ports", MAX_PORTS, portStatus),
        ...(session.about === undefined ? {} : { about: parseSessionAbout(session.about) }),
      };
    }),
    passed: list(from.passed, "passed", MAX_PORTS, (entry) => {
      const passed = fields(entry, "passed");
      return {
        port: port(passed.port),
        connections: integer(passed.connections, "connections"),
        requests: integer(passed.requests, "requests"),
      };
    }),
  };
}
