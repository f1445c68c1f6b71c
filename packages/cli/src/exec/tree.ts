/** What is left of a session's processes, by the mark that all of them inherit. */
import { readdirSync } from "node:fs";
import { hasMark } from "@inpod/layer";
import { statOf } from "./proc.ts";

export interface TreeProcess {
  readonly pid: number;
  readonly name: string;
}

/** Process ids of all that have it but ourselves. */
export function* markedProcesses(sessionId: string): Iterable<number> {
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if (hasMark(entry, `INPOD_SESSION=${sessionId}`)) yield pid;
  }
}

/** `near`: in our own terminal session; `daemons`: in one of their own (setsid(2)). Zombies count as ended. */
export function remainingProcesses(sessionId: string): {
  readonly near: readonly TreeProcess[];
  readonly daemons: readonly TreeProcess[];
} {
  const ours = statOf("self")?.session;
  const near: TreeProcess[] = [];
  const daemons: TreeProcess[] = [];
  for (const pid of markedProcesses(sessionId)) {
    const stat = statOf(pid);
    if (!stat || stat.state === "Z" || stat.state === "X") continue;
    (stat.session === ours ? near : daemons).push({ pid, name: stat.name });
  }
  return { near, daemons };
}

export function signalProcesses(processes: readonly TreeProcess[], signal: NodeJS.Signals): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, signal);
      // A stopped process cannot end itself.
      if (signal === "SIGTERM") process.kill(pid, "SIGCONT");
    } catch {
      // It has ended.
    }
  }
}
