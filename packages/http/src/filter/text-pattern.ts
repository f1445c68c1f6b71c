/** What a text must be: equal, begin so, or match a regular expression. */
import { compileRegex, hasTopLevelAlternative, isQuantifier } from "./regex.ts";

export interface TextPattern {
  readonly op: "exact" | "prefix" | "regex";
  readonly text: string;
  readonly ignoresCase: boolean;
}

export type TextTest = (text: string) => boolean;

/** @throws RegexError */
export function compileText({ op, text, ignoresCase }: TextPattern): TextTest {
  if (op === "regex") {
    const regex = compileRegex(text, ignoresCase);
    return (value) => regex.test(value);
  }
  if (!ignoresCase) {
    return op === "exact" ? (value) => value === text : (value) => value.startsWith(text);
  }
  const wanted = text.toLowerCase();
  return op === "exact"
    ? (value) => value.length === wanted.length && value.toLowerCase() === wanted
    : (value) => value.slice(0, wanted.length).toLowerCase() === wanted;
}

/** What a regular expression begins with, if it says nothing else there. */
export interface Literal {
  /** The characters after `^` that stand for themselves. */
  readonly text: string;
  /** What follows in the source: "" and "$" are nothing else. */
  readonly rest: string;
}

/** @returns undefined if `source` does not begin with `^`, or has alternatives */
export function anchoredLiteral(source: string): Literal | undefined {
  const body = source.replace(/^\(\?i\)/, "");
  if (!body.startsWith("^") || hasTopLevelAlternative(body)) return undefined;
  let text = "";
  let at = 1;
  while (at < body.length) {
    let char = body[at] as string;
    let end = at + 1;
    if (char === "\\") {
      char = body[end] ?? "a";
      end += 1;
      if (/[A-Za-z0-9]/.test(char)) break;
    } else if ("()[]{}|*+?^$.".includes(char)) break;
    if (isQuantifier(body, end)) break;
    text += char;
    at = end;
  }
  return { text, rest: body.slice(at) };
}

/** The same pattern without a regular expression, where it needs none: those are compared, and judged, easily. */
export function simplified(pattern: TextPattern): TextPattern {
  if (pattern.op !== "regex") return pattern;
  const literal = anchoredLiteral(pattern.text);
  if (literal === undefined || (literal.rest !== "" && literal.rest !== "$")) return pattern;
  const ignoresCase = pattern.ignoresCase || pattern.text.startsWith("(?i)");
  return { op: literal.rest === "$" ? "exact" : "prefix", text: literal.text, ignoresCase };
}

/** @returns the characters of an expression that is nothing but characters, anywhere in the text */
export function plainLiteral(source: string): string | undefined {
  const body = source.replace(/^\(\?i\)/, "");
  const literal = body.startsWith("^") ? undefined : anchoredLiteral(`^${body}`);
  return literal?.rest === "" ? literal.text : undefined;
}
