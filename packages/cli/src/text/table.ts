/** Rows in columns that fit a terminal. Pure. */
import pc from "picocolors";
import { hasColor, type Io, type Sink } from "../io.ts";

export interface Column {
  readonly title: string;
  /** Narrow terminals lose the column with the highest number first; undefined: it stays. */
  readonly expendable?: number;
  /** May be cut, down to this many characters. */
  readonly leastWidth?: number;
}

const GAP = "  ";

/** As it is printed there: bold titles, a last line that is ended, and nothing cut where there is no terminal. */
export function printedTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  sink: Sink,
  env: Io["env"],
): string {
  const [titles = "", ...lines] = table(columns, rows, sink.isTTY ? sink.columns : undefined);
  const { bold } = pc.createColors(hasColor(sink, env));
  return [bold(titles), ...lines, ""].join("\n");
}

/**
 * @param width of the terminal; undefined: there is none, and nothing is cut
 * @returns lines without trailing spaces; the first has the titles
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number | undefined,
): string[] {
  let kept = columns.map((column, at) => {
    const cells = rows.map((row) => row[at] ?? "");
    return { ...column, cells, full: longest([column.title, ...cells]) };
  });
  // A column that is empty in every row says nothing.
  kept = kept.filter((each) => each.cells.some((cell) => cell !== "") || rows.length === 0);
  const least = () => sum(kept.map((each) => Math.min(each.full, each.leastWidth ?? each.full)));
  while (width !== undefined && least() > width) {
    const [first] = kept
      .filter((each) => each.expendable !== undefined)
      .sort((a, b) => (b.expendable ?? 0) - (a.expendable ?? 0));
    if (first === undefined) break;
    kept = kept.filter((each) => each !== first);
  }
  let over = width === undefined ? 0 : sum(kept.map((each) => each.full)) - width;
  const sized = kept.map((each) => ({ ...each, size: each.full }));
  // The last that may be cut is the least important.
  for (const each of sized.toReversed()) {
    const spare = each.leastWidth === undefined ? 0 : Math.max(0, each.full - each.leastWidth);
    const cut = Math.max(0, Math.min(spare, over));
    each.size -= cut;
    over -= cut;
  }
  return [
    sized.map(({ title }) => title),
    ...rows.map((_, row) => sized.map(({ cells }) => cells[row] ?? "")),
  ].map((line) =>
    line
      .map((cell, at) => fit(cell, sized[at]?.size ?? 0))
      .join(GAP)
      .trimEnd(),
  );
}

const sum = (sizes: readonly number[]): number =>
  sizes.reduce((all, size) => all + size, 0) + GAP.length * Math.max(0, sizes.length - 1);
const longest = (cells: readonly string[]): number =>
  cells.reduce((most, cell) => Math.max(most, [...cell].length), 0);

function fit(cell: string, size: number): string {
  const characters = [...cell];
  return characters.length > size
    ? `${characters.slice(0, size - 1).join("")}…`
    : cell.padEnd(size + cell.length - characters.length);
}

/** As kubectl: the largest unit, two where the first is small. */
export function age(createdAt: string | null, nowMs: number): string {
  const since = createdAt === null ? Number.NaN : nowMs - new Date(createdAt).getTime();
  if (Number.isNaN(since)) return "";
  const seconds = Math.max(0, Math.floor(since / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h`;
  return `${Math.floor(hours / 24)}d`;
}
