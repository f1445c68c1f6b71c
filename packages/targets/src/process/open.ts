/** `process/PID` of this machine: the agent is a child process of ours. */
import { existsSync } from "node:fs";
import { UserError } from "@inpod/protocol";
import type { Target } from "../api.ts";
import { enterArguments } from "../enter-arguments.ts";
import { type AgentEnd, dialLoopback, startChild } from "./child-agent.ts";

export interface ProcessPaths {
  /** inpod-enter */
  readonly enterPath: string;
  readonly nodePath: string;
  readonly agentPath: string;
}

/** @throws UserError PROCESS_NOT_FOUND */
export function openProcess(pid: number, paths: ProcessPaths): Target {
  if (!Number.isSafeInteger(pid) || pid <= 0 || !existsSync(`/proc/${pid}`))
    throw processNotFound(pid);
  const name = `process/${pid}`;
  return {
    name,
    place: (options) =>
      startChild(
        {
          target: name,
          command: [
            paths.enterPath,
            ...enterArguments({ pid, listen: 0, isLifeline: true, ...paths }, options),
          ],
          dial: dialLoopback,
          explainEnd: (end) => explainEnd(pid, end),
        },
        options,
      ),
  };
}

function explainEnd(pid: number, { errno, cause }: AgentEnd): UserError {
  switch (errno) {
    case "ESRCH":
    case "ENOENT":
      return processNotFound(pid, cause);
    case "EPERM":
    case "EACCES":
      return processForbidden(pid, cause);
    default:
      return new UserError("AGENT_ENDED", "the agent ended before it could answer", { cause });
  }
}

const processNotFound = (pid: number, cause?: unknown): UserError =>
  new UserError("PROCESS_NOT_FOUND", `no process ${pid} on this machine`, {
    hints: ["see which there are: ps -ef"],
    cause,
  });

/** setns(2): the rights must be held in the user namespace that owns the target's namespaces. */
const processForbidden = (pid: number, cause: unknown): UserError =>
  new UserError("PROCESS_FORBIDDEN", `you may not enter the namespaces of process ${pid}`, {
    hints: [
      "an ordinary user can enter only namespaces that he made himself: unshare --user --net …",
      "for any other process: run it as root",
    ],
    cause,
  });
