/** feature.fs.mapping: paths are rewritten before anything is decided about them. */
import type { ByteString } from "@inpod/protocol";
import { ConfigValueError, compileUserRegex } from "@inpod/session";
import { bytesToText, MAX_PATH_LENGTH, textToBytes } from "./match.ts";

export interface PathMapping {
  readonly regex: RegExp;
  /** Literal text and capture groups (by number or name), in order. */
  readonly replacement: readonly (string | { readonly group: string })[];
  readonly why: string;
}

export interface MappedPath {
  readonly path: ByteString;
  /** `null`: the path is as the program named it. */
  readonly why: string | null;
}

/**
 * @param mapping expression and replacement; `$1`, `${1}`, `$name`, `${name}` are capture groups
 *   and `$$` is a dollar sign, as in the configurations written for mirrord
 * @throws ConfigValueError
 */
export function compileMapping(
  mapping: readonly (readonly [source: string, replacement: string])[],
): readonly PathMapping[] {
  return mapping.map(([source, replacement]) => {
    const why = `feature.fs.mapping[${JSON.stringify(source)}]`;
    const regex = compileUserRegex(source, why, { ignoreCase: true });
    return { regex, replacement: parseReplacement(replacement, why), why };
  });
}

/** The first expression that matches rewrites its first match; the others are not asked. */
export function mapPath(mapping: readonly PathMapping[], path: ByteString): MappedPath {
  if (path.length > MAX_PATH_LENGTH) return { path, why: null };
  const text = bytesToText(path);
  // A name that is not UTF-8 cannot be put together again from text.
  const isText = textToBytes(text) === path;
  for (const { regex, replacement, why } of mapping) {
    const found = regex.exec(text);
    if (found === null) continue;
    if (!isText) return { path, why: null };
    const middle = replacement
      .map((part) => (typeof part === "string" ? part : (groupOf(found, part.group) ?? "")))
      .join("");
    const mapped = text.slice(0, found.index) + middle + text.slice(found.index + found[0].length);
    const normalised = normalise(textToBytes(mapped));
    return normalised === undefined ? { path, why: null } : { path: normalised, why };
  }
  return { path, why: null };
}

const groupOf = (found: RegExpExecArray, group: string): string | undefined =>
  /^\d+$/.test(group) ? found[Number(group)] : found.groups?.[group];

function parseReplacement(text: string, key: string): PathMapping["replacement"] {
  if (text.includes("\0")) throw new ConfigValueError(key, "a path contains no NUL");
  const parts: (string | { group: string })[] = [];
  let at = 0;
  for (const found of text.matchAll(/\$(?:(\$)|(\w+)|\{(\w+)\})/g)) {
    parts.push(text.slice(at, found.index));
    const group = found[2] ?? found[3];
    parts.push(group === undefined ? "$" : { group });
    at = found.index + found[0].length;
  }
  parts.push(text.slice(at));
  return parts.filter((part) => part !== "");
}

/** `undefined` for what is no absolute path that the kernel would take. */
function normalise(path: ByteString): ByteString | undefined {
  if (!path.startsWith("/")) return undefined;
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  const normalised = `/${names.join("/")}`;
  return normalised.length > MAX_PATH_LENGTH ? undefined : normalised;
}
