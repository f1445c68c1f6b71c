/** The rights of each operation as the tables and Roles of docs/rights.md. Pure. */
import { WORKLOADS } from "../../target-path.ts";
import { type Operation, RIGHTS, type Right, rightsFor, roleYaml } from "./roles.ts";

const KINDS = ["pod", ...WORKLOADS] as const;
const BESIDE_A_POD = ["find pod", "place job"] as const;
const EXTRAS = ["join agent", "read policy", "write events"] as const;

interface Row {
  readonly title: string;
  readonly operations: readonly Operation[];
  /** What is optional for a session is what this one thing consists of. */
  readonly needsAll?: boolean;
}
const row = (title: string, ...operations: Operation[]): Row => ({ title, operations });
const all = (title: string, ...operations: Operation[]): Row => ({
  ...row(title, ...operations),
  needsAll: true,
});

/** By the name of the table's marker in the document. */
const TABLES: Readonly<Record<string, readonly Row[]>> = {
  features: [
    row("`exec`, `exec --steal` and `env`, on a pod", ...BESIDE_A_POD),
    row("the same on a deployment", "find deployment", "place job"),
    row("the same with `-e`", "find pod", "place ephemeral"),
    row("`exec -t targetless`", "place job"),
    row("`inpod forward` without a target", "place job", "see ports"),
    row(
      "`exchange` and `mesh` through a relay pod (docs/relay-pod.md), on a Service",
      "find service",
      "place relay",
    ),
    row("`inpod preview`", "publish service"),
    all("joining an agent that runs", "join agent"),
    all("events of the target that tell who was there", "write events"),
    all("obeying what owners allow (`inpod.dev/policy`)", "read policy"),
    all("filters inside TLS, with a certificate that is in a Secret", "read certificates"),
    all("variables of the spec, where the process shows none", "read variables"),
  ],
  find: [
    ...KINDS.map((kind) => row(`\`${kind}/…\``, `find ${kind}`)),
    row("`label/…`", "find label"),
  ],
  place: [
    row("an agent in a job of its own", "place job"),
    row("an agent in the target's pod (`-e`)", "place ephemeral"),
  ],
  other: [
    ...KINDS.map((kind) => row(`\`inpod ls ${kind}\``, `list ${kind}`)),
    row("`inpod status`", "status"),
    row("`inpod clean`", "clean"),
    row("`inpod verify`", "verify"),
    row("`inpod recover`", "recover"),
    row("`inpod doctor`", "examine"),
    row("`inpod doctor`, of the node (a ClusterRole)", "examine nodes"),
    row("naming namespaces in errors (a ClusterRole)", "name namespaces"),
  ],
};

const PLACE = "NAMESPACE";
const AGENTS = "AGENTS-NAMESPACE";
/** By the name of the marker, too. */
const ROLES: Readonly<Record<string, () => string>> = {
  everything: () =>
    roleYaml(
      rightsFor([
        ...KINDS.map((kind) => `find ${kind}` as const),
        "find label",
        "place job",
        ...EXTRAS,
        ...KINDS.map((kind) => `list ${kind}` as const),
        "status",
        "clean",
        "recover",
        "place relay",
        "publish service",
        "verify",
        "examine",
      ]),
      PLACE,
    ),
  pod: () => roleYaml(least(["find pod", "place job"]), PLACE),
  target: () => roleYaml(rightsFor(["find deployment", "read policy", "write events"]), PLACE),
  agents: () => roleYaml(rightsFor(["place job", "join agent"]), AGENTS),
  ephemeral: () => roleYaml(rightsFor(["find pod", "place ephemeral"]), PLACE),
  cluster: () => roleYaml(rightsFor(["name namespaces", "examine nodes"]), undefined),
};
const least = (operations: readonly Operation[]): Right[] =>
  rightsFor(operations).filter(({ needed }) => needed === "always");

/** The document with its parts as they are to be: what stands between `<!-- rights: NAME -->` and `<!-- end -->`. */
export const withRightsTables = (document: string): string =>
  document.replace(
    /(<!-- rights: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, begin: string, name: string, end: string) => `${begin}\n${part(name)}\n\n${end}`,
  );

function part(name: string): string {
  if (name === "optional") return table(["without", "what is lost"], optionalRows());
  const role = ROLES[name];
  // Of no language: a formatter would write these otherwise than inpod does.
  if (role !== undefined) return `\`\`\`\n${role()}\n\`\`\``;
  return table(["for", "needed", "makes it better"], (TABLES[name] ?? []).map(cells));
}

function cells({ title, operations, needsAll = false }: Row): string[] {
  const rights = rightsFor(operations);
  const isNeeded = ({ needed }: Right): boolean => needsAll || needed === "always";
  return [title, named(rights.filter(isNeeded)), named(rights.filter((right) => !isNeeded(right)))];
}

/** Each optional right of a session or command once, with all that it is good for. */
function optionalRows(): string[][] {
  const whys = new Map<string, Set<string>>();
  for (const right of Object.values(RIGHTS).flat()) {
    if (right.needed !== "optional") continue;
    const name = named([right]);
    whys.set(name, (whys.get(name) ?? new Set()).add(right.why));
  }
  return [...whys].map(([name, of]) => [name, [...of].join("; ")]);
}

/** Padded, as the formatter wants it. */
function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, at) =>
    Math.max(title.length, ...rows.map((cell) => cell[at]?.length ?? 0)),
  );
  const line = (of: readonly string[]): string =>
    `| ${of.map((text, at) => text.padEnd(widths[at] ?? 0)).join(" | ")} |`;
  return [line(titles), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join(
    "\n",
  );
}

/** `get, watch pods · create jobs.batch` */
function named(rights: readonly Right[]): string {
  const verbs = new Map<string, string[]>();
  for (const { verb, group, resource, subresource } of rights) {
    const name = `${resource}${group === "" ? "" : `.${group}`}${subresource === undefined ? "" : `/${subresource}`}`;
    verbs.set(name, [...(verbs.get(name) ?? []), verb]);
  }
  return [...verbs].map(([name, of]) => `${of.join(", ")} ${name}`).join(" · ");
}
