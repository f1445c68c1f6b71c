/** One configuration file: read, its templates filled, its keys sorted and judged. */
import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { UserError } from "@inpod/protocol";
import type * as z from "zod";
import { type FileKind, problemsOf } from "./problems.ts";
import { type IgnoredKey, sortOut } from "./sort-out.ts";
import { parseConfig } from "./syntax.ts";
import type { TemplateFacts } from "./template-values.ts";
import { isObject, merged } from "./tree.ts";

/** Bytes. Nobody writes that by hand. */
const MAX_FILE = 1024 * 1024;

export const ENDINGS = [".json", ".yaml", ".yml", ".toml"];

export interface FileContent<Value> {
  /** Undefined where there are problems. */
  readonly value: Value | undefined;
  /** What was written, by its keys, with its templates filled. */
  readonly tree: unknown;
  readonly ignored: readonly IgnoredKey[];
  readonly problems: readonly string[];
}

/** The key that templates know, once the file's own `key` is known. */
export type KeyOf = (written: string | undefined) => string;

export interface Source {
  readonly directory: string;
  /** Undefined: there is only the patch. */
  readonly path: string | undefined;
  /** Goes over what the file says. */
  readonly patch?: Readonly<Record<string, unknown>> | undefined;
}

/** @throws UserError CONFIG_NOT_FOUND, CONFIG_INVALID for a name that says no language */
export function readConfigFile<Schema extends z.ZodType>(
  { directory, path, patch = {} }: Source,
  kind: FileKind<Schema>,
  facts: Omit<TemplateFacts, "key">,
  keyOf: KeyOf,
): FileContent<z.output<Schema>> {
  if (path === undefined) return judge(patch, kind);
  if (!/\.(jsonc?|ya?ml|toml)$/i.test(path)) throw configOfUnknownKind(path);
  const parsed = parseConfig(path, readText(resolve(directory, path), path));
  const nothing = { value: undefined, tree: {}, ignored: [] };
  if (parsed.kind === "errors") return { ...nothing, problems: parsed.errors };
  const { fill } = parsed;
  // An empty YAML file is null, an empty JSON file an error.
  const whole = parsed.tree ?? {};
  const own = fill(isObject(whole) ? whole.key : undefined, { ...facts, key: undefined });
  const key = () => keyOf(typeof own.tree === "string" ? own.tree : undefined);
  const filled = fill(whole, { ...facts, key });
  const mistakes = [...new Set([...own.problems, ...filled.problems])];
  // What a template should have given would be found wrong once more.
  if (mistakes.length > 0) return { ...nothing, problems: mistakes };
  return judge(isObject(filled.tree) ? merged(filled.tree, patch) : filled.tree, kind);
}

function judge<Schema extends z.ZodType>(
  written: unknown,
  kind: FileKind<Schema>,
): FileContent<z.output<Schema>> {
  const nothing = { value: undefined, tree: {}, ignored: [] };
  const { tree, refused, ignored } = sortOut(written, kind.schema);
  if (!isObject(tree)) return { ...nothing, problems: ["the whole file must be an object"] };
  const checked = kind.schema.safeParse(tree);
  const problems = [
    ...refused,
    ...(checked.success ? [] : problemsOf(checked.error.issues, tree, kind)),
  ];
  const value = checked.success && problems.length === 0 ? checked.data : undefined;
  return { value, tree, ignored, problems };
}

function readText(file: string, path: string): string {
  try {
    if (statSync(file).size > MAX_FILE) throw new Error(`it is longer than ${MAX_FILE} bytes`);
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw configNotReadable(path, cause);
  }
}

export const isFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

const configNotReadable = (path: string, cause: unknown): UserError =>
  new UserError("CONFIG_NOT_FOUND", `cannot read the configuration file ${path}`, { cause });

const configOfUnknownKind = (path: string): UserError =>
  new UserError("CONFIG_INVALID", `cannot tell the language of ${path} by its name`, {
    hints: ["end its name in .json, .yaml, .yml or .toml"],
  });
