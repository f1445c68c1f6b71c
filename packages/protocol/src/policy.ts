/**
 * What the owners of a target allow: the annotation `inpod.dev/policy` of a pod, its workload or its namespace.
 * It goes to the agent as well, which obeys it whatever the session asks. Pure.
 */
import { matchesWildcard } from "./wildcard.ts";

export interface Policy {
  /** `filtered`: only requests that a filter matches, never a whole port. */
  readonly steal: "allowed" | "filtered" | "forbidden";
  /** Copies of what its clients send; nothing of the target changes by them. */
  readonly mirror: "allowed" | "forbidden";
  readonly files: "writable" | "read-only";
  /** Names of variables that nobody is given, with the wildcards `*` and `?`. */
  readonly hiddenVariables: readonly string[];
}

export const ALLOWS_ALL: Policy = {
  steal: "allowed",
  mirror: "allowed",
  files: "writable",
  hiddenVariables: [],
};

const STATEMENTS = [
  "no-steal",
  "steal-with-filter-only",
  "no-mirror",
  "read-only-files",
  "deny-env",
] as const;
/** What an environment variable's name may be, and wildcards. */
const NAME = /^[A-Za-z0-9_.\-*?]{1,256}$/;
/** Chars: more than an annotation needs, less than its limit of 256 KiB. */
const MAX_POLICY = 16 * 1024;

/**
 * Statements with ";" or line feeds between them: `no-steal; read-only-files; deny-env=DB_*,API_TOKEN`.
 *
 * @throws Error for what is not understood: a rule that is passed over would be broken
 */
export function parsePolicy(text: string): Policy {
  if (text.length > MAX_POLICY) throw new Error("it is too long");
  return text
    .split(/[;\n]/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "")
    .map(parseStatement)
    .reduce(stricter, ALLOWS_ALL);
}

function parseStatement(statement: string): Policy {
  const [name = "", value, ...more] = statement.split("=").map((part) => part.trim());
  const hasValue = value !== undefined;
  if (more.length > 0 || hasValue !== (name === "deny-env")) throw unknown(statement);
  switch (name) {
    case "no-steal":
      return { ...ALLOWS_ALL, steal: "forbidden" };
    case "steal-with-filter-only":
      return { ...ALLOWS_ALL, steal: "filtered" };
    case "no-mirror":
      return { ...ALLOWS_ALL, mirror: "forbidden" };
    case "read-only-files":
      return { ...ALLOWS_ALL, files: "read-only" };
    case "deny-env": {
      const names = (value ?? "").split(/[\s,]+/).filter((each) => each !== "");
      if (names.length === 0 || !names.every((each) => NAME.test(each))) throw unknown(statement);
      return { ...ALLOWS_ALL, hiddenVariables: names };
    }
    default:
      throw unknown(statement);
  }
}

const unknown = (statement: string): Error =>
  new Error(`"${statement.slice(0, 80)}" is none of ${STATEMENTS.join(", ")}=NAME,…`);

const STEAL = ["allowed", "filtered", "forbidden"] as const;

/** What both allow. */
export const stricter = (one: Policy, other: Policy): Policy => ({
  steal: STEAL[Math.max(STEAL.indexOf(one.steal), STEAL.indexOf(other.steal))] ?? "forbidden",
  mirror: one.mirror === "forbidden" ? one.mirror : other.mirror,
  files: one.files === "read-only" ? one.files : other.files,
  hiddenVariables: [...new Set([...one.hiddenVariables, ...other.hiddenVariables])],
});

/** As parsePolicy() reads it; empty when all is allowed. */
export const renderPolicy = ({ steal, mirror, files, hiddenVariables }: Policy): string =>
  [
    ...(steal === "forbidden" ? ["no-steal"] : []),
    ...(steal === "filtered" ? ["steal-with-filter-only"] : []),
    ...(mirror === "forbidden" ? ["no-mirror"] : []),
    ...(files === "read-only" ? ["read-only-files"] : []),
    ...(hiddenVariables.length > 0 ? [`deny-env=${hiddenVariables.join(",")}`] : []),
  ].join(";");

/** Judges names by wildcards; names of variables are case-sensitive. */
export const hides = ({ hiddenVariables }: Policy, name: string): boolean =>
  hiddenVariables.some((pattern) => matchesWildcard(pattern, name));
