/**
 * How two filters on one port go together. It says only what it can prove, of requests that carry each header
 * once:
 *
 * - `same`, `covered`: whatever one of them takes (or one alternative of it), the other takes, too: one of the
 *   two developers would wait for requests that never come. A conflict.
 * - `disjoint`: no request is for both.
 * - `open`: some may be, as with a header here and a path there; who was first gets those.
 */
import type { FilterSpec } from "./spec.ts";
import { compileText, type TextPattern } from "./text-pattern.ts";

export type Relation =
  | { readonly kind: "same" | "disjoint" | "open" }
  /** `what` of the two is inside the other. */
  | { readonly kind: "covered"; readonly what: "first" | "second" | "a part of both" };

type Condition = Exclude<FilterSpec, { readonly of: unknown }>;

/** A condition, or that it does not hold. */
interface Literal {
  readonly condition: Condition;
  readonly holds: boolean;
}

/** Literals that all hold. */
type Term = readonly Literal[];

/** More alternatives are not compared: then all is open. */
const MAX_TERMS = 64;

export function relate(first: FilterSpec, second: FilterSpec): Relation {
  if (canonical(first) === canonical(second)) return { kind: "same" };
  const a = terms(first, true);
  const b = terms(second, true);
  if (a === undefined || b === undefined) return { kind: "open" };
  const isInside = (one: readonly Term[], other: readonly Term[]): boolean =>
    one.every((term) => other.some((wider) => implies(term, wider)));
  const firstInside = isInside(a, b);
  const secondInside = isInside(b, a);
  if (firstInside && secondInside) return { kind: "same" };
  if (firstInside) return { kind: "covered", what: "first" };
  if (secondInside) return { kind: "covered", what: "second" };
  if (a.some((x) => b.some((y) => implies(x, y) || implies(y, x)))) {
    return { kind: "covered", what: "a part of both" };
  }
  return { kind: a.every((x) => b.every((y) => exclude(x, y))) ? "disjoint" : "open" };
}

export const isConflict = ({ kind }: Relation): boolean => kind === "same" || kind === "covered";

/** The same text for filters that differ only in the order of their parts. */
function canonical(spec: FilterSpec): string {
  if (!("of" in spec)) return conditionKey(spec);
  const parts = [...new Set(spec.of.map(canonical))].sort();
  return parts.length === 1 && spec.kind !== "none"
    ? (parts[0] as string)
    : `${spec.kind}(${parts.join(",")})`;
}

function conditionKey(condition: Condition): string {
  if (!("value" in condition)) return JSON.stringify(condition, Object.keys(condition).sort());
  const { op, text, ignoresCase } = condition.value;
  const ignores = ignoresCase || text.toLowerCase() === text.toUpperCase();
  const wanted = ignores && op !== "regex" ? text.toLowerCase() : text;
  return JSON.stringify([fieldOf(condition), op, wanted, ignores]);
}

/** What a condition is about; undefined: something that cannot be compared. */
function fieldOf(condition: Condition): string | undefined {
  switch (condition.kind) {
    case "header":
      return `header ${condition.name}`;
    case "path":
    case "method":
      return condition.kind;
    case "body":
      return `body ${condition.query}`;
    default:
      return undefined;
  }
}

/** The alternatives of a filter (its disjunctive normal form); undefined: too many. */
function terms(spec: FilterSpec, holds: boolean): Term[] | undefined {
  if (!("of" in spec)) return [[{ condition: spec, holds }]];
  const isNone = spec.kind === "none";
  const inner = isNone ? !holds : holds;
  const parts = spec.of.map((part) => terms(part, inner));
  // none of = all of the contraries; and De Morgan.
  const isConjunction = (spec.kind === "all") === inner;
  let all: Term[] = isConjunction ? [[]] : [];
  for (const part of parts) {
    if (part === undefined) return undefined;
    all = isConjunction ? all.flatMap((x) => part.map((y) => [...x, ...y])) : [...all, ...part];
    if (all.length > MAX_TERMS) return undefined;
  }
  return all.filter((term) => !term.some((x, i) => term.slice(i).some((y) => contradict(x, y))));
}

