/** Where a key of the configuration got its value: which source, and of a file the line. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
// Its CommonJS build requires its parts through a variable, which no bundler can follow.
import { findNodeAtLocation, parseTree } from "jsonc-parser/lib/esm/main.js";
import { isNode, parseDocument } from "yaml";
import { effectiveValues } from "../config/effective.ts";
import type { LoadedConfig } from "../config/load.ts";

export interface Origin {
  /** "default", "file", "flag", "variable NAME", "own configuration" or "made up" */
  readonly from: string;
  readonly file?: string;
  /** From 1; left out where it cannot be told: a TOML file, templates, a key in its short form. */
  readonly line?: number;
}

type Path = readonly (string | number)[];

/** Of a key, with or without the entry: `feature.fs.local[0]`. */
export function originsOf(loaded: LoadedConfig, directory: string): (key: string) => Origin {
  const values = effectiveValues(loaded);
  const texts = new Map<string, string | undefined>();
  const textOf = (file: string): string | undefined => {
    if (!texts.has(file)) texts.set(file, read(resolve(directory, file)));
    return texts.get(file);
  };
  return (key) => {
    const [, name = key, entry] = /^(.*?)(?:\[(\d+)\])?$/s.exec(key) ?? [];
    const from = values[name]?.from ?? "default";
    const file =
      from === "file" ? loaded.path : from === "own configuration" ? loaded.ownPath : undefined;
    if (file === undefined) return { from };
    const text = textOf(file);
    const path = [...name.split("."), ...(entry === undefined ? [] : [Number(entry)])];
    const line = text === undefined ? undefined : lineOf(file, text, path);
    return { from, file, ...(line === undefined ? {} : { line }) };
  };
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** The deepest of the path that stands there: a short form (`"fs": "write"`) says what lies below it. */
export function lineOf(file: string, text: string, path: Path): number | undefined {
  try {
    const find = /\.ya?ml$/i.test(file)
      ? inYaml(text)
      : /\.toml$/i.test(file)
        ? undefined
        : inJson(text);
    for (let length = path.length; find !== undefined && length > 0; length--) {
      const offset = find(path.slice(0, length));
      if (offset !== undefined) return text.slice(0, offset).split("\n").length;
    }
  } catch {
    // Templates can make a file what its parser does not understand: then its name must do.
  }
  return undefined;
}

function inJson(text: string): (path: Path) => number | undefined {
  const root = parseTree(text, [], { allowTrailingComma: true });
  return (path) => root && findNodeAtLocation(root, [...path])?.offset;
}

function inYaml(text: string): (path: Path) => number | undefined {
  const document = parseDocument(text, { prettyErrors: false });
  return (path) => {
    const node: unknown = document.getIn(path, true);
    return isNode(node) ? node.range?.[0] : undefined;
  };
}

/** "default", ".inpod/inpod.json:7", "flag", "variable INPOD_STEAL" */
export const originText = ({ from, file, line }: Origin): string =>
  file === undefined ? from : line === undefined ? file : `${file}:${line}`;
