/** Variables as people read them. Pure. */
import type { ByteString } from "@inpod/protocol";
import type { ProgramEnvironment } from "../exec/environment.ts";
import { toText } from "../exec/environment.ts";
import { type Io, printable } from "../io.ts";
import { type Column, printedTable } from "../text/table.ts";
import type { Variable } from "./formats.ts";

const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\t": "\\t" };
const cell = (bytes: ByteString): string =>
  printable(toText(bytes)).replace(/[\n\t]/g, (char) => ESCAPES[char] ?? char);

const COLUMNS: readonly Column[] = [
  { title: "NAME" },
  { title: "FROM" },
  { title: "VALUE", leastWidth: 20 },
];

/**
 * Where it does not go to a terminal each line is a comment: who evaluates it by mistake runs nothing of what stands
 * in a pod's names and values.
 */
export function variableTable(variables: readonly Variable[], withValues: boolean, io: Io): string {
  const rows = variables.map(({ name, value, from }) =>
    [cell(name), from].concat(withValues ? [cell(value)] : []),
  );
  const text = printedTable(withValues ? COLUMNS : COLUMNS.slice(0, 2), rows, io.stdout, io.env);
  return io.stdout.isTTY ? text : text.replace(/^/gm, "# ").replace(/# $/, "");
}

const EXPLAINED: readonly Column[] = [{ title: "NAME" }, { title: "FROM" }, { title: "" }];

/** Of every variable where it comes from, and what it is in the place of; then what the program does not get. */
export function explanation(
  variables: readonly Variable[],
  removed: readonly { readonly name: ByteString; readonly why: string }[],
  { chosen, ownNames }: ProgramEnvironment,
  io: Io,
): string {
  const skipped = new Map(chosen.skipped.map(({ name, why }) => [name, why]));
  const own = new Set(ownNames);
  const present = new Set(variables.map(({ name }) => name));
  const note = ({ name, from }: Variable): string => {
    const why = skipped.get(name);
    if (why !== undefined) return `not the pod's: ${why}`;
    return from !== "local" && own.has(name) ? "in the place of your own" : "";
  };
  const rows = [
    ...variables.map((each) => [cell(each.name), each.from, note(each)]),
    ...removed.map(({ name, why }) => [cell(name), "–", `not your own: ${why}`]),
    ...chosen.skipped
      .filter(({ name }) => !present.has(name))
      .map(({ name, why }) => [cell(name), "–", `not the pod's: ${why}`]),
  ];
  return printedTable(EXPLAINED, rows, io.stderr, io.env);
}