/** Every request of `narrow` is one of `wide`. */
const implies = (narrow: Term, wide: Term): boolean =>
  wide.every((wanted) => narrow.some((given) => literalImplies(given, wanted)));

const exclude = (a: Term, b: Term): boolean => a.some((x) => b.some((y) => contradict(x, y)));

function literalImplies(given: Literal, wanted: Literal): boolean {
  if (given.holds && wanted.holds) return conditionImplies(given.condition, wanted.condition);
  if (!given.holds && !wanted.holds) return conditionImplies(wanted.condition, given.condition);
  return given.holds && conditionsExclude(given.condition, wanted.condition);
}

function contradict(a: Literal, b: Literal): boolean {
  if (a.holds && b.holds) return conditionsExclude(a.condition, b.condition);
  if (a.holds) return conditionImplies(a.condition, b.condition);
  return b.holds && conditionImplies(b.condition, a.condition);
}

function conditionImplies(given: Condition, wanted: Condition): boolean {
  if (conditionKey(given) === conditionKey(wanted)) return true;
  if (!("value" in given)) return false;
  if (wanted.kind === "header-line" && given.kind === "header" && given.value.op === "exact") {
    if (!isOneText(given.value)) return false;
    const line = `${given.name}: ${given.value.text}`;
    return compileText({ op: "regex", text: wanted.regex, ignoresCase: true })(line);
  }
  if (!("value" in wanted) || fieldOf(given) !== fieldOf(wanted)) return false;
  return textImplies(given.value, wanted.value);
}

/** It is one text, or the other side does not look at the case either. */
const isOneText = ({ text, ignoresCase }: TextPattern): boolean =>
  !ignoresCase || text.toLowerCase() === text.toUpperCase() || /^[ -~]*$/.test(text);

function textImplies(given: TextPattern, wanted: TextPattern): boolean {
  if (wanted.op === "prefix" && wanted.text === "") return true;
  if (given.op === "regex") return false;
  const foldsMore = given.ignoresCase && !wanted.ignoresCase && hasCase(given.text);
  if (foldsMore) return false;
  if (given.op === "exact") return compileText(wanted)(given.text);
  return wanted.op === "prefix" && compileText(wanted)(given.text);
}

const hasCase = (text: string): boolean => text.toLowerCase() !== text.toUpperCase();

/** No request satisfies both. */
function conditionsExclude(a: Condition, b: Condition): boolean {
  if (!("value" in a) || !("value" in b) || fieldOf(a) !== fieldOf(b)) return false;
  // A query can find many values; a path is looked at with and without its query.
  if (a.kind === "body") return false;
  const [x, y] = [fold(a.value, b.value), fold(b.value, a.value)];
  if (a.kind === "path" && (x.text.includes("?") || y.text.includes("?"))) return false;
  if (x.op === "regex" || y.op === "regex") {
    const [exact, regex] = x.op === "exact" ? [a.value, b.value] : [b.value, a.value];
    if (exact.op !== "exact" || (exact.ignoresCase && !regex.ignoresCase)) return false;
    // With its query the path can match what the path alone does not.
    return a.kind !== "path" && isOneText(exact) && !compileText(regex)(exact.text);
  }
  if (x.op === "exact" && y.op === "exact") return x.text !== y.text;
  if (x.op === "exact") return !x.text.startsWith(y.text);
  if (y.op === "exact") return !y.text.startsWith(x.text);
  return !x.text.startsWith(y.text) && !y.text.startsWith(x.text);
}

/** In lower case if one of the two does not look at it. */
const fold = (one: TextPattern, other: TextPattern): TextPattern =>
  one.ignoresCase || other.ignoresCase ? { ...one, text: one.text.toLowerCase() } : one;
