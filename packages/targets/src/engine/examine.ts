import { readFileSync } from "node:fs";
import type { ContainerEngine } from "../target-path.ts";
import { findContainer } from "./find.ts";

export interface ContainerFacts {
  /** "podman/web" */
  readonly path: string;
  /** Who would run an agent: we, or the engine since we may not enter the container or are not on its machine. */
  readonly agentBy: "us" | "engine";
}

/** Changes nothing. @throws UserError, see findContainer() */
export async function examineContainer(
  engine: ContainerEngine,
  name: string,
  signal?: AbortSignal,
): Promise<ContainerFacts> {
  const { path, pid, isLocal } = await findContainer(engine, name, signal);
  return { path, agentBy: isLocal && mayEnter(pid) ? "us" : "engine" };
}

/** The environment and the namespaces of a process have the same condition (ptrace(2)). */
function mayEnter(pid: number): boolean {
  try {
    readFileSync(`/proc/${pid}/environ`);
    return true;
  } catch {
    return false;
  }
}
