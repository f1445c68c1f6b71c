/**
 * The templates of a configuration file, found in its text: the part of Tera (mirrord's) that has no statements.
 *
 * `{{ key }}`, `{{ get_env(name="X", default="y") | lower }}`; `{% raw %}…{% endraw %}` is text as it stands,
 * `{# … #}` nothing. Pure.
 */

export interface Call {
  readonly name: string;
  /** Undefined: no parentheses. */
  readonly values: Readonly<Record<string, string>> | undefined;
}

export type Expression =
  | { readonly kind: "text"; readonly text: string }
  | {
      readonly kind: "pipe";
      readonly source: Call | { readonly text: string };
      readonly filters: readonly Call[];
    }
  /** Told only where the template matters: not in a comment. */
  | { readonly kind: "mistake"; readonly why: string };

export interface Template {
  /** In the text; `end` is the first character that is not the template's. */
  readonly start: number;
  readonly end: number;
  readonly expression: Expression;
}

const OPENING = /\{\{|\{%|\{#/g;
const RAW = /^\{%-?\s*raw\s*-?%\}([\s\S]*?)\{%-?\s*endraw\s*-?%\}/;

/** Characters. What is longer is none, so that the time for a file grows no faster than the file. */
const MAX_TEMPLATE = 1024;
const MAX_RAW = 8 * 1024;

export function findTemplates(text: string): Template[] {
  const found: Template[] = [];
  for (let at = 0; ; ) {
    OPENING.lastIndex = at;
    const opening = OPENING.exec(text);
    if (opening === null) return found;
    const start = opening.index;
    const template =
      opening[0] === "{%"
        ? readStatement(text.slice(start, start + MAX_RAW))
        : readTemplate(text.slice(start, start + MAX_TEMPLATE));
    at = start + (template?.end ?? opening[0].length);
    if (template !== undefined) found.push({ ...template, start, end: at });
  }
}

type Found = Pick<Template, "end" | "expression">;

/** @param text begins with {{ or {# */
function readTemplate(text: string): Found | undefined {
  if (text.startsWith("{{")) return new Reader(text).template();
  const close = text.indexOf("#}", 2);
  // Without its end it is whatever the file's language takes it for.
  return close === -1 ? undefined : { end: close + 2, expression: { kind: "text", text: "" } };
}

function readStatement(text: string): Found {
  const raw = RAW.exec(text);
  if (raw !== null) return { end: raw[0].length, expression: { kind: "text", text: raw[1] ?? "" } };
  const why = "statements ({% … %}) are not known, only {{ … }}";
  return { end: endOfMistake(text, "%}"), expression: { kind: "mistake", why } };
}

/** Where the author most likely ended it: its line's next closing marks. Without them it is no more than its opening. */
function endOfMistake(text: string, closing: string): number {
  const [line = ""] = text.slice(2).split("\n", 1);
  const close = line.indexOf(closing);
  const next = line.search(OPENING);
  return 2 + (close === -1 || (next !== -1 && next < close) ? 0 : close + closing.length);
}

class Mistake extends Error {}

const BLANKS = /\s*/y;
const NAME = /[A-Za-z_][\w.]*/y;
const NUMBER = /-?\d+(?:\.\d+)?/y;
/** Tera knows no escapes. `\"` is how an editor that checks JSON wants a quote inside of a string. */
const QUOTED = /\\"([^"\\\n]*)\\"|"([^"\n]*)"|'([^'\n]*)'|`([^`\n]*)`/y;

/** Recursive descent over one `{{ … }}`, at the beginning of a text. */
class Reader {
  #at = 2;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  template(): Found {
    try {
      const expression = this.#pipe();
      return { end: this.#at, expression };
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      const end = endOfMistake(this.#text, "}}");
      return { end, expression: { kind: "mistake", why: error.message } };
    }
  }

  #pipe(): Expression {
    const text = this.#take(QUOTED);
    const source = text === undefined ? this.#call("a variable or function") : { text };
    const filters: Call[] = [];
    while (this.#takeWord("|")) filters.push(this.#call("a filter"));
    if (!this.#takeWord("}}")) throw new Mistake(`a template that does not end in }}`);
    return { kind: "pipe", source, filters };
  }

  #call(what: string): Call {
    const name = this.#take(NAME);
    if (name === undefined) throw new Mistake(`${what} is missing in a template`);
    if (!this.#takeWord("(")) return { name, values: undefined };
    const values: [string, string][] = [];
    while (!this.#takeWord(")")) {
      if (values.length > 0 && !this.#takeWord(",")) throw new Mistake(`${name}(…) without its )`);
      const key = this.#take(NAME);
      if (key === undefined || !this.#takeWord("="))
        throw new Mistake(`${name}(…) takes arguments by their names: name="…"`);
      const value = this.#take(QUOTED) ?? this.#take(NUMBER) ?? this.#takeFlag();
      if (value === undefined) throw new Mistake(`${name}(${key}=…) without a value in quotes`);
      values.push([key, value]);
    }
    return { name, values: Object.fromEntries(values) };
  }

  #takeFlag(): string | undefined {
    const word = this.#take(NAME);
    return word === "true" || word === "false" ? word : undefined;
  }

  /** What `pattern` matches here after blanks: its first group that is there, else all of it. */
  #take(pattern: RegExp): string | undefined {
    this.#skipBlanks();
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match.slice(1).find((group) => group !== undefined) ?? match[0];
  }

  #takeWord(word: string): boolean {
    this.#skipBlanks();
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }

  #skipBlanks(): void {
    BLANKS.lastIndex = this.#at;
    BLANKS.exec(this.#text);
    this.#at = BLANKS.lastIndex;
  }
}
