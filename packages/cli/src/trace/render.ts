/** A summary as text and as JSON. Pure. */
import pc from "picocolors";
import { changeLine } from "../explain/render.ts";
import { hasColor, type Io, printable } from "../io.ts";
import { type Column, printedTable } from "../text/table.ts";
import { type Trouble, troublesOf } from "./advice.ts";
import type { TraceLine } from "./format.ts";
import type { Connection, Directory, Name, Port, Summary } from "./summary.ts";
import type { Results } from "./tally.ts";

/** Rows of a table for people; JSON has all. */
const ROWS = 20;

const oneLine = (text: string): string => printable(text).replace(/[\n\t]/g, " ");
const figure = (value: number): string => (value === 0 ? "" : String(value));
const time = (ms: number): string =>
  ms < 0.05 ? "" : ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
const results = (all: Results): string =>
  Object.entries(all)
    .map(([result, calls]) => `${result} ${calls}`)
    .join(", ");

export function renderText(summary: Summary, io: Io): string {
  const { bold, dim } = pc.createColors(hasColor(io.stdout, io.env));
  const part = (
    title: string,
    columns: readonly string[],
    rows: readonly (readonly string[])[],
    more = 0,
  ): string[] => {
    if (rows.length === 0) return [];
    const shown = rows.slice(0, ROWS).map((row) => row.map(oneLine));
    const titles: Column[] = columns.map((name, at) => ({
      title: name,
      ...(at === 0 ? { leastWidth: 20 } : {}),
    }));
    const left = rows.length - shown.length + more;
    return [
      `${bold(title)}\n${printedTable(titles, shown, io.stdout, io.env)}${left > 0 ? `${dim(`and ${left} more (-o json has all that were kept)`)}\n` : ""}`,
    ];
  };
  const { waiting, slowest } = summary;
  return [
    `${headLines(summary).map(oneLine).join("\n")}\n`,
    ...part(
      "FILES",
      [
        "DIRECTORY",
        "POD",
        "HERE",
        "ELSE HERE",
        "MISSING",
        "NOT HERE",
        "REFUSED",
        "HIDDEN",
        "WAITED",
      ],
      directoriesOf(summary).map((row) => [
        ...[row.directory, figure(row.pod), figure(row.here), figure(row.fellBack)],
        ...[
          figure(row.missing),
          figure(row.absent),
          figure(row.refused),
          figure(row.hidden),
          time(row.waitedMs),
        ],
      ]),
      summary.directories.others,
    ),
    ...part(
      "CONNECTIONS",
      ["TO", "NAME", "FROM", "RESULTS", "WAITED"],
      connectionsOf(summary).map((row) => [
        ...[row.to, row.names.join(", "), row.from, results(row.results), time(row.waitedMs)],
      ]),
      summary.connections.others,
    ),
    ...part(
      "NAMES",
      ["NAME", "RESULTS", "ADDRESSES", "ANSWERED BY", "WAITED"],
      namesOf(summary).map((row) => [
        ...[
          row.name,
          results(row.results),
          row.addresses.join(", "),
          row.by ?? "",
          time(row.waitedMs),
        ],
      ]),
      summary.names.others,
    ),
    ...part(
      "PORTS",
      ["PORT", "IS", "BECAUSE", "CAME IN", "CLIENTS"],
      portsOf(summary).map((row) => [
        ...[row.port, row.verdict, row.why, figure(row.incoming), figure(row.clients.size)],
      ]),
    ),
    ...part(
      "PROGRAMS",
      ["PROGRAM", "IS", "BECAUSE", "PROCESSES"],
      summary.programs
        .rows()
        .toSorted((a, b) => b.calls - a.calls)
        .map(({ program, verdict, why, calls }) => [program, verdict, why, String(calls)]),
    ),
    ...part(
      "VARIABLES",
      ["FROM", "NAMES"],
      variablesOf(summary).map(([verdict, names]) => [verdict, names.join(", ")]),
    ),
    ...part(
      "WAITED FOR",
      ["WHAT", "CALLS", "IN ALL"],
      waiting.map(({ group, calls, ms }) => [group, String(calls), time(ms)]),
    ),
    ...part(
      "SLOWEST",
      ["CALL", "SUBJECT", "PROGRAM", "RESULT", "TOOK"],
      slowest
        .filter(({ tookMs = 0 }) => tookMs >= 1)
        .map((line) => [
          ...[
            line.call,
            line.subject,
            line.program ?? "",
            line.result ?? "",
            time(line.tookMs ?? 0),
          ],
        ]),
    ),
    ...troubleText(troublesOf(summary), bold, dim),
  ].join("\n");
}

