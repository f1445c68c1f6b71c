/** What agents have said, as rows of a table. Pure. */
import type { PortStatus, SessionStatus } from "@inpod/protocol";
import { printable } from "../io.ts";
import { age, type Column } from "../text/table.ts";
import type { Asked } from "./ask.ts";

export const COLUMNS: readonly Column[] = [
  { title: "NAMESPACE" },
  { title: "TARGET", leastWidth: 16 },
  { title: "WHO", leastWidth: 12 },
  { title: "MODE" },
  { title: "AS", leastWidth: 12, expendable: 4 },
  { title: "PORT" },
  { title: "TAKES", leastWidth: 16 },
  { title: "FOR", expendable: 3 },
  { title: "CONNECTIONS", expendable: 2 },
  { title: "REQUESTS", expendable: 1 },
  { title: "MACHINE", leastWidth: 8, expendable: 5 },
];

/** What the table is sorted by; the words that ktctl has for two of them are known as well. */
export const SORTS = ["target", "who", "mode", "age"] as const;
export type Sort = (typeof SORTS)[number];

interface How {
  readonly isEverywhere: boolean;
  readonly nowMs: number;
  readonly sort?: Sort;
}

interface Row {
  readonly target: string;
  readonly who: string;
  readonly mode: string;
  readonly sinceMs: number;
  readonly cells: readonly string[];
}

/** A row for each session and port; sessions without one have a row, too, and so has what went on to the pod. */
export function rowsOf(
  asked: readonly Asked[],
  { isEverywhere, nowMs, sort = "target" }: How,
): string[][] {
  const rows = asked.flatMap((each): Row[] => {
    const { facts } = each.agent;
    const target = facts.target ?? "no target";
    const row = (who: string, mode: string, sinceMs: number, cells: readonly string[]): Row => ({
      ...{ target, who, mode, sinceMs },
      cells: [isEverywhere ? facts.namespace : "", target, who, mode, ...cells],
    });
    if (each.kind !== "told") {
      const since = sinceWhen(facts.createdMs, nowMs);
      return [row(facts.owner ?? "?", "", facts.createdMs, ["", "?", "", since, "", ""])];
    }
    return [
      ...each.status.sessions.flatMap((session) =>
        sessionRows(session, target, nowMs).map((cells) =>
          row(whoOf(session), session.about?.mode ?? "", session.sinceMs, cells),
        ),
      ),
      ...each.status.passed.map(({ port, connections, requests }) =>
        row("(the pod)", "", Number.POSITIVE_INFINITY, [
          ...["", String(port), "what nobody takes", ""],
          ...[String(connections), counted(requests)],
        ]),
      ),
    ];
  });
  return rows
    .toSorted(compare(sort))
    .map(({ cells }) => cells.map((cell) => printable(cell).replace(/\s+/g, " ")));
}

/** Rows of one target stay together, as its agent told them: the sort is stable. */
const compare =
  (sort: Sort) =>
  (a: Row, b: Row): number => {
    if (sort === "age") return (b.sinceMs || 0) - (a.sinceMs || 0);
    return a[sort].localeCompare(b[sort], "en");
  };

export const whoOf = ({ owner, sessionId, isConnected }: SessionStatus): string =>
  `${owner === "" ? `session ${sessionId}` : owner}${isConnected ? "" : " (connection lost)"}`;

function sessionRows(session: SessionStatus, target: string, nowMs: number): string[][] {
  const { sinceMs, ports, about } = session;
  const pod = (text: string): string => text.replace(/\/container\/.*$/, "");
  const as = about === undefined || pod(about.target) === pod(target) ? "" : about.target;
  const machine = about?.machine ?? "";
  if (ports.length === 0)
    return [[as, "", about?.detail ?? "no port", sinceWhen(sinceMs, nowMs), "", "", machine]];
  return ports.map((port) => [
    as,
    `${port.port}${port.protocol === "udp" ? "/udp" : ""}`,
    takes(port),
    sinceWhen(port.sinceMs, nowMs),
    String(port.connections),
    port.filter === undefined ? "" : String(port.requests),
    machine,
  ]);
}

export function takes({ way, filter, isActive }: PortStatus): string {
  const what = way === "mirror" ? `copies of ${filter ?? "all"}` : (filter ?? "all");
  return isActive ? what : `${what} (stopped)`;
}

const counted = (requests: number): string => (requests === 0 ? "" : String(requests));

const sinceWhen = (ms: number, nowMs: number): string =>
  Number.isNaN(ms) ? "" : age(new Date(ms).toISOString(), nowMs);
