/** What agents have said, as rows of a table. Pure. */
import type { PortStatus, SessionStatus } from "@inpod/protocol";
import { printable } from "../io.ts";
import { age, type Column } from "../text/table.ts";
import type { Asked } from "./ask.ts";

export const COLUMNS: readonly Column[] = [
  { title: "NAMESPACE" },
  { title: "TARGET", leastWidth: 16 },
  { title: "WHO", leastWidth: 12 },
  { title: "PORT" },
  { title: "TAKES", leastWidth: 16 },
  { title: "FOR", expendable: 3 },
  { title: "CONNECTIONS", expendable: 2 },
  { title: "REQUESTS", expendable: 1 },
];

interface How {
  readonly isEverywhere: boolean;
  readonly nowMs: number;
}

/** A row for each session and port; sessions without one have a row, too, and so has what went on to the pod. */
export function rowsOf(asked: readonly Asked[], { isEverywhere, nowMs }: How): string[][] {
  return asked.flatMap((each) => {
    const { facts } = each.agent;
    const where = [isEverywhere ? facts.namespace : "", facts.target ?? "no target"];
    const rows =
      each.kind === "told"
        ? [
            ...each.status.sessions.flatMap((session) => sessionRows(session, nowMs)),
            ...each.status.passed.map(({ port, connections, requests }) => [
              "(the pod)",
              String(port),
              "what nobody takes",
              "",
              String(connections),
              counted(requests),
            ]),
          ]
        : [[facts.owner ?? "?", "?", "", sinceWhen(facts.createdMs, nowMs), "", ""]];
    return rows.map((row) =>
      [...where, ...row].map((cell) => printable(cell).replace(/\s+/g, " ")),
    );
  });
}

function sessionRows(session: SessionStatus, nowMs: number): string[][] {
  const { owner, sessionId, sinceMs, isConnected, ports } = session;
  const who = `${owner === "" ? `session ${sessionId}` : owner}${isConnected ? "" : " (connection lost)"}`;
  if (ports.length === 0) return [[who, "", "no port", sinceWhen(sinceMs, nowMs), "", ""]];
  return ports.map((port) => [
    who,
    `${port.port}${port.protocol === "udp" ? "/udp" : ""}`,
    takes(port),
    sinceWhen(port.sinceMs, nowMs),
    String(port.connections),
    port.filter === undefined ? "" : String(port.requests),
  ]);
}

function takes({ way, filter, isActive }: PortStatus): string {
  const what = way === "mirror" ? `copies of ${filter ?? "all"}` : (filter ?? "all");
  return isActive ? what : `${what} (stopped)`;
}

const counted = (requests: number): string => (requests === 0 ? "" : String(requests));

const sinceWhen = (ms: number, nowMs: number): string =>
  Number.isNaN(ms) ? "" : age(new Date(ms).toISOString(), nowMs);
