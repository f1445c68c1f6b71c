/** What inpod-enter is told, wherever an agent runs but in a cluster: see agent/native/enter/options.c. Pure. */
import type { AgentOptions } from "./api.ts";

/**
 * Uid and gid of the agent's Node where it has its own. The rules in the target's namespace know its connections by
 * the gid, so it must be one that no application has.
 */
export const NODE_ID = "40404";

export interface EnterOptions {
  /** The target's process, as inpod-enter sees it. */
  readonly pid: number;
  /** A port of its own 127.0.0.1, 0 for any free one; or a path in its own files. */
  readonly listen: number | string;
  /** It ends when its stdin does. */
  readonly isLifeline: boolean;
  /** As another user Node might not be let into the folders of nodePath; in an image of ours it is. */
  readonly hasOwnUid?: boolean;
  readonly nodePath: string;
  readonly agentPath: string;
}

export const enterArguments = (
  { pid, listen, isLifeline, hasOwnUid, nodePath, agentPath }: EnterOptions,
  options: Pick<
    AgentOptions,
    "publicKey" | "idleTimeoutMs" | "resumeTimeoutMs" | "communicationTimeoutMs"
  >,
): string[] => [
  ...["--pid", String(pid)],
  ...(typeof listen === "string" ? ["--listen-path", listen] : ["--listen", String(listen)]),
  ...(isLifeline ? ["--exit-on-stdin-eof"] : []),
  ...(hasOwnUid ? ["--node-uid", NODE_ID] : []),
  // Where the gid is not mapped inpod-enter leaves it out.
  ...["--node-gid", NODE_ID],
  "--",
  nodePath,
  agentPath,
  ...["--public-key", options.publicKey],
  ...patience(options),
];

/** The agent's options. */
export const patience = ({
  idleTimeoutMs,
  resumeTimeoutMs,
  communicationTimeoutMs,
}: Pick<
  AgentOptions,
  "idleTimeoutMs" | "resumeTimeoutMs" | "communicationTimeoutMs"
>): string[] => [
  ...["--idle-timeout-ms", String(idleTimeoutMs)],
  ...(resumeTimeoutMs === undefined ? [] : ["--resume-timeout-ms", String(resumeTimeoutMs)]),
  ...["--communication-timeout-ms", String(communicationTimeoutMs)],
];
