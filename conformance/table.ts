/** The table of docs/programs.md: written by `npm run conformance`, and read by the test that holds it to what it sees. */
import { type Cell, type Cells, type Column, columns } from "./contract.ts";
import type { Result } from "./session.ts";

const BEGIN = "<!-- the table of the run: begin -->";
const END = "<!-- the table of the run: end -->";
const HEAD = ["program", "version", ...columns];
const WORDS = { yes: "yes", no: "**no**", none: "–" } as const;

export interface Circumstances {
  /** YYYY-MM-DD */
  readonly day: string;
  readonly kernel: string;
  readonly arch: string;
  readonly user: string;
}

/** The same page with another table. */
export function withTable(
  page: string,
  results: readonly Result[],
  { day, kernel, arch, user }: Circumstances,
): string {
  const notes: string[] = [];
  const number = (why: string): number => {
    if (!notes.includes(why)) notes.push(why);
    return notes.indexOf(why) + 1;
  };
  const word = (cell: Cell): string =>
    cell.kind === "yes"
      ? WORDS.yes
      : `${WORDS[cell.kind]} (${number(cell.why.trim().replace(/\s+/g, " "))})`;
  const rows = results.map(({ name, version, cells }) => [
    name,
    version || "–",
    ...columns.map((column) => word(cells[column])),
  ]);
  const lines = [
    `Seen on ${day}, Linux ${kernel} on ${arch}, as ${user}.`,
    "",
    ...aligned([HEAD, ...rows]),
    "",
    ...notes.map((why, index) => `${index + 1}. ${why}`),
  ];
  const [before, after] = around(page);
  return `${before}${BEGIN}\n\n${lines.join("\n")}\n\n${END}${after}`;
}

export function readTable(page: string): ReadonlyMap<string, Cells> {
  const [before, after] = around(page);
  const lines = page.slice(before.length, page.length - after.length).split("\n");
  const notes = new Map<string, string>();
  for (const line of lines) {
    const [, number, why] = /^(\d+)\. (.*)$/.exec(line) ?? [];
    if (number !== undefined && why !== undefined) notes.set(number, why);
  }
  const [, ...rows] = lines.filter((line) => line.startsWith("| ") && !/^\| -/.test(line));
  return new Map(
    rows.map((line) => {
      const [name = "", , ...words] = line
        .split("|")
        .slice(1, -1)
        .map((word) => word.trim());
      const entries = words.map((word, index) => [columns[index] as Column, cellOf(word, notes)]);
      return [name, Object.fromEntries(entries) as Cells];
    }),
  );
}

function cellOf(word: string, notes: ReadonlyMap<string, string>): Cell {
  if (word === WORDS.yes) return { kind: "yes" };
  const [, said, number = ""] = /^(.*) \((\d+)\)$/.exec(word) ?? [];
  const kind = said === WORDS.no ? "no" : said === WORDS.none ? "none" : undefined;
  const why = notes.get(number);
  if (kind === undefined || why === undefined) throw new Error(`not a cell of the table: ${word}`);
  return { kind, why };
}

/** What stands before the mark and after it. */
function around(page: string): [string, string] {
  const [before, rest] = page.split(BEGIN);
  const [, after] = rest?.split(END) ?? [];
  if (before === undefined || after === undefined) throw new Error("the page has no place for it");
  return [before, after];
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = HEAD.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((word, at) => word.padEnd(widths[at] ?? 0)).join(" | ")} |`;
  const [head = [], ...others] = rows;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...others.map(line)];
}
