/**
 * Regular expressions from a configuration file. They were written for a Rust engine
 * (mirrord's) or by somebody else's hand, and they run on the JS thread while a process
 * waits: what JavaScript would silently read as something else is refused, and so is what
 * can take exponential time.
 *
 * The rule against exponential time: a repeated group (`(…)*`, `(…)+`, `(…){n,m}`) contains
 * neither a repetition nor an alternation. `(a+)+`, `(a|a)*` and `(a?a?)*` all break it, and
 * without it backtracking is polynomial in the length of the text, of a degree that
 * MAX_REPETITIONS bounds; callers bound the text.
 */
import { ConfigValueError } from "./config-value-error.ts";

/** Characters of one expression. The longest useful one seen is below 200. */
const MAX_SOURCE_LENGTH = 1024;

/** Quantifiers in one expression: each adds a degree to the worst case. */
const MAX_REPETITIONS = 8;

/** Escaped letters that mean the same in JavaScript and in Rust. `\x` and `\u` only with digits. */
const LETTER_ESCAPE = /^\\(?:[dDwWsSbBfnrtv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})/;

const QUANTIFIER = /^(?:[*+?]|\{\d+(?:,\d*)?\})[?]?/;

interface Group {
  readonly at: number;
  hasRepetition: boolean;
  hasAlternation: boolean;
}

/**
 * @param source as the user wrote it. A leading `(?i)` is accepted when `ignoreCase` says the same.
 * @param key    for the error: `feature.fs.local[2]`
 * @returns an expression without the g and y flags (so it has no state), in which `.` matches
 *   every character: file names may contain newlines.
 * @throws ConfigValueError with the key and the position (in characters, from 1)
 */
export function compileUserRegex(
  source: string,
  key: string,
  options: { readonly ignoreCase: boolean },
): RegExp {
  const inlineFlag = options.ignoreCase && source.startsWith("(?i)") ? 4 : 0;
  const body = source.slice(inlineFlag);
  const fail = (at: number, problem: string): never => {
    const position = at + inlineFlag + 1;
    throw new ConfigValueError(
      key,
      `${JSON.stringify(source)} cannot be used: ${problem} (character ${position})`,
    );
  };
  if (source.length > MAX_SOURCE_LENGTH) {
    throw new ConfigValueError(key, `longer than ${MAX_SOURCE_LENGTH} characters`);
  }
  checkSyntax(body, fail);
  try {
    return new RegExp(body, options.ignoreCase ? "is" : "s");
  } catch (error) {
    const [, reason = "not a regular expression"] =
      /: ([^:]*)$/.exec(error instanceof Error ? error.message : "") ?? [];
    return fail(0, reason.toLowerCase());
  }
}

function checkSyntax(source: string, fail: (at: number, problem: string) => never): void {
  const open: Group[] = [];
  let enclosing: Group = { at: -1, hasRepetition: false, hasAlternation: false };
  let repetitions = 0;
  let at = 0;
  while (at < source.length) {
    let closed: Group | undefined;
    const char = source.charAt(at);
    if (char === "\\") at += escapeLength(source, at, fail);
    else if (char === "[") at = endOfClass(source, at, fail);
    else if (char === "(") {
      open.push(enclosing);
      enclosing = { at, hasRepetition: false, hasAlternation: false };
      at += groupStart(source, at, fail);
      continue;
    } else if (char === ")") {
      const outer = open.pop();
      if (outer === undefined) {
        fail(at, "this ) closes nothing");
        return;
      }
      closed = enclosing;
      enclosing = outer;
      enclosing.hasRepetition ||= closed.hasRepetition;
      enclosing.hasAlternation ||= closed.hasAlternation;
      at += 1;
    } else {
      // A quantifier is taken together with what it repeats, below: alone it repeats nothing.
      if (QUANTIFIER.test(source.slice(at))) fail(at, "nothing to repeat");
      if (char === "|") enclosing.hasAlternation = true;
      at += 1;
    }
    const quantifier = QUANTIFIER.exec(source.slice(at))?.[0];
    if (quantifier === undefined) continue;
    if (/[|^$]/.test(char)) fail(at, "nothing to repeat");
    repetitions += 1;
    if (repetitions > MAX_REPETITIONS) {
      fail(at, `more than ${MAX_REPETITIONS} repetitions; write several expressions`);
    }
    // An optional group is entered at most once: what it contains cannot multiply.
    const isOptional = quantifier.startsWith("?");
    if (closed !== undefined && !isOptional) {
      if (closed.hasRepetition || closed.hasAlternation) {
        fail(
          closed.at,
          "a repeated group must contain neither a repetition nor an alternation, because that can take exponential time; write several expressions",
        );
      }
    }
    enclosing.hasRepetition = true;
    at += quantifier.length;
  }
  if (open.length > 0) fail(enclosing.at, "this ( is never closed");
}

function escapeLength(
  source: string,
  at: number,
  fail: (at: number, problem: string) => never,
): number {
  const escaped = source.charAt(at + 1);
  if (escaped === "") return fail(at, "a backslash at the end escapes nothing");
  const letter = LETTER_ESCAPE.exec(source.slice(at, at + 6));
  if (letter !== null) return letter[0].length;
  // JavaScript would take \A, \z, \h and \p for plain letters; a back reference is quadratic by itself.
  if (/[A-Za-z0-9]/.test(escaped)) return fail(at, `\\${escaped} is not supported`);
  return 2;
}

function endOfClass(
  source: string,
  at: number,
  fail: (at: number, problem: string) => never,
): number {
  let end = at + 1;
  if (source.charAt(end) === "^") end += 1;
  // `[]]` is a class of one bracket in Rust, an empty class and a bracket in JavaScript.
  if (source.charAt(end) === "]") return fail(at, "an empty class; write \\] for the bracket");
  while (end < source.length) {
    const char = source.charAt(end);
    if (char === "]") return end + 1;
    if (char === "[" || source.startsWith("&&", end)) {
      return fail(end, "classes inside classes are not supported; write \\[ for the bracket");
    }
    end += char === "\\" ? escapeLength(source, end, fail) : 1;
  }
  return fail(at, "this [ is never closed");
}

/** Characters of the group's opening at `at`. */
function groupStart(
  source: string,
  at: number,
  fail: (at: number, problem: string) => never,
): number {
  if (source.charAt(at + 1) !== "?") return 1;
  const opening = /^\(\?(?::|=|!|<=|<!|<[A-Za-z_]\w*>)/.exec(source.slice(at));
  if (opening !== null) return opening[0].length;
  return fail(at, "this group is not supported; there are (…), (?:…), (?<name>…), (?=…), (?!…)");
}
