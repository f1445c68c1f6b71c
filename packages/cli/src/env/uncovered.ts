/**
 * Programs that were started with a session's variables and are not in it: the loader of a static one, or of one with
 * more rights than its user, preloads nothing. They would run on this machine unnoticed.
 */
import { readFileSync } from "node:fs";
import { statOf } from "../exec/proc.ts";
import { markedProcesses } from "../exec/tree.ts";

/** A program that begins is not in the session for some milliseconds. */
const LOOK_MS = 1000;

/** @param tell once for each program's name */
export function watchUncovered(
  sessionId: string,
  tell: (pid: number, name: string) => void,
): () => void {
  const told = new Set<string>();
  let before = new Set<string>();
  const look = (): void => {
    const now = uncovered(sessionId);
    for (const [key, { pid, name }] of now) {
      if (!before.has(key) || told.has(name)) continue;
      told.add(name);
      tell(pid, name);
    }
    before = new Set(now.keys());
  };
  const timer = setInterval(look, LOOK_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function uncovered(
  sessionId: string,
): Map<string, { readonly pid: number; readonly name: string }> {
  const found = new Map<string, { pid: number; name: string }>();
  const own = filtersOf("self");
  for (const pid of markedProcesses(sessionId)) {
    const stat = statOf(pid);
    // One that a debugger holds, or that is stopped, may not have begun.
    if (!stat || "ZXtT".includes(stat.state) || filtersOf(pid) > own) continue;
    found.set(`${pid} ${stat.name}`, { pid, name: stat.name });
  }
  return found;
}

/** proc_pid_status(5): how many filters of seccomp(2) it has. All of ours have one more than we. */
function filtersOf(pid: number | "self"): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    return Number(/^Seccomp_filters:\s*(\d+)/m.exec(status)?.[1] ?? 0);
  } catch {
    return Number.POSITIVE_INFINITY; // gone
  }
}
