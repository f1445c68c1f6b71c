/** A target on this machine: `process/PID`. */
import { readFileSync } from "node:fs";
import { type Finding, findingsOf } from "../finding.ts";

const { ok, problem } = findingsOf("target");

/**
 * What the agent must look at: /proc/PID/environ and the namespaces have the same condition (ptrace(2)).
 *
 * @returns "open" or an errno
 */
export function tryProcess(pid: number): string {
  try {
    readFileSync(`/proc/${pid}/environ`);
    return "open";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "EIO";
  }
}

export function judgeProcess(pid: number, door: string): Finding {
  if (door === "open") return ok("found", `process/${pid}`);
  if (door === "ENOENT" || door === "ESRCH")
    return problem("process-not-found", `there is no process ${pid}`, {
      hints: ["see which there are: ps -e"],
    });
  return problem("process-closed", `process ${pid} is not yours to look into (${door})`, {
    why: "the agent enters its namespaces and reads its environment",
    hints: ["run inpod as root, or choose a process of your own"],
  });
}
