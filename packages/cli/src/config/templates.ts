/**
 * Templates take their values after the file is parsed: what a variable contains cannot end the string that it
 * stands in. Until then a word that the file does not contain stands in the template's place.
 *
 * Outside of quotes a template is a value of its own (`"ttl": {{ get_env(name="TTL") }}`): a number, true, false,
 * or other JSON. In YAML it can be text as well, as everything there.
 */
import { randomBytes } from "node:crypto";
import { findTemplates, type Template } from "./template-syntax.ts";
import { render, type TemplateFacts } from "./template-values.ts";
import { isObject } from "./tree.ts";

export interface Written {
  readonly text: string;
  /** From an offset of `text` to the file's own. */
  readonly original: (offset: number) => number;
}

export interface Filled {
  readonly tree: unknown;
  /** Each begins with its place. */
  readonly problems: readonly string[];
}

/** What stands for a template: something in a text, or a value of its own. */
type Form = "s" | "v";

export class Templates {
  readonly #source: string;
  readonly #found: readonly Template[];
  readonly #nonce: string;

  constructor(source: string) {
    this.#source = source;
    this.#found = findTemplates(source);
    let nonce: string;
    do nonce = randomBytes(8).toString("hex");
    while (source.includes(nonce));
    this.#nonce = nonce;
  }

  /** The file's text with a word for each template. */
  written(): Written {
    return this.#write((index) => this.#word(index, "s"));
  }

  /** As above; a word outside of what `other` matches (strings and comments) is a value of its own, in quotes. */
  writtenApart(other: RegExp): Written {
    const alone = new Set<number>();
    const pattern = new RegExp(`${other.source}|${this.#pattern("s")}`, "g");
    for (const [, index] of this.written().text.matchAll(pattern))
      if (index !== undefined) alone.add(Number(index));
    return this.#write((index) =>
      alone.has(index) ? `"${this.#word(index, "v")}"` : this.#word(index, "s"),
    );
  }

  /** A text that is nothing but one word becomes a value of its own. */
  apart(text: string): string {
    const [, index] = new RegExp(`^${this.#pattern("s")}$`).exec(text) ?? [];
    return index === undefined ? text : this.#word(Number(index), "v");
  }

  /**
   * The tree with values in the place of words.
   *
   * @param isText whether a value of its own that is no JSON is text
   */
  fill(
    tree: unknown,
    facts: TemplateFacts,
    { isText, locate }: { readonly isText: boolean; readonly locate: (offset: number) => string },
  ): Filled {
    const problems = new Map<Template, string>();
    const tell = (template: Template, why: string): void => {
      if (!problems.has(template)) problems.set(template, `${locate(template.start)}: ${why}`);
    };
    const rendered = (template: Template): string => {
      const result = render(template.expression, facts);
      if (result.kind === "value") return result.text;
      tell(template, result.why);
      return "";
    };
    const words = new RegExp(this.#pattern("s"), "g");
    const text = (written: string): string =>
      written.replace(words, (_, index: string) => rendered(this.#at(index)));
    const apart = (template: Template): unknown => {
      const value = rendered(template);
      try {
        return JSON.parse(value) as unknown;
      } catch {
        if (isText) return value;
        tell(template, "outside of quotes a template must give a number, true or false");
        return undefined;
      }
    };
    const whole = new RegExp(`^${this.#pattern("v")}$`);
    const walk = (value: unknown): unknown => {
      if (typeof value === "string") {
        const [, index] = whole.exec(value) ?? [];
        return index === undefined ? text(value) : apart(this.#at(index));
      }
      if (Array.isArray(value)) return value.map(walk);
      if (!isObject(value)) return value;
      return Object.fromEntries(
        Object.entries(value).map(([key, inner]) => [this.#keyText(key, text), walk(inner)]),
      );
    };
    return { tree: walk(tree), problems: [...problems.values()] };
  }

  /** A key is always text. */
  #keyText(key: string, text: (written: string) => string): string {
    const [, index] = new RegExp(`^${this.#pattern("v")}$`).exec(key) ?? [];
    return text(index === undefined ? key : this.#word(Number(index), "s"));
  }

  #write(wordFor: (index: number) => string): Written {
    let text = "";
    let end = 0;
    const words: { start: number; end: number; template: Template }[] = [];
    for (const [index, template] of this.#found.entries()) {
      text += this.#source.slice(end, template.start);
      const start = text.length;
      text += wordFor(index);
      words.push({ start, end: text.length, template });
      end = template.end;
    }
    text += this.#source.slice(end);
    return {
      text,
      original: (offset) => {
        const last = words.findLast((word) => word.start <= offset);
        if (last === undefined) return offset;
        if (offset < last.end) return last.template.start;
        return last.template.end + offset - last.end;
      },
    };
  }

  #at(index: string): Template {
    return this.#found[Number(index)] as Template;
  }

  #word = (index: number, form: Form): string => `t${this.#nonce}${form}${index}e`;
  #pattern = (form: Form): string => `t${this.#nonce}${form}(\\d+)e`;
}
