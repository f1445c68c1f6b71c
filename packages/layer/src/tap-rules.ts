/** Path rules as the tap's C evaluates them. What C cannot decide exactly, it asks. */
import type { TapPathRule } from "@inpod/tap";
import { PathOperation } from "@inpod/tap";
import type { PathOperation as OperationName, PathRule } from "./rules/paths.ts";

const OPERATIONS = {
  any: PathOperation.read | PathOperation.write | PathOperation.lookup,
  read: PathOperation.read | PathOperation.lookup,
  write: PathOperation.write,
  lookup: PathOperation.lookup,
} as const;

/** Before all others where paths are mapped: only the mapped path decides. */
export const ASK_ALWAYS: TapPathRule = {
  match: "ask",
  text: "",
  operations: OPERATIONS.any,
  verdict: "ask",
};

/**
 * One rule for one rule: their order decides. A regular expression asks for every path that reaches it; whatever
 * stands behind it is then decidePath()'s.
 */
export function toTapRule({ match, operations, verdict, isBinding }: PathRule): TapPathRule {
  const shared = {
    operations: OPERATIONS[operations],
    verdict: verdict === "local" || verdict === "not-found" ? verdict : "ask",
    isBinding,
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
      return { ...ASK_ALWAYS, operations: shared.operations, isBinding };
  }
}

/** ASCII only: other bytes are parts of UTF-8 sequences. C lowers the path alike. */
const lower = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());

export function operationName(operation: PathOperation): OperationName {
  if (operation === PathOperation.read) return "read";
  return operation === PathOperation.write ? "write" : "lookup";
}
