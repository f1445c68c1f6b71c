/** What the kernel tells of a process in /proc. */
import { readFileSync } from "node:fs";

/** proc_pid_stat(5) */
export interface ProcessStat {
  readonly name: string;
  /** "T": stopped (not by a debugger, that is "t"), "Z": zombie. */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** Its controlling terminal; 0: none. */
  readonly terminal: number;
}

/** Undefined: there is no such process, or it is not ours to see. The name stands in parentheses and may contain some. */
export function statOf(pid: number | "self" | string): ProcessStat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const end = stat.lastIndexOf(")");
    const [state = "", ...numbers] = stat.slice(end + 2).split(" ");
    const [parent = 0, group = 0, session = 0, terminal = 0] = numbers.map(Number);
    const name = stat.slice(stat.indexOf("(") + 1, end);
    return { name, state, parent, group, session, terminal };
  } catch {
    return undefined;
  }
}

/** Whether the signal does to the process what it does to one that has not said anything about it. */
export function hasDefaultAction(pid: number, signal: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    return !["SigBlk", "SigIgn", "SigCgt"].some((field) => {
      const mask = BigInt(
        `0x${new RegExp(`^${field}:\\s*([0-9a-f]+)`, "m").exec(status)?.[1] ?? 0}`,
      );
      return ((mask >> BigInt(signal - 1)) & 1n) === 1n;
    });
  } catch {
    return false;
  }
}

/**
 * Whether a shell is there that would continue who is stopped: somebody of our terminal's session above our process
 * group. Else the group is orphaned, as POSIX calls it, and nobody stops in it at the keyboard's word.
 */
export function hasShell(): boolean {
  const own = statOf("self");
  if (!own || own.terminal === 0) return false;
  for (let above = statOf(own.parent); above; above = statOf(above.parent)) {
    if (above.session !== own.session) return false;
    if (above.group !== own.group) return true;
  }
  return false;
}
