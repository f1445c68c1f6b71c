/**
 * The structure of a regular expression: what follows what, what repeats, what is one of several. What a single
 * character, escape or class matches is not known here; JavaScript itself is asked for it (automaton.ts).
 */

export type RegexNode =
  /** Matches one UTF-16 code unit: a character, an escape, a class, or `.`, as it is written. */
  | { readonly kind: "unit"; readonly source: string }
  | { readonly kind: "sequence"; readonly parts: readonly RegexNode[] }
  | { readonly kind: "choice"; readonly options: readonly RegexNode[] }
  /** `most`: Infinity for no limit. */
  | {
      readonly kind: "repeat";
      readonly part: RegexNode;
      readonly least: number;
      readonly most: number;
    }
  | { readonly kind: "start" }
  | { readonly kind: "end" }
  /** `\b`, or `\B` with `isBoundary: false`. */
  | { readonly kind: "word-boundary"; readonly isBoundary: boolean };

const QUANTIFIER = /^(?:[*+?]|\{(\d+)(,(\d*))?\})\??/;

/**
 * @param source what compileUserRegex (session) has accepted
 * @returns undefined when there is more than structure: a look-ahead or look-behind
 */
export function parseRegex(source: string): RegexNode | undefined {
  const parser = new Parser(source);
  const parsed = parser.choice();
  return parser.isWhole ? parsed : undefined;
}

/** What every text begins with that an expression with `^` matches; "" when that is nothing, or not known. */
export function literalPrefix(source: string): string {
  const parsed = parseRegex(source);
  const [start, ...parts] = parsed?.kind === "sequence" ? parsed.parts : [];
  if (start?.kind !== "start") return "";
  let literal = "";
  for (const part of parts) {
    const char = part.kind === "unit" ? literalOf(part.source) : undefined;
    if (char === undefined) break;
    literal += char;
  }
  return literal;
}

function literalOf(source: string): string | undefined {
  if (/^\\\W$/.test(source)) return source.charAt(1);
  return source.length === 1 && source !== "." ? source : undefined;
}

class Parser {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  get isWhole(): boolean {
    return this.#at === this.#source.length;
  }

  choice(): RegexNode | undefined {
    const options: RegexNode[] = [];
    do {
      const option = this.#sequence();
      if (option === undefined) return undefined;
      options.push(option);
    } while (this.#skip("|"));
    const [only] = options;
    return options.length === 1 ? only : { kind: "choice", options };
  }

  #sequence(): RegexNode | undefined {
    const parts: RegexNode[] = [];
    while (!this.isWhole && !this.#isNext("|") && !this.#isNext(")")) {
      const part = this.#part();
      if (part === undefined) return undefined;
      parts.push(this.#repeated(part));
    }
    return { kind: "sequence", parts };
  }

  #part(): RegexNode | undefined {
    if (this.#skip("^")) return { kind: "start" };
    if (this.#skip("$")) return { kind: "end" };
    if (this.#skip("\\b")) return { kind: "word-boundary", isBoundary: true };
    if (this.#skip("\\B")) return { kind: "word-boundary", isBoundary: false };
    if (this.#isNext("(")) return this.#group();
    const rest = this.#source.slice(this.#at);
    const [source = ""] =
      /^(?:\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[\s\S])|\[(?:\\[\s\S]|[^\]\\])*\]|[\s\S])/.exec(
        rest,
      ) ?? [];
    this.#at += source.length;
    return { kind: "unit", source };
  }

  #group(): RegexNode | undefined {
    const [opening] = /^\((?:\?:|\?<[A-Za-z_]\w*>|(?!\?))/.exec(this.#source.slice(this.#at)) ?? [];
    if (opening === undefined) return undefined;
    this.#at += opening.length;
    const inside = this.choice();
    return this.#skip(")") ? inside : undefined;
  }

  #repeated(part: RegexNode): RegexNode {
    const found = QUANTIFIER.exec(this.#source.slice(this.#at));
    if (found === null) return part;
    this.#at += found[0].length;
    const [sign, low, hasMore, high] = found;
    if (low === undefined) {
      return {
        kind: "repeat",
        part,
        least: sign.startsWith("+") ? 1 : 0,
        most: sign.startsWith("?") ? 1 : Number.POSITIVE_INFINITY,
      };
    }
    const least = Number(low);
    const most =
      hasMore === undefined ? least : high === "" ? Number.POSITIVE_INFINITY : Number(high);
    return { kind: "repeat", part, least, most };
  }

  #isNext(text: string): boolean {
    return this.#source.startsWith(text, this.#at);
  }

  #skip(text: string): boolean {
    const isNext = this.#isNext(text);
    if (isNext) this.#at += text.length;
    return isNext;
  }
}
