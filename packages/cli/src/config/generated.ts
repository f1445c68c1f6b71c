/** What the repository keeps that is made from the schema: `npm run config-docs` writes it, a test compares it. */
import { editorSchema, type JsonSchema } from "./editor-schema.ts";
import { VALUES } from "./effective.ts";
import { keyTables, variableTable } from "./key-table.ts";
import { ownSchema } from "./own-config.ts";
import { resolve } from "./resolve.ts";
import { fileSchema } from "./schema.ts";

const SECTIONS = [
  "target",
  "agent",
  "feature",
  "feature.env",
  "feature.fs",
  "feature.network",
  "feature.network.incoming",
  "feature.network.outgoing",
];

/** What counts when nobody says anything; without keys of which nothing is said then. */
export function defaultValues(): Record<string, unknown> {
  const config = resolve({}, {}, {}, [], () => "");
  return Object.fromEntries(
    Object.entries(VALUES)
      .map(([path, get]) => [path, get(config)] as const)
      .filter(([, value]) => value !== undefined && value !== "" && !isEmpty(value)),
  );
}

const isEmpty = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.keys(value).length === 0;

/** By the path of the file. */
export const editorSchemas = (): Readonly<Record<string, JsonSchema>> => ({
  "schema/inpod.schema.json": editorSchema(fileSchema, "inpod", defaultValues()),
  "schema/inpod-own.schema.json": editorSchema(ownSchema, "inpod: your own configuration", {}),
});

/** docs/configuration.md with its tables made anew, between marks that name them. */
export function withTables(document: string): string {
  const tables: Readonly<Record<string, string>> = {
    keys: keyTables(fileSchema, SECTIONS, defaultValues()),
    "own keys": keyTables(ownSchema, [], {}),
    variables: variableTable(),
  };
  return Object.entries(tables).reduce(
    (text, [name, table]) => between(text, name, table),
    document,
  );
}

/** What stands between the marks of this name. @throws Error when there are none */
export function between(document: string, name: string, made: string): string {
  const marks = new RegExp(
    `(<!-- ${name}: made by npm run config-docs -->\n)[\\s\\S]*?(<!-- end -->)`,
  );
  if (!marks.test(document)) throw new Error(`the document has no marks for "${name}"`);
  return document.replace(marks, (_, begin: string, end: string) => `${begin}\n${made}\n\n${end}`);
}
