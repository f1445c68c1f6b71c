/** What was measured, and how it is shown. */

export interface Row {
  readonly what: string;
  /** What the other figure is of: "without inpod", "a Node relay", … */
  readonly beside: string;
  readonly unit: string;
  /** The other figure; undefined where there is nothing to compare with. */
  readonly plain?: number;
  readonly inpod: number;
  /** Of the ratio inpod / plain, or of inpod's own figure. */
  readonly goal?: {
    readonly of: "ratio" | "figure";
    readonly is: "at least" | "at most";
    readonly value: number;
  };
  /** What else must be known to read the row. */
  readonly note?: string;
}

export interface Skipped {
  readonly what: string;
  readonly why: string;
}

export const atLeast = (value: number) => ({ of: "ratio", is: "at least", value }) as const;
export const atMost = (value: number) => ({ of: "ratio", is: "at most", value }) as const;
export const figureAtMost = (value: number) => ({ of: "figure", is: "at most", value }) as const;

const HEAD = ["what", "beside", "unit", "plain", "inpod", "ratio", "to reach", ""];

export const ratioOf = ({ plain, inpod }: Row): number | undefined =>
  plain === undefined ? undefined : inpod / plain;

export function isReached(row: Row): boolean | undefined {
  const { goal } = row;
  const value = goal?.of === "figure" ? row.inpod : ratioOf(row);
  if (!goal || value === undefined) return undefined;
  return goal.is === "at least" ? value >= goal.value : value <= goal.value;
}

function cells(row: Row): string[] {
  const { goal } = row;
  const reached = isReached(row);
  const ratio = ratioOf(row);
  return [
    row.what,
    row.beside,
    row.unit,
    row.plain === undefined ? "" : figure(row.plain),
    figure(row.inpod),
    ratio === undefined ? "" : ratio.toFixed(2),
    goal
      ? `${goal.is === "at least" ? "≥" : "≤"} ${goal.value}${goal.of === "figure" ? ` ${row.unit}` : ""}`
      : "",
    reached === undefined ? "" : reached ? "yes" : "**no**",
  ];
}

/** Three digits are all that a shared machine gives. */
function figure(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function markdown(rows: readonly Row[], skipped: readonly Skipped[]): string {
  const lines = [HEAD, HEAD.map(() => "---"), ...rows.map(cells)].map(
    (line) => `| ${line.join(" | ")} |`,
  );
  const notes = [...new Set(rows.map(({ note }) => note))].filter((note) => note !== undefined);
  return [
    ...lines,
    ...(notes.length > 0 ? ["", ...notes.map((note) => `- ${note}`)] : []),
    ...(skipped.length > 0 ? ["", "Not measured:", ""] : []),
    ...skipped.map(({ what, why }) => `- ${what}: ${why}`),
  ].join("\n");
}

/** Columns in line, for a terminal. */
export function text(rows: readonly Row[]): string {
  const table = [HEAD, ...rows.map(cells)].map((line) =>
    line.map((cell) => cell.replace(/\*/g, "")),
  );
  const widths = HEAD.map((_, column) =>
    Math.max(...table.map((line) => (line[column] ?? "").length)),
  );
  return table
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
