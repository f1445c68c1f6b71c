/** What the schema found, as lines for people: path, what is there (its type, never the value), what is allowed. */
import { nearest } from "@inpod/protocol";
import type * as z from "zod";
import { isRead, keysOf } from "./keys.ts";
import { below } from "./tree.ts";

/** What a file of some kind may say, and where else people look for those keys. */
export interface FileKind<Schema extends z.ZodType = z.ZodType> {
  readonly schema: Schema;
  /** Keys of another kind of file, and how that one is called. */
  readonly elsewhere?: { readonly schema: z.ZodType; readonly where: string };
}

export const problemsOf = (
  issues: readonly z.core.$ZodIssue[],
  tree: unknown,
  kind: FileKind,
): string[] =>
  issues.flatMap((issue) => {
    const path = pathText(issue.path);
    if (issue.code === "unrecognized_keys")
      return issue.keys.map((key) => unknownKey(path, key, issue.message.split(" "), kind));
    if (issue.code === "invalid_key")
      return [`"${path}" has a wrong key; allowed: ${issue.issues[0]?.message}`];
    if (issue.message.startsWith("not supported yet")) return [`"${path}": ${issue.message}`];
    const found = at(tree, issue.path);
    return [`"${path}" is ${kindOf(found)}; allowed: ${issue.message}${meant(found, issue)}`];
  });

/** @param siblings all that may stand there; offered are those whose value matters */
function unknownKey(
  path: string,
  key: string,
  siblings: readonly string[],
  { schema, elsewhere }: FileKind,
): string {
  const full = below(path, key);
  if (elsewhere && [...keysOf(elsewhere.schema)].some((each) => each.path === full))
    return `"${full}" belongs into ${elsewhere.where}`;
  const idle = new Set(
    [...keysOf(schema)].filter((each) => !isRead(each)).map((each) => each.path),
  );
  const guess = nearest(key, siblings);
  const known = siblings.filter((name) => name !== "" && !idle.has(below(path, name)));
  return (
    `unknown key "${full}"` +
    (guess === undefined ? "" : `, did you mean "${guess}"?`) +
    (known.length === 0
      ? ""
      : ` (known ${path === "" ? "here" : `in "${path}"`}: ${known.join(", ")})`)
  );
}

/** Only where the allowed values are words in quotes. */
function meant(found: unknown, { message }: z.core.$ZodIssue): string {
  if (typeof found !== "string") return "";
  const words = [...message.matchAll(/"([a-z]+)"/gi)].map(([, word]) => word ?? "");
  const guess = nearest(found, words);
  return guess === undefined ? "" : `; did you mean "${guess}"?`;
}

const pathText = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, part) =>
      typeof part === "number"
        ? `${text}[${part}]`
        : text === ""
          ? String(part)
          : `${text}.${String(part)}`,
    "",
  );

const at = (tree: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (value, part) =>
      typeof value === "object" && value !== null
        ? (value as Record<PropertyKey, unknown>)[part]
        : undefined,
    tree,
  );

function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (value === "") return "an empty string";
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (typeof value === "object") return "an object";
  return `a ${typeof value}`;
}
