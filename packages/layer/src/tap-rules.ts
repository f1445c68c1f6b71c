/** Path rules as the tap's C evaluates them. What C cannot decide exactly, it asks. */
import type { TapPathRule } from "@inpod/tap";
import { PathOperation } from "@inpod/tap";
import { compileAutomaton } from "./rules/automaton.ts";
import type { PathMapping } from "./rules/path-mapping.ts";
import type { PathOperation as OperationName, PathRule } from "./rules/paths.ts";

const OPERATIONS = {
  any: PathOperation.read | PathOperation.write | PathOperation.lookup,
  read: PathOperation.read | PathOperation.lookup,
  write: PathOperation.write,
  lookup: PathOperation.lookup,
} as const;

/**
 * What the tap is told: first what asks for every path that is mapped, because another path is decided about then, and
 * the rules behind.
 */
export const toTapRules = (
  mapping: readonly PathMapping[],
  rules: readonly PathRule[],
): readonly TapPathRule[] => [
  ...mapping.map(({ regex }) => expression(regex, { operations: OPERATIONS.any, verdict: "ask" })),
  ...rules.map(toTapRule),
];

/** Where `decidePath` may begin: at the rule by which the tap asked, or at the first one, when that was a mapping. */
export const ruleAsked = (mapping: readonly PathMapping[], asked: number): number =>
  Math.max(0, asked - mapping.length);

type Rest = Omit<TapPathRule, "match" | "text" | "table">;

function expression({ source }: RegExp, rest: Rest): TapPathRule {
  const table = compileAutomaton(source);
  return table === undefined
    ? { ...rest, match: "ask", text: "", verdict: "ask" }
    : { ...rest, match: "automaton", text: "", table };
}

/**
 * One rule for one rule: their order decides. Where C cannot tell whether one matches it asks; whatever stands behind
 * it is then decidePath()'s.
 */
export function toTapRule(rule: PathRule): TapPathRule {
  const { match, operations, verdict, fallback, isBinding, isGuarding, isReported } = rule;
  const shared = {
    operations: OPERATIONS[operations],
    verdict: verdict === "nsswitch" ? "ask" : verdict,
    fallback,
    isBinding,
    isGuarding,
    isReported,
  } as const;
  switch (match.kind) {
    case "exact":
    case "tree":
      return { match: match.kind, text: lower(match.path), ...shared };
    case "prefix":
    case "suffix":
    case "contains":
      return { match: match.kind, text: lower(match.text), ...shared };
    case "shared-object":
      return { match: match.kind, text: "", ...shared };
    case "regex":
      return expression(match.regex, shared);
  }
}

/** ASCII only: other bytes are parts of UTF-8 sequences. C lowers the path alike. */
const lower = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());

export function operationName(operation: PathOperation): OperationName {
  if (operation === PathOperation.read) return "read";
  return operation === PathOperation.write ? "write" : "lookup";
}
