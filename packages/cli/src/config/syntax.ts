/** Text of a configuration file → plain values. Error texts never quote the file: it may hold secrets. */
// Its CommonJS build requires its parts through a variable, which no bundler can follow.
import {
  type ParseError,
  parse as parseJson,
  printParseErrorCode,
} from "jsonc-parser/lib/esm/main.js";
import { parse as parseToml, TomlError } from "smol-toml";
import { isMap, isNode, isScalar, isSeq, parseDocument, visit } from "yaml";
import type { TemplateFacts } from "./template-values.ts";
import { type Filled, Templates, type Written } from "./templates.ts";

export type Parsed =
  | {
      readonly kind: "tree";
      readonly tree: unknown;
      readonly fill: Fill;
      /** `file:line:column` of a key or an entry, else of the nearest above it; of YAML only. */
      readonly placeOf?: ((path: readonly PropertyKey[]) => string) | undefined;
    }
  | { readonly kind: "errors"; readonly errors: readonly string[] };

/** Puts values in the place of templates, in the tree or a part of it. */
export type Fill = (tree: unknown, facts: TemplateFacts) => Filled;

/** Errors after the first few are mostly consequences of those. */
const MAX_ERRORS = 5;

interface Mistake {
  /** In the text that was parsed. */
  readonly offset: number;
  readonly why: string;
}
type Read =
  | { readonly tree: unknown; readonly offsetOf?: (path: readonly PropertyKey[]) => number }
  | { readonly mistakes: readonly Mistake[]; readonly written: Written };

/** @param file its name decides the language; errors begin with `file:line:column: ` */
export function parseConfig(file: string, text: string): Parsed {
  const source = text.startsWith("\ufeff") ? text.slice(1) : text;
  const isYaml = /\.ya?ml$/i.test(file);
  const read = isYaml ? yaml : /\.toml$/i.test(file) ? toml : json;
  const templates = new Templates(source);
  const result = read(templates);
  const locate = (offset: number) => place(file, source, offset);
  if ("tree" in result)
    return {
      kind: "tree",
      tree: result.tree,
      fill: (tree, facts) => templates.fill(tree, facts, { isText: isYaml, locate }),
      ...(result.offsetOf && { placeOf: (path) => locate(result.offsetOf?.(path) ?? 0) }),
    };
  const { mistakes, written } = result;
  return {
    kind: "errors",
    errors: mistakes
      .slice(0, MAX_ERRORS)
      .map(({ offset, why }) => `${locate(written.original(offset))}: ${why}`),
  };
}

const JSON_STRINGS_AND_COMMENTS = /"(?:\\[\s\S]|[^"\\\n])*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//;

function json(templates: Templates): Read {
  const errors: ParseError[] = [];
  const written = templates.writtenApart(JSON_STRINGS_AND_COMMENTS);
  const tree: unknown = parseJson(written.text, errors, { allowTrailingComma: true });
  if (errors.length === 0) return { tree };
  return { written, mistakes: errors.map(({ error, offset }) => ({ offset, why: words(error) })) };
}

/** "CommaExpected" → "comma expected" */
const words = (error: number): string =>
  printParseErrorCode(error)
    .replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter}`)
    .toLowerCase();

function yaml(templates: Templates): Read {
  const written = templates.written();
  const document = parseDocument(written.text, { prettyErrors: false });
  const mistakes = document.errors.map(({ pos, code }) => ({
    offset: pos[0],
    why: code.toLowerCase().replaceAll("_", " "),
  }));
  if (mistakes.length > 0) return { written, mistakes };
  visit(document, {
    Scalar(_, node) {
      if (node.type === "PLAIN" && typeof node.value === "string")
        node.value = templates.apart(node.value);
    },
  });
  try {
    const tree: unknown = document.toJS();
    return { tree, offsetOf: (path) => written.original(offsetIn(document.contents, path)) };
  } catch (error) {
    // Aliases without an anchor, or so many of them that they would fill the memory.
    return { written, mistakes: [{ offset: 0, why: (error as Error).message }] };
  }
}

/** Of the key at the path's end, or of the last that is there. */
function offsetIn(node: unknown, [first, ...rest]: readonly PropertyKey[], above = 0): number {
  if (first === undefined) return above;
  if (isMap(node)) {
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(first));
    if (pair === undefined) return above;
    return offsetIn(pair.value, rest, isScalar(pair.key) ? (pair.key.range?.[0] ?? above) : above);
  }
  if (!isSeq(node)) return above;
  const item = node.items[Number(first)];
  return offsetIn(item, rest, (isNode(item) ? item.range?.[0] : undefined) ?? above);
}

const TOML_STRINGS_AND_COMMENTS =
  /"""(?:\\[\s\S]|[^\\])*?"""|'''[\s\S]*?'''|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*/;

function toml(templates: Templates): Read {
  const written = templates.writtenApart(TOML_STRINGS_AND_COMMENTS);
  try {
    return { tree: parseToml(written.text) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // What follows the first line is the source.
    const [why = ""] = error.message.replace(/^Invalid TOML document: /, "").split("\n");
    const offset = offsetOf(written.text, error.line, error.column);
    return { written, mistakes: [{ offset, why }] };
  }
}

const offsetOf = (text: string, line: number, column: number): number =>
  text
    .split("\n")
    .slice(0, line - 1)
    .reduce((sum, each) => sum + each.length + 1, column - 1);

function place(file: string, text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n");
  return `${file}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
}
