/** The branch that is checked out, read without git. */
import { readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Rendered } from "./template-values.ts";

/** Bytes of .git (of a worktree) and HEAD: one line. */
const MAX_LINE = 8 * 1024;

/** @param directory where to begin; its parents are looked at too, as git does */
export function gitBranch(directory: string): Rendered {
  for (let at = resolve(directory); ; at = dirname(at)) {
    const head = headOf(at);
    if (head !== undefined) return branchOf(head);
    if (dirname(at) === at) return none(`no git repository at or above ${directory}`);
  }
}

function headOf(folder: string): string | undefined {
  const path = join(folder, ".git");
  // In a worktree or submodule a file says where the folder is.
  const pointer = lineOf(path);
  const git = pointer === undefined ? path : /^gitdir: (.+)$/.exec(pointer)?.[1];
  return git === undefined ? undefined : lineOf(join(resolve(folder, git), "HEAD"));
}

function branchOf(head: string): Rendered {
  const name = /^ref: refs\/heads\/(.+)$/.exec(head)?.[1];
  // ".invalid": the repository keeps its references elsewhere (git's reftable).
  if (name === undefined || name === ".invalid")
    return none("no git branch is checked out here (a commit is, or a new kind of repository)");
  return { kind: "value", text: name };
}

/** Undefined: no such file, or none that git has written. */
function lineOf(path: string): string | undefined {
  try {
    if (statSync(path).size > MAX_LINE) return undefined;
    return readFileSync(path, "utf8").split("\n")[0]?.trimEnd();
  } catch {
    return undefined;
  }
}

const none = (why: string): Rendered => ({ kind: "none", why });
