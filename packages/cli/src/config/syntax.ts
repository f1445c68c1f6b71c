/** Text of a configuration file → plain values. Error texts never quote the file: it may hold secrets. */
// Its CommonJS build requires its parts through a variable, which no bundler can follow.
import {
  type ParseError,
  parse as parseJson,
  printParseErrorCode,
} from "jsonc-parser/lib/esm/main.js";
import { parse as parseToml, TomlError } from "smol-toml";
import { LineCounter, parseDocument } from "yaml";

export type Parsed =
  | { readonly kind: "tree"; readonly tree: unknown }
  | { readonly kind: "errors"; readonly errors: readonly string[] };

/** Errors after the first few are mostly consequences of those. */
const MAX_ERRORS = 5;

/** @param file its name decides the language; errors begin with `file:line:column: ` */
export function parseConfig(file: string, text: string): Parsed {
  const source = text.startsWith("\ufeff") ? text.slice(1) : text;
  const template = /\{\{|\{%/.exec(withoutComments(file, source));
  if (template !== null)
    return failed([
      `${place(file, source, template.index)}: templates ({{ … }}, {% … %}) are not supported yet`,
    ]);
  if (/\.ya?ml$/i.test(file)) return yaml(file, source);
  if (/\.toml$/i.test(file)) return toml(file, source);
  return json(file, source);
}

function json(file: string, text: string): Parsed {
  const errors: ParseError[] = [];
  const tree: unknown = parseJson(text, errors, { allowTrailingComma: true });
  if (errors.length === 0) return { kind: "tree", tree };
  return failed(errors.map(({ error, offset }) => `${place(file, text, offset)}: ${words(error)}`));
}

/** "CommaExpected" → "comma expected" */
const words = (error: number): string =>
  printParseErrorCode(error)
    .replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter}`)
    .toLowerCase();

function yaml(file: string, text: string): Parsed {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const [first] = document.errors;
  if (first === undefined) {
    try {
      return { kind: "tree", tree: document.toJS() as unknown };
    } catch (error) {
      // Aliases without an anchor, or so many of them that they would fill the memory.
      return failed([`${file}:1:1: ${(error as Error).message}`]);
    }
  }
  return failed(
    document.errors.map(({ pos, code }) => {
      const { line, col } = lineCounter.linePos(pos[0]);
      return `${file}:${line}:${col}: ${code.toLowerCase().replaceAll("_", " ")}`;
    }),
  );
}

function toml(file: string, text: string): Parsed {
  try {
    return { kind: "tree", tree: parseToml(text) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // What follows the first line is the source.
    const [why = ""] = error.message.replace(/^Invalid TOML document: /, "").split("\n");
    return failed([`${file}:${error.line}:${error.column}: ${why}`]);
  }
}

const failed = (errors: string[]): Parsed => ({
  kind: "errors",
  errors: errors.slice(0, MAX_ERRORS),
});

function place(file: string, text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n");
  return `${file}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
}

/** Comments as blanks, so that every offset stays. A `{{` in a comment is nobody's template. */
const withoutComments = (file: string, text: string): string =>
  text.replace(
    /\.(ya?ml|toml)$/i.test(file)
      ? /(?<=^|\s)#.*$/gm
      : /(?<=^|[\s,{}[\]])(\/\/.*$|\/\*[\s\S]*?\*\/)/gm,
    (comment) => comment.replace(/[^\n]/g, " "),
  );
