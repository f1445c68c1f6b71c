/**
 * The part of jq that headers need. The program's input is one header, as the string `name: value`, with the
 * name in lower case; the header matches if one of the outputs is `true`. An error is no output.
 *
 * There are `.`, strings, numbers, `true`, `false`, `null`, `(…)`, `.[N]`, `|`, `,`, `==` `!=` `<` `<=` `>` `>=`,
 * `and`, `or`, `not`, `empty`, `length`, `tonumber`, `ascii_downcase`, `ascii_upcase`, and with arguments
 * `startswith`, `endswith`, `contains`, `ltrimstr`, `rtrimstr`, `split`, `test(RE)`, `test(RE; "i")`, `select`.
 * Expressions are those of the other filters, in linear time.
 */
import { compileRegex, type Regex, RegexError } from "./regex.ts";

type Value = string | number | boolean | null | readonly Value[];
type Program = (input: Value, budget: Budget) => Value[];

interface Budget {
  left: number;
}

const MAX_OUTPUTS = 1000;
const MAX_NESTING = 32;

/** An error of the program at run time: no output. */
const FAILED = new Error("jq");
const fail = (): never => {
  throw FAILED;
};

/** @throws SyntaxError, RegexError */
export function parseJq(source: string): (line: string) => boolean {
  const program = new Parser(source).whole();
  return (line) => {
    try {
      return program(line, { left: MAX_OUTPUTS }).includes(true);
    } catch (error) {
      if (error === FAILED) return false;
      throw error;
    }
  };
}

const string = (value: Value): string => (typeof value === "string" ? value : fail());
const isTrue = (value: Value): boolean => value !== null && value !== false;

const WITHOUT_ARGUMENT: Readonly<Record<string, (input: Value) => Value[]>> = {
  not: (input) => [!isTrue(input)],
  empty: () => [],
  true: () => [true],
  false: () => [false],
  null: () => [null],
  length: (input) => [
    typeof input === "string" ? [...input].length : Array.isArray(input) ? input.length : fail(),
  ],
  tonumber: (input) => [
    typeof input === "number" || /^-?\d+(\.\d+)?$/.test(string(input)) ? Number(input) : fail(),
  ],
  ascii_downcase: (input) => [string(input).replace(/[A-Z]+/g, (part) => part.toLowerCase())],
  ascii_upcase: (input) => [string(input).replace(/[a-z]+/g, (part) => part.toUpperCase())],
};

const WITH_ARGUMENT: Readonly<Record<string, (input: Value, argument: Value) => Value>> = {
  startswith: (input, start) => string(input).startsWith(string(start)),
  endswith: (input, end) => string(input).endsWith(string(end)),
  contains: (input, part) => string(input).includes(string(part)),
  ltrimstr: (input, start) =>
    typeof input === "string" && typeof start === "string" && input.startsWith(start)
      ? input.slice(start.length)
      : input,
  rtrimstr: (input, end) =>
    typeof input === "string" && typeof end === "string" && end !== "" && input.endsWith(end)
      ? input.slice(0, -end.length)
      : input,
  split: (input, separator) => (string(input) === "" ? [] : string(input).split(string(separator))),
};

class Parser {
  readonly #tokens: readonly { readonly text: string; readonly at: number }[];
  #next = 0;
  #nesting = 0;

  constructor(source: string) {
    const tokens: { text: string; at: number }[] = [];
    const token =
      /\s*(?:("(?:[^"\\]|\\.)*"|\.[A-Za-z_]\w*)|(-?\d+(?:\.\d+)?)|([a-z_][a-z_0-9]*)|(==|!=|<=|>=|[.|,()[\];<>])|(#[^\n]*))/y;
    const end = source.trimEnd().length;
    while (token.lastIndex < end) {
      const at = token.lastIndex;
      const found = token.exec(source);
      if (found === null) throw new SyntaxError(`not supported (character ${at + 1})`);
      if (found[5] === undefined) tokens.push({ text: found[0].trim(), at });
    }
    this.#tokens = tokens;
  }

