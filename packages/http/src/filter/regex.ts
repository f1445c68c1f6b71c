/**
 * Regular expressions of filters: somebody else wrote them, and every request of the pod is held against them.
 * So they run in RE2's linear time. Its syntax is that of Rust's `regex`; of what mirrord's engine has beside
 * that, look-aheads work where its documentation uses them: after `^` and characters without repetitions, as in
 * `^(?!/health)` and `^User-Agent: (?!kube-probe)`. That is the conjunction of expressions without look-ahead.
 */
import { RE2JS } from "re2js";

/** Characters of one expression. */
const MAX_SOURCE = 1024;
/** RE2's instructions: `(a{1,30}){1,30}` has 1800, and takes 14 ms for 64 KiB. */
const MAX_PROGRAM = 4000;

/** Why an expression cannot be used. */
export class RegexError extends Error {}

export interface Regex {
  test(text: string): boolean;
}

/** @throws RegexError */
export function compileRegex(source: string, ignoresCase: boolean): Regex {
  if (source.length > MAX_SOURCE) throw new RegexError(`longer than ${MAX_SOURCE} characters`);
  const flagged = /^\(\?i\)/.test(source);
  const body = flagged ? source.slice(4) : source;
  const flags = ignoresCase || flagged ? RE2JS.CASE_INSENSITIVE : 0;
  const ahead = lookAheads(body);
  if (ahead === undefined) return compile(body, flags);
  const { prefix, groups, rest } = ahead;
  const whole = compile(`^${prefix}${rest}`, flags);
  const conditions = groups.map(({ isNegative, inner }) => ({
    regex: compile(`^${prefix}(?:${inner})`, flags),
    expected: !isNegative,
  }));
  return {
    test: (text) =>
      whole.test(text) && conditions.every(({ regex, expected }) => regex.test(text) === expected),
  };
}

function compile(source: string, flags: number): Regex {
  try {
    const compiled = RE2JS.compile(source, flags);
    if (compiled.programSize() > MAX_PROGRAM) throw new RegexError("too large once compiled");
    return compiled;
  } catch (error) {
    if (error instanceof RegexError) throw error;
    if (/\(\?<?[=!]/.test(source)) {
      throw new RegexError(
        "(?!…) and (?=…) can only follow ^ and plain characters; none_of is another way",
      );
    }
    const why = error instanceof Error ? error.message : String(error);
    throw new RegexError(why.replace(/^error parsing regexp: /, ""));
  }
}

interface LookAheads {
  /** Its matches have one length: so there is one place where the groups look. */
  readonly prefix: string;
  readonly groups: readonly { readonly isNegative: boolean; readonly inner: string }[];
  readonly rest: string;
}

function lookAheads(source: string): LookAheads | undefined {
  if (!source.startsWith("^") || hasTopLevelAlternative(source)) return undefined;
  let at = 1;
  while (!/^\(\?[=!]/.test(source.slice(at, at + 3))) {
    const end = endOfAtom(source, at);
    if (end === undefined || isQuantifier(source, end)) return undefined;
    at = end;
  }
  const prefix = source.slice(1, at);
  const groups: { isNegative: boolean; inner: string }[] = [];
  while (/^\(\?[=!]/.test(source.slice(at, at + 3))) {
    const end = endOfGroup(source, at);
    if (end === undefined || isQuantifier(source, end)) return undefined;
    groups.push({ isNegative: source[at + 2] === "!", inner: source.slice(at + 3, end - 1) });
    at = end;
  }
  return { prefix, groups, rest: source.slice(at) };
}

export const isQuantifier = (source: string, at: number): boolean =>
  "*+?{".includes(source[at] ?? " ");

/** The end of the single character, escape or class at `at`; undefined: something else is there. */
function endOfAtom(source: string, at: number): number | undefined {
  const char = source[at];
  if (char === undefined || "()|*+?{}^$]".includes(char)) return undefined;
  if (char === "[") return endOfClass(source, at);
  if (char !== "\\") return at + 1;
  return /^[dDwWsS]|^[^A-Za-z0-9]/.test(source.slice(at + 1)) ? at + 2 : undefined;
}

function endOfClass(source: string, at: number): number | undefined {
  let end = at + 1;
  if (source[end] === "^") end += 1;
  if (source[end] === "]") end += 1;
  while (end < source.length && source[end] !== "]") {
    // [[:alpha:]]
    if (source[end] === "[") return undefined;
    end += source[end] === "\\" ? 2 : 1;
  }
  return end < source.length ? end + 1 : undefined;
}

function endOfGroup(source: string, at: number): number | undefined {
  let depth = 0;
  for (let i = at; i < source.length; i++) {
    const char = source[i];
    if (char === "\\") i += 1;
    else if (char === "[") {
      const end = endOfClass(source, i);
      if (end === undefined) return undefined;
      i = end - 1;
    } else if (char === "(") depth += 1;
    else if (char === ")") {
      depth -= 1;
      if (depth === 0) return i + 1;
    }
  }
  return undefined;
}

/** Also if it cannot tell. */
export function hasTopLevelAlternative(source: string): boolean {
  for (let at = 0; at < source.length; at++) {
    const char = source[at];
    if (char === "|") return true;
    if (char === "\\") at += 1;
    else if (char === "(" || char === "[") {
      const end = char === "(" ? endOfGroup(source, at) : endOfClass(source, at);
      if (end === undefined) return true;
      at = end - 1;
    }
  }
  return false;
}
