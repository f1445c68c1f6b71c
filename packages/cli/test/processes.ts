/** This machine's processes, as /proc has them. */
import { readdirSync, readFileSync } from "node:fs";

/** "": it has ended. */
function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}

/** As ps(1) shows it. "": it has ended; a zombie has, too. */
export const commandOf = (pid: number): string =>
  read(pid, "stat")
    .replace(/^.*\) /s, "")
    .startsWith("Z")
    ? ""
    : read(pid, "cmdline").split("\0").join(" ");

export const childrenOf = (pid: number): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((each) => Number(/\) \S (\d+)/.exec(read(each, "stat"))?.[1]) === pid);

export const descendants = (pid: number): number[] =>
  childrenOf(pid).flatMap((child) => [child, ...descendants(child)]);
