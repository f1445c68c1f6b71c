/** A container without a cluster as a target: `docker/NAME` and the like. */
import { UserError } from "@inpod/protocol";
import type { ContainerEngine } from "@inpod/targets";
import { type Finding, findingOfError, findingsOf } from "../finding.ts";

const { ok } = findingsOf("target");

/** All questions to the engine together. */
const ENGINE_TIMEOUT_MS = 30_000;

export async function tryContainer(engine: ContainerEngine, name: string): Promise<Finding> {
  const { examineContainer } = await import("@inpod/targets");
  try {
    const { path, agentBy } = await examineContainer(
      engine,
      name,
      AbortSignal.timeout(ENGINE_TIMEOUT_MS),
    );
    return ok(
      "found",
      agentBy === "us"
        ? `${path}: you may enter it, and the agent needs no image`
        : `${path}: ${engine} will run the agent, from its image`,
    );
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return findingOfError("target", error);
  }
}