  whole(): Program {
    const program = this.#pipe();
    if (this.#next < this.#tokens.length) this.#unexpected();
    return program;
  }

  #pipe(): Program {
    this.#nesting += 1;
    if (this.#nesting > MAX_NESTING) throw new SyntaxError("nested too deeply");
    const first = this.#comma();
    const rest = this.#take("|") ? this.#pipe() : undefined;
    this.#nesting -= 1;
    if (rest === undefined) return first;
    return (input, budget) =>
      first(input, budget).flatMap((value) => spend(rest(value, budget), budget));
  }

  #comma(): Program {
    const parts = [this.#or()];
    while (this.#take(",")) parts.push(this.#or());
    if (parts.length === 1) return parts[0] as Program;
    return (input, budget) => parts.flatMap((part) => spend(part(input, budget), budget));
  }

  #or(): Program {
    let left = this.#and();
    while (this.#take("or")) left = logical(left, this.#and(), true);
    return left;
  }

  #and(): Program {
    let left = this.#comparison();
    while (this.#take("and")) left = logical(left, this.#comparison(), false);
    return left;
  }

  #comparison(): Program {
    const left = this.#postfix();
    const op = ["==", "!=", "<=", ">=", "<", ">"].find((one) => this.#take(one));
    if (op === undefined) return left;
    const right = this.#postfix();
    // jq's order: the right side varies last.
    return (input, budget) =>
      right(input, budget).flatMap((b) =>
        spend(
          left(input, budget).map((a) => compare(op, a, b)),
          budget,
        ),
      );
  }

  #postfix(): Program {
    let program = this.#term();
    for (;;) {
      // A header is no object: that there is no such thing is found out when it runs, as by jq.
      if (/^\.\w/.test(this.#tokens[this.#next]?.text ?? "")) {
        this.#next += 1;
        program = noField(program);
        continue;
      }
      if (!this.#take("[")) return program;
      const index = this.#pop();
      if (!/^-?\d+$/.test(index)) this.#unexpected(-1);
      if (!this.#take("]")) this.#unexpected();
      const inner = program;
      program = (input, budget) =>
        inner(input, budget).map((value) =>
          Array.isArray(value) ? (value.at(Number(index)) ?? null) : value === null ? null : fail(),
        );
    }
  }

  #term(): Program {
    const text = this.#pop();
    if (text === ".") return (input) => [input];
    if (/^\.\w/.test(text)) return noField((input) => [input]);
    if (text === "(") {
      const inner = this.#pipe();
      if (!this.#take(")")) this.#unexpected();
      return inner;
    }
    if (text.startsWith('"')) {
      const value = literal(text);
      return () => [value];
    }
    if (/^-?\d/.test(text)) return () => [Number(text)];
    if (Object.hasOwn(WITHOUT_ARGUMENT, text)) {
      const call = WITHOUT_ARGUMENT[text] as (input: Value) => Value[];
      return (input) => call(input);
    }
    if (text === "test") return this.#test();
    if (text === "select") {
      const condition = this.#argument();
      return (input, budget) =>
        condition(input, budget).flatMap((value) => (isTrue(value) ? [input] : []));
    }
    if (!Object.hasOwn(WITH_ARGUMENT, text)) this.#unexpected(-1);
    const call = WITH_ARGUMENT[text] as (input: Value, argument: Value) => Value;
    const argument = this.#argument();
    return (input, budget) => argument(input, budget).map((value) => call(input, value));
  }

  #argument(): Program {
    if (!this.#take("(")) this.#unexpected();
    const inner = this.#pipe();
    if (!this.#take(")")) this.#unexpected();
    return inner;
  }

  /** Its arguments are literals: they are compiled once. */
  #test(): Program {
    if (!this.#take("(")) this.#unexpected();
    const source = this.#pop();
    const flags = this.#take(";") ? this.#pop() : '""';
    if (!this.#take(")")) this.#unexpected();
    if (!source.startsWith('"') || !/^("i?"|null)$/.test(flags)) {
      throw new SyntaxError('test takes a string, and "i"');
    }
    let regex: Regex;
    try {
      regex = compileRegex(literal(source), flags === '"i"');
    } catch (error) {
      if (error instanceof RegexError) throw new SyntaxError(`test: ${error.message}`);
      throw error;
    }
    return (input) => [regex.test(string(input))];
  }

  #pop(): string {
    const token = this.#tokens[this.#next];
    if (token === undefined) throw new SyntaxError("something is missing at the end");
    this.#next += 1;
    return token.text;
  }

  #take(text: string): boolean {
    if (this.#tokens[this.#next]?.text !== text) return false;
    this.#next += 1;
    return true;
  }

  #unexpected(back = 0): never {
    const token = this.#tokens[this.#next + back];
    if (token === undefined) throw new SyntaxError("something is missing at the end");
    throw new SyntaxError(`${token.text} is not supported there (character ${token.at + 1})`);
  }
}

function literal(source: string): string {
  if (/\\\(/.test(source)) throw new SyntaxError("\\(…) in a string is not supported");
  try {
    return JSON.parse(source) as string;
  } catch {
    throw new SyntaxError("a string that cannot be read");
  }
}

function spend(values: Value[], budget: Budget): Value[] {
  budget.left -= values.length;
  return budget.left < 0 ? fail() : values;
}

/** @param decides the value of `left` that makes `right` needless */
const logical =
  (left: Program, right: Program, decides: boolean): Program =>
  (input, budget) =>
    left(input, budget).flatMap((a) =>
      isTrue(a) === decides ? [decides] : spend(right(input, budget).map(isTrue), budget),
    );

function compare(op: string, left: Value, right: Value): boolean {
  const order = ordered(left, right);
  switch (op) {
    case "==":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    default:
      return order >= 0;
  }
}

const noField =
  (of: Program): Program =>
  (input, budget) =>
    of(input, budget).map((value) => (value === null ? null : fail()));

const rank = (value: Value): number =>
  value === null
    ? 0
    : typeof value === "boolean"
      ? value
        ? 2
        : 1
      : typeof value === "number"
        ? 3
        : typeof value === "string"
          ? 4
          : 5;

function ordered(left: Value, right: Value): number {
  if (rank(left) !== rank(right)) return rank(left) - rank(right);
  if (Array.isArray(left) && Array.isArray(right)) {
    for (let i = 0; i < Math.min(left.length, right.length); i++) {
      const order = ordered(left[i] as Value, right[i] as Value);
      if (order !== 0) return order;
    }
    return left.length - right.length;
  }
  if (left === right) return 0;
  return (left as string) < (right as string) ? -1 : 1;
}
