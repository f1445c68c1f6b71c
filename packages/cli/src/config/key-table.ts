/** The keys as tables for docs/configuration.md. Made from the schema that judges files. */
import type * as z from "zod";
import { type JsonSchema, typeSchema } from "./editor-schema.ts";
import { type Key, keysOf } from "./keys.ts";
import { variableSuffixes } from "./overrides.ts";

/** One table for the keys of the root, and one for each of `sections` with all below it. */
export function keyTables(
  schema: z.ZodType,
  sections: readonly string[],
  defaults: Readonly<Record<string, unknown>>,
): string {
  const keys = [...keysOf(schema)];
  /** The longest section that the key is below, or "". */
  const sectionOf = ({ path }: Key): string =>
    sections.filter((each) => path.startsWith(`${each}.`)).at(-1) ?? "";
  return ["", ...sections]
    .map((section) => {
      const rows = keys.filter((key) => sectionOf(key) === section);
      return [
        ...(section === "" ? [] : [`### \`${section}\``, ""]),
        "| key | type | default | in inpod | what it says |",
        "| --- | --- | --- | --- | --- |",
        ...rows.map((key) => row(key, section, defaults)),
      ].join("\n");
    })
    .join("\n\n");
}

function row(
  { path, facts, schema }: Key,
  section: string,
  defaults: Readonly<Record<string, unknown>>,
): string {
  const name = section === "" ? path : path.slice(section.length + 1);
  const value = defaults[path];
  return tableRow([
    code(name),
    facts.type ?? typeText(typeSchema(schema)),
    value === undefined ? "–" : code(JSON.stringify(value)),
    effectText(facts),
    facts.what,
  ]);
}

function effectText({ effect, since, why, harmless }: Key["facts"]): string {
  const head = effect === "works" ? `works, since ${since}` : effect;
  const but = harmless === undefined ? "" : ` (accepted: ${harmlessText(typeSchema(harmless))})`;
  return `${head}${but}${why ? `: ${why}` : ""}`;
}

const harmlessText = (json: JsonSchema): string =>
  json.anyOf === undefined
    ? code(JSON.stringify(json.const))
    : (json.anyOf as JsonSchema[])
        .map(({ const: value, properties }) =>
          properties === undefined
            ? code(JSON.stringify(value))
            : Object.entries(properties as Record<string, JsonSchema>)
                .map(([key, inner]) => code(`${key}: ${JSON.stringify(inner.const)}`))
                .join(", "),
        )
        .join(", ");

/** `"a" or boolean or list of integer` */
export function typeText(json: JsonSchema): string {
  if (Array.isArray(json.enum))
    return json.enum.map((each) => code(JSON.stringify(each))).join(", ");
  if (json.const !== undefined) return code(JSON.stringify(json.const));
  if (Array.isArray(json.anyOf)) {
    const types = (json.anyOf as JsonSchema[])
      // The alternative of a template is no type of its own.
      .filter((each) => each.pattern === undefined || each.type !== undefined)
      .map(typeText);
    return [...new Set(types)].join(" or ");
  }
  if (json.type === "array") {
    const { items } = json;
    if (Array.isArray(items)) return `[${(items as JsonSchema[]).map(typeText).join(", ")}]`;
    return `list of ${typeText((items ?? {}) as JsonSchema)}`;
  }
  if (json.type === "object")
    return json.properties === undefined
      ? `map to ${typeText((json.additionalProperties ?? {}) as JsonSchema)}`
      : "object";
  return typeof json.type === "string" ? json.type : "any";
}

/** The variables that override keys, by the ends of their names. */
export const variableTable = (): string =>
  [
    "| variable | key |",
    "| --- | --- |",
    ...variableSuffixes().map(({ suffix, key }) =>
      tableRow([
        `${code(`INPOD_${suffix}`)}, ${code(`MIRRORD_${suffix}`)}`,
        key === undefined ? "the file itself" : code(key),
      ]),
    ),
  ].join("\n");

const code = (text: string): string => `\`${text}\``;
const tableRow = (cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
