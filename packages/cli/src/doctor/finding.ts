/** What an examination has found. `-o json` prints these as they are: a change of shape is a change for scripts. */
import { UserError } from "@inpod/protocol";

/** In the order in which a session would meet them; the first with a problem gives the exit code. */
export const GROUPS = ["program", "machine", "cluster", "rights", "target", "agent"] as const;
export type Group = (typeof GROUPS)[number];

/**
 * `ok`: as it should be. `note`: something to know, nothing is wrong. `warning`: works with less than
 * all, or may not. `problem`: `inpod exec` fails, or does something else than it says.
 */
export type Level = "ok" | "note" | "warning" | "problem";

export interface Finding {
  /** Stable: "machine-pidfd-getfd". */
  readonly id: string;
  readonly group: Group;
  readonly level: Level;
  /** Lower case, no full stop. */
  readonly what: string;
  /** Why it matters; empty where `what` says it all. */
  readonly why: string;
  /** What to type or do, most likely first. */
  readonly hints: readonly string[];
}

type More = { readonly why?: string; readonly hints?: readonly string[] };

export interface Findings {
  ok(id: string, what: string): Finding;
  note(id: string, what: string, more?: More): Finding;
  warning(id: string, what: string, more?: More): Finding;
  problem(id: string, what: string, more?: More): Finding;
}

/** Makes the findings of one group. */
export function findingsOf(group: Group): Findings {
  const of =
    (level: Level) =>
    (id: string, what: string, { why = "", hints = [] }: More = {}): Finding => ({
      id: `${group}-${id}`,
      group,
      level,
      what,
      why,
      hints,
    });
  return { ok: of("ok"), note: of("note"), warning: of("warning"), problem: of("problem") };
}

/** An error of `inpod exec`, told before it happens. Its code becomes the id: POD_SECURITY is "agent-pod-security". */
export function findingOfError(group: Group, error: UserError): Finding {
  return findingsOf(group).problem(
    error.code.toLowerCase().replaceAll("_", "-").replace(`${group}-`, ""),
    error.message,
    { why: causeOf(error), hints: error.hints },
  );
}

/** The innermost cause says most: "fetch failed" says nothing, the one below it does. */
export function causeOf({ cause }: UserError): string {
  let next: unknown = cause;
  while (next instanceof Error && next.cause !== undefined && !(next instanceof UserError))
    next = next.cause;
  if (next === undefined || next === null) return "";
  return next instanceof Error ? next.message || next.name : String(next);
}
