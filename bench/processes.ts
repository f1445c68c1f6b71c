/** What this machine's processes are and weigh. */
import { readdirSync, readFileSync } from "node:fs";

export function parentOf(pid: number): number {
  return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

export function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const each of allProcesses()) {
    try {
      parents.set(each, parentOf(each));
    } catch {
      // It has ended meanwhile.
    }
  }
  const found = [pid];
  for (const parent of found) {
    for (const [child, itsParent] of parents) if (itsParent === parent) found.push(child);
  }
  return found;
}

/** argv; empty when it has ended. */
export function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
  } catch {
    return [];
  }
}

export function residentMegabytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024) / 1e6;
}

/** Processor time of all its threads; 10 ms are the least that the kernel tells by `stat`, of which this is not made. */
export function cpuMicroseconds(pid: number): number {
  let all = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const [running] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
    all += Number(running) / 1000;
  }
  return all;
}

/** The agent's Node of a session. Enter's command line names the bundle too; the agent is whose own program is Node. */
export function agentOf(session: number): number {
  const pid = descendants(session).find((each) => {
    const [program = "", script = ""] = commandOf(each);
    return program.endsWith("node") && script.endsWith("agent.js");
  });
  if (pid === undefined) throw new Error("no agent in the session");
  return pid;
}

/** Of this machine, whoever's they are. */
export const allProcesses = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
