/**
 * `docker/NAME`, `podman/NAME`, `nerdctl/NAME`: a container without a cluster. The agent is a child process of ours
 * where its user may enter the container: root, and whoever made the user namespace that the container is in, as
 * with podman or Docker without root. Else, and where the engine is on another machine, it is a container that the
 * engine runs beside it.
 */
import { UserError } from "@inpod/protocol";
import type { AgentOptions, PlacedAgent, Target } from "../api.ts";
import { enterArguments } from "../enter-arguments.ts";
import {
  type AgentEnd,
  type AgentProgram,
  dialLoopback,
  startChild,
} from "../process/child-agent.ts";
import type { ProcessPaths } from "../process/open.ts";
import type { ContainerEngine } from "../target-path.ts";
import { containerAgent, type EngineImage } from "./container-agent.ts";
import { type EngineContainer, findContainer } from "./find.ts";

export interface EngineOptions {
  readonly engine: ContainerEngine;
  readonly name: string;
  readonly programs: ProcessPaths;
  /** For an agent that the engine runs. */
  readonly agent: EngineImage;
  readonly signal?: AbortSignal | undefined;
}

/** @throws UserError, see findContainer() */
export async function openEngine(options: EngineOptions): Promise<Target> {
  const container = await findContainer(options.engine, options.name, options.signal);
  let isFirst = true;
  return {
    name: container.path,
    volumeMounts: container.volumeMounts,
    environment: container.environment,
    place: async (agentOptions) => {
      // Started again it is another process in another network; made anew under its name, another container.
      const current = isFirst
        ? container
        : await findContainer(options.engine, options.name, agentOptions.signal);
      isFirst = false;
      return place(current, options, agentOptions);
    },
  };
}

async function place(
  container: EngineContainer,
  { programs, agent }: EngineOptions,
  options: AgentOptions,
): Promise<PlacedAgent> {
  if (container.isLocal) {
    try {
      return await startChild(childProgram(container, programs, options), options);
    } catch (error) {
      if (!(error instanceof NotAllowed)) throw error;
      options.onProgress(
        `you may not enter ${container.path} yourself: ${container.engine} runs the agent`,
      );
    }
  } else {
    options.onProgress(
      `${container.path} is not on this machine: ${container.engine} runs the agent`,
    );
  }
  return startChild(await containerAgent(container, agent, options), options);
}

function childProgram(
  container: EngineContainer,
  programs: ProcessPaths,
  options: AgentOptions,
): AgentProgram {
  const { path, pid } = container;
  return {
    target: path,
    command: [
      programs.enterPath,
      ...enterArguments({ pid, listen: 0, isLifeline: true, ...programs }, options),
    ],
    dial: dialLoopback,
    explainEnd: (end) => explainEnd(path, end),
  };
}

function explainEnd(path: string, { errno, cause }: AgentEnd): UserError {
  switch (errno) {
    case "ESRCH":
    case "ENOENT":
      return new UserError("TARGET_NOT_RUNNING", `${path} has ended meanwhile`, { cause });
    case "EPERM":
    case "EACCES":
      return new NotAllowed(path, cause);
    default:
      return new UserError("AGENT_ENDED", "the agent ended before it could answer", { cause });
  }
}

/** Never told to a person: there is another way. */
class NotAllowed extends UserError {
  constructor(path: string, cause: Error) {
    super("TARGET_FORBIDDEN", `you may not enter ${path}`, { cause });
  }
}
