/** What is left of a session's processes, by the mark that all of them inherit (proc_pid_environ(5)). */
import { readdirSync, readFileSync } from "node:fs";
import { statOf } from "./proc.ts";

export interface TreeProcess {
  readonly pid: number;
  readonly name: string;
}

/** `near`: in our own terminal session; `daemons`: in one of their own (setsid(2)). Zombies count as ended. */
export function remainingProcesses(sessionId: string): {
  readonly near: readonly TreeProcess[];
  readonly daemons: readonly TreeProcess[];
} {
  const ours = statOf("self")?.session;
  const near: TreeProcess[] = [];
  const daemons: TreeProcess[] = [];
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid || !hasMark(entry, sessionId)) continue;
    const stat = statOf(entry);
    if (!stat || stat.state === "Z" || stat.state === "X") continue;
    (stat.session === ours ? near : daemons).push({ pid, name: stat.name });
  }
  return { near, daemons };
}

function hasMark(pid: string, sessionId: string): boolean {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, "latin1");
    return environment.split("\0").includes(`INPOD_SESSION=${sessionId}`);
  } catch {
    return false; // gone, or not ours
  }
}
