/** inpod-up.yaml: found, its templates filled, and judged. Mistakes are told with file, line and column. */
import { readFileSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import { resolve } from "node:path";
import { UserError } from "@inpod/protocol";
import type * as z from "zod";
import { gitBranch } from "../config/git-branch.ts";
import { problemsOf } from "../config/problems.ts";
import { isFile } from "../config/read-file.ts";
import { parseConfig } from "../config/syntax.ts";
import { type UpFile, upFile } from "./schema.ts";

const NAMES = ["inpod-up.yaml", "inpod-up.yml", "mirrord-up.yaml", "mirrord-up.yml"];
/** Bytes. Nobody writes that by hand. */
const MAX_FILE = 1024 * 1024;

export interface ReadUp {
  readonly path: string;
  readonly file: UpFile;
  /** The sessions' name among others' (`{{ key }}`). */
  readonly key: string;
  /** `file:line:column` of something below `services`. */
  placeOf(path: readonly PropertyKey[]): string;
}

export interface Where {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  /** `-f`; undefined: the first of its usual names. */
  readonly path: string | undefined;
  readonly key: string | undefined;
}

/** @throws UserError CONFIG_* with every problem at once */
export function readUp({ directory, env, path: said, key: flag }: Where): ReadUp {
  const path = said ?? NAMES.find((name) => isFile(resolve(directory, name)));
  if (path === undefined) throw notFound();
  const parsed = parseConfig(/\.ya?ml$/i.test(path) ? path : `${path}.yaml`, read(directory, path));
  if (parsed.kind === "errors") throw invalid(path, parsed.errors);
  const key = flag || env.INPOD_KEY || env.MIRRORD_KEY || userKey();
  const { tree, problems } = parsed.fill(parsed.tree ?? {}, {
    env,
    key: () => key,
    gitBranch: () => gitBranch(directory),
  });
  if (problems.length > 0) throw invalid(path, problems);
  const placeOf = parsed.placeOf ?? (() => path);
  const checked = upFile.safeParse(tree);
  if (checked.success) return { path, file: checked.data, key, placeOf };
  const found = checked.error.issues.flatMap((issue) => told(issue, tree, placeOf));
  throw invalid(path, found.toSorted(byPlace));
}

/** As a reader comes to them. */
function byPlace(a: string, b: string): number {
  const [[line = 0, column = 0] = [], [otherLine = 0, otherColumn = 0] = []] = [a, b].map(
    (problem) => (/:(\d+):(\d+): /.exec(problem)?.slice(1) ?? []).map(Number),
  );
  return line - otherLine || column - otherColumn;
}

function told(
  issue: z.core.$ZodIssue,
  tree: unknown,
  placeOf: (path: readonly PropertyKey[]) => string,
): string[] {
  const paths =
    issue.code === "unrecognized_keys"
      ? issue.keys.map((name) => [...issue.path, name])
      : [issue.path];
  return problemsOf([issue], tree, { schema: upFile }).map(
    (problem, at) => `${placeOf(paths[at] ?? issue.path)}: ${problem}`,
  );
}

export const invalid = (path: string, problems: readonly string[]): UserError => {
  const [first = "", ...others] = problems;
  return new UserError(
    "CONFIG_INVALID",
    others.length === 0
      ? first
      : [`${problems.length} problems in ${path}`, ...problems.map((each) => `  - ${each}`)].join(
          "\n",
        ),
  );
};

/** As a label's value: what the cluster and templates take. */
function userKey(): string {
  let name = "";
  try {
    name = userInfo().username;
  } catch {
    // A container may run as an id that has no name.
  }
  return (
    name
      .replace(/[^A-Za-z0-9]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 63) || "user"
  );
}

function read(directory: string, path: string): string {
  try {
    const file = resolve(directory, path);
    if (statSync(file).size > MAX_FILE) throw new Error(`it is longer than ${MAX_FILE} bytes`);
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new UserError("CONFIG_NOT_FOUND", `cannot read ${path}`, {
      cause,
      hints: ["name the file: inpod up -f FILE; without -f it is inpod-up.yaml"],
    });
  }
}

const notFound = (): UserError =>
  new UserError("CONFIG_NOT_FOUND", `no ${NAMES[0]} here`, {
    hints: [
      `looked for ${NAMES.join(", ")}; name another: inpod up -f FILE`,
      "what it may say: docs/up.md",
    ],
  });
