/**
 * How the processes of a tree are known, whoever becomes their parent. Two marks, both inherited: a variable in the
 * environment, which a program can clear or overwrite (nginx and PostgreSQL do, to show a title), and a resource limit
 * that the kernel has not used since Linux 2.6: how many locks a process may have (RLIMIT_LOCKS, getrlimit(2)).
 */
import { readFileSync } from "node:fs";

/** Of FNV-1a, with 64 bits. */
const OFFSET = 14695981039346656037n;
const PRIME = 1099511628211n;

/**
 * The limit by which the tree with the mark "NAME=value" is known; ../native/keeper/mark.c has the same. So large that
 * nobody who looks at it is limited by it.
 */
export function markLimit(mark: string): bigint {
  let hash = OFFSET;
  for (const byte of Buffer.from(mark, "latin1")) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * PRIME);
  }
  return (hash >> 2n) | (1n << 61n);
}

/** Whether the process belongs to that tree. One that is not ours to see does not. */
export function hasMark(pid: number | string, mark: string): boolean {
  return hasLimit(pid, markLimit(mark)) || hasVariable(pid, mark);
}

/** proc_pid_limits(5): soft, then hard. */
function hasLimit(pid: number | string, limit: bigint): boolean {
  try {
    const limits = readFileSync(`/proc/${pid}/limits`, "latin1");
    return /^Max file locks +(\d+) /m.exec(limits)?.[1] === String(limit);
  } catch {
    return false;
  }
}

function hasVariable(pid: number | string, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(mark);
  } catch {
    return false;
  }
}
