/** The rights of each operation as the tables of docs/rights.md. Pure. */
import { WORKLOADS } from "../../target-path.ts";
import { type Operation, type Right, rightsFor } from "./roles.ts";

const KINDS = ["pod", ...WORKLOADS] as const;

/** By the name of the table's marker in the document. */
const TABLES: Readonly<Record<string, readonly (readonly [title: string, Operation])[]>> = {
  find: [
    ...KINDS.map((kind) => [`\`${kind}/…\``, `find ${kind}`] as const),
    ["`label/…`", "find label"],
    ["what the owners allow (`inpod.dev/policy`)", "read policy"],
    ["events of the target that tell who was there", "write events"],
  ],
  place: [
    ["an agent in a job of its own", "place job"],
    ["an agent in the target's pod (`-e`)", "place ephemeral"],
  ],
  other: [
    ...KINDS.map((kind) => [`\`inpod ls ${kind}\``, `list ${kind}`] as const),
    ["`inpod clean`", "clean"],
    ["naming namespaces in errors (a ClusterRole)", "name namespaces"],
  ],
};

/** The document with its tables as they are to be: what stands between `<!-- rights: NAME -->` and `<!-- end -->`. */
export const withRightsTables = (document: string): string =>
  document.replace(
    /(<!-- rights: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, begin: string, name: string, end: string) =>
      `${begin}\n${table(TABLES[name] ?? [])}\n\n${end}`,
  );

/** Padded, as the formatter wants it. */
function table(rows: readonly (readonly [title: string, Operation])[]): string {
  const cells = [
    ["for", "needed", "makes it better"],
    ...rows.map(([title, operation]) => {
      const rights = rightsFor([operation]);
      return [title, cell(rights, "always"), cell(rights, "optional")];
    }),
  ];
  const widths = [0, 1, 2].map((at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((text, at) => text.padEnd(widths[at] ?? 0)).join(" | ")} |`;
  const [titles = [], ...rest] = cells;
  return [line(titles), line(widths.map((width) => "-".repeat(width))), ...rest.map(line)].join(
    "\n",
  );
}

/** `get`, `watch` pods · `create` jobs.batch */
function cell(rights: readonly Right[], needed: Right["needed"]): string {
  const verbs = new Map<string, string[]>();
  for (const { verb, group, resource, subresource, needed: isNeeded } of rights) {
    if (isNeeded !== needed) continue;
    const name = `${resource}${group === "" ? "" : `.${group}`}${subresource === undefined ? "" : `/${subresource}`}`;
    verbs.set(name, [...(verbs.get(name) ?? []), verb]);
  }
  return [...verbs].map(([name, of]) => `${of.join(", ")} ${name}`).join(" · ");
}