function headLines({ begin, end, calls, malformed }: Summary): string[] {
  const { target, command, began, version } = begin;
  const length = end === undefined ? "" : `, ${time(end.ms)}`;
  return [
    `${command} in the place of ${target}, ${began} (inpod ${version})${length}: ${calls} calls`,
    ...(end === undefined
      ? [
          "the session was cut off, or still runs: the trace has no end, and its last calls are missing",
        ]
      : []),
    ...(end !== undefined && end.dropped > 0
      ? [`${end.dropped} calls are missing: more came than could be written`]
      : []),
    ...(end !== undefined && end.beyondLimit > 0
      ? [
          `${end.beyondLimit} calls are missing: the file had reached its limit of ${end.limitBytes} bytes`,
        ]
      : []),
    ...(malformed > 0 ? [`${malformed} lines are malformed and were passed over`] : []),
  ];
}

function troubleText(
  troubles: readonly Trouble[],
  bold: (text: string) => string,
  dim: (text: string) => string,
): string[] {
  if (troubles.length === 0) return [];
  const lines = troubles.flatMap(({ what, subject, words, calls, key, changes }) => [
    `${what} ${bold(oneLine(subject))}: ${oneLine(words)}${calls > 1 ? dim(` (${calls} times)`) : ""}`,
    ...(changes.length === 0 || key === undefined ? [] : [`  key ${key}`]),
    ...changes.map((change) => `  ${changeLine(change)}`),
  ]);
  return [`${bold("WORTH A LOOK")}\n${lines.join("\n")}\n`];
}

const ofPod = (row: Directory): number =>
  row.pod + row.fellBack + row.missing + row.refused + row.hidden;

/** What the pod had a part in first. */
const directoriesOf = ({ directories }: Summary): Directory[] =>
  directories.rows().toSorted((a, b) => ofPod(b) - ofPod(a) || b.here - a.here);
const connectionsOf = ({ connections }: Summary): Connection[] =>
  connections.rows().toSorted((a, b) => b.calls - a.calls);
const namesOf = ({ names }: Summary): Name[] => names.rows().toSorted((a, b) => b.calls - a.calls);
const portsOf = ({ ports }: Summary): Port[] =>
  ports.rows().toSorted((a, b) => b.incoming - a.incoming);

function variablesOf({ variables }: Summary): [string, string[]][] {
  const byVerdict = new Map<string, string[]>();
  for (const { name, verdict } of variables.rows())
    byVerdict.set(verdict, [...(byVerdict.get(verdict) ?? []), name]);
  return [...byVerdict];
}

export function renderJson(summary: Summary): string {
  const { begin, end, calls, malformed, slowest, waiting } = summary;
  const document = {
    session: begin,
    end: end ?? null,
    ...{ calls, malformed },
    directories: directoriesOf(summary),
    connections: connectionsOf(summary),
    names: namesOf(summary),
    ports: portsOf(summary).map((row) => ({ ...row, clients: [...row.clients] })),
    programs: summary.programs.rows(),
    variables: Object.fromEntries(variablesOf(summary)),
    /** Rows for which there was no room. */
    left: {
      directories: summary.directories.others,
      connections: summary.connections.others,
      names: summary.names.others,
      files: summary.files.others,
    },
    waiting,
    slowest: slowest satisfies readonly TraceLine[],
    troubles: troublesOf(summary),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}
