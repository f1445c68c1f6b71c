/** What an agent says of those whom it serves: `inpod status`. */
import { fail, fields, integer, list, port, text } from "./foreign.ts";

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
