/** JSONPath, from its text to a query: what json-path.ts runs. */

export type Selector =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "index"; readonly index: number }
  | {
      readonly kind: "slice";
      readonly start?: number;
      readonly end?: number;
      readonly step: number;
    }
  | { readonly kind: "wildcard" }
  | { readonly kind: "filter"; readonly test: Logical };

export interface Segment {
  readonly isDescendant: boolean;
  readonly selectors: readonly Selector[];
}

export type Logical =
  | { readonly kind: "and" | "or"; readonly of: readonly Logical[] }
  | { readonly kind: "not"; readonly of: Logical }
  | { readonly kind: "exists"; readonly query: Query }
  | {
      readonly kind: "compare";
      readonly op: string;
      readonly left: Operand;
      readonly right: Operand;
    };

export type Operand =
  | { readonly kind: "literal"; readonly value: string | number | boolean | null }
  | { readonly kind: "query"; readonly query: Query };

export interface Query {
  readonly isRelative: boolean;
  readonly segments: readonly Segment[];
}

const MAX_NESTING = 32;

export class QueryParser {
  readonly #source: string;
  #at = 0;
  #nesting = 0;

  constructor(source: string) {
    this.#source = source;
  }

  whole(): Query {
    if (!this.#take("$")) this.#fail("$ was expected");
    const query = { isRelative: false, segments: this.#segments() };
    if (this.#at < this.#source.length) this.#fail("the end was expected");
    return query;
  }

  #segments(): Segment[] {
    const segments: Segment[] = [];
    for (;;) {
      const before = this.#at;
      this.#space();
      const isDescendant = this.#take("..");
      if (this.#take("[")) segments.push({ isDescendant, selectors: this.#bracketed() });
      else if (isDescendant || this.#take(".")) {
        segments.push({ isDescendant, selectors: [this.#shorthand()] });
      } else {
        this.#at = before;
        return segments;
      }
    }
  }

  #shorthand(): Selector {
    if (this.#take("*")) return { kind: "wildcard" };
    const name = this.#match(/[A-Za-z_\u0080-\u{10ffff}][\w\u0080-\u{10ffff}]*/uy);
    return name === undefined ? this.#fail("a name or * was expected") : { kind: "name", name };
  }

  #bracketed(): Selector[] {
    const selectors: Selector[] = [];
    do {
      this.#space();
      selectors.push(this.#selector());
      this.#space();
    } while (this.#take(","));
    if (!this.#take("]")) this.#fail("] was expected");
    return selectors;
  }

  #selector(): Selector {
    if (this.#take("*")) return { kind: "wildcard" };
    if (this.#take("?")) {
      this.#space();
      return { kind: "filter", test: this.#or() };
    }
    const name = this.#string();
    if (name !== undefined) return { kind: "name", name };
    const start = this.#integer();
    this.#space();
    if (!this.#take(":")) {
      return start === undefined
        ? this.#fail("a selector was expected")
        : { kind: "index", index: start };
    }
    this.#space();
    const end = this.#integer();
    this.#space();
    const hasStep = this.#take(":");
    if (hasStep) this.#space();
    const step = hasStep ? this.#integer() : undefined;
    return {
      kind: "slice",
      step: step ?? 1,
      ...(start === undefined ? {} : { start }),
      ...(end === undefined ? {} : { end }),
    };
  }

  #or(): Logical {
    return this.#joined("or", "||", () => this.#joined("and", "&&", () => this.#basic()));
  }

  #joined(kind: "and" | "or", operator: string, part: () => Logical): Logical {
    const of = [part()];
    for (this.#space(); this.#take(operator); this.#space()) {
      this.#space();
      of.push(part());
    }
    return of.length === 1 ? (of[0] as Logical) : { kind, of };
  }

  #basic(): Logical {
    this.#nesting += 1;
    if (this.#nesting > MAX_NESTING) this.#fail("nested too deeply");
    try {
      return this.#basicInside();
    } finally {
      this.#nesting -= 1;
    }
  }

  #basicInside(): Logical {
    if (this.#source[this.#at] === "!" && this.#source[this.#at + 1] !== "=") {
      this.#at += 1;
      this.#space();
      const isInParentheses = this.#source[this.#at] === "(";
      const of = this.#basic();
      if (!isInParentheses && of.kind !== "exists") this.#fail("! needs parentheses there");
      return { kind: "not", of };
    }
    if (this.#take("(")) {
      this.#space();
      const inner = this.#or();
      this.#space();
      if (!this.#take(")")) this.#fail(") was expected");
      return inner;
    }
    const left = this.#operand();
    this.#space();
    const op = this.#match(/==|!=|<=|>=|<|>/y);
    if (op === undefined) {
      if (left.kind !== "query") this.#fail("a comparison was expected");
      return { kind: "exists", query: (left as { query: Query }).query };
    }
    this.#space();
    const right = this.#operand();
    for (const operand of [left, right]) {
      if (operand.kind === "query" && !isSingular(operand.query)) {
        this.#fail("a comparison takes queries for one value only");
      }
    }
    return { kind: "compare", op, left, right };
  }

  #operand(): Operand {
    if (this.#take("@"))
      return { kind: "query", query: { isRelative: true, segments: this.#segments() } };
    if (this.#take("$")) {
      return { kind: "query", query: { isRelative: false, segments: this.#segments() } };
    }
    const value = this.#string();
    if (value !== undefined) return { kind: "literal", value };
    const number = this.#match(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y);
    if (number !== undefined) return { kind: "literal", value: Number(number) };
    const word = this.#match(/[a-z_][a-z_0-9]*/y);
    if (word === "true" || word === "false") return { kind: "literal", value: word === "true" };
    if (word === "null") return { kind: "literal", value: null };
    return this.#fail(
      word === undefined ? "a value was expected" : `functions are not supported: ${word}`,
    );
  }

  #integer(): number | undefined {
    const digits = this.#match(/0|-?[1-9]\d*/y);
    if (digits === undefined) return undefined;
    const value = Number(digits);
    return Number.isSafeInteger(value) ? value : this.#fail("a number that is too large");
  }

  #string(): string | undefined {
    const source = this.#match(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/y);
    if (source === undefined) return undefined;
    const inner = source.slice(1, -1);
    const json =
      source[0] === "'" ? inner.replace(/\\'|"/g, (one) => (one === '"' ? '\\"' : "'")) : inner;
    try {
      return JSON.parse(`"${json}"`) as string;
    } catch {
      return this.#fail("a string that cannot be read");
    }
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  /** @param regex sticky */
  #match(regex: RegExp): string | undefined {
    regex.lastIndex = this.#at;
    const found = regex.exec(this.#source)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #space(): void {
    this.#match(/[ \t\r\n]*/y);
  }

  #fail(problem: string): never {
    throw new SyntaxError(`${problem} (character ${this.#at + 1})`);
  }
}

const isSingular = ({ segments }: Query): boolean =>
  segments.every(
    ({ isDescendant, selectors: [first, ...others] }) =>
      !isDescendant && others.length === 0 && (first?.kind === "name" || first?.kind === "index"),
  );
