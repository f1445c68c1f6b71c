/** What a rule about paths is, and how a list of them decides: the reference for C, which does it for every path. */
import type { ByteString } from "@inpod/protocol";
import { MAX_PATH_LENGTH, type Match, matches } from "./match.ts";

/**
 * What the process is about to do. `lookup`: stat, access, readlink, chdir, an open with O_PATH. `read`: an open that
 * cannot change the file, also of a directory to list it. `write`: an open that can change the file (O_WRONLY, O_RDWR,
 * O_CREAT, O_TRUNC), and every call that changes a name.
 */
export type PathOperation = "lookup" | "read" | "write";

/** Which operations a rule is about. "read" includes look-ups. */
export type RuleOperations = "any" | "read" | "write" | "lookup";

/** "nsswitch": the developer's file with its `hosts:` line changed. */
export type PathVerdict = "local" | "remote" | "not-found" | "nsswitch";

export interface PathRule {
  readonly match: Match;
  readonly operations: RuleOperations;
  readonly verdict: PathVerdict;
  /** With "remote": on ENOENT or ENOTDIR take the developer's file, if there is one. */
  readonly fallback: boolean;
  /**
   * Of the user's not_found or local: decides also about a path that is named from a directory of the pod (its
   * descriptor, or as working directory). No other rule does: whatever else lies in it is the pod's.
   */
  readonly isBinding: boolean;
  /** Of the user's read_only: what is named from a directory of the pod is not written to either, in no mode. */
  readonly isGuarding: boolean;
  /** For --verbose: what it decides may surprise. Not that libraries are the developer's. */
  readonly isReported: boolean;
  /** For people, no full stop. */
  readonly why: string;
  /**
   * The key of the configuration that has decided, with the entry (`feature.fs.local[0]`); of a default, the key by which
   * it is changed. Undefined: no configuration changes it.
   */
  readonly key: string | undefined;
}

export interface PathDecision {
  readonly verdict: PathVerdict;
  readonly fallback: boolean;
  readonly why: string;
  /** As a rule's. */
  readonly key: string | undefined;
}

/**
 * @param path absolute and normalised, after `mapPath`
 * @param from no rule before it is about this path and operation: C has compared them
 */
export function decidePath(
  rules: readonly PathRule[],
  path: ByteString,
  operation: PathOperation,
  from = 0,
): PathDecision {
  if (path.length > MAX_PATH_LENGTH) {
    return {
      verdict: "local",
      fallback: false,
      why: "longer than PATH_MAX: the kernel refuses it",
      key: undefined,
    };
  }
  for (let i = from; i < rules.length; i++) {
    const rule = rules[i];
    if (rule && appliesTo(rule.operations, operation) && matches(rule.match, path)) {
      const { verdict, fallback, why, key } = rule;
      return { verdict, fallback, why, key };
    }
  }
  return { verdict: "local", fallback: false, why: "no rule is about it", key: undefined };
}

/** Of a path that is named from a directory of the pod, and stays below it. @param from as `decidePath` */
export function decideBelowPod(
  rules: readonly PathRule[],
  path: ByteString,
  operation: PathOperation,
  from = 0,
): PathDecision {
  const binding = rules.slice(from).filter(({ isBinding }) => isBinding);
  const found = binding.find(
    (rule) => appliesTo(rule.operations, operation) && matches(rule.match, path),
  );
  if (found === undefined)
    return { verdict: "remote", fallback: false, why: BELOW_POD, key: BELOW_POD_KEY };
  const { verdict, fallback, why, key } = found;
  return { verdict, fallback, why, key };
}

export const BELOW_POD = "it is named from a directory of the pod";
export const BELOW_POD_KEY = "feature.fs.local";

function appliesTo(operations: RuleOperations, operation: PathOperation): boolean {
  switch (operations) {
    case "any":
      return true;
    case "read":
      return operation !== "write";
    case "write":
      return operation === "write";
    case "lookup":
      return operation === "lookup";
  }
}
