/** What the configuration says of the agent is what the cluster is asked for. */
import type { AgentPlacement } from "@inpod/targets";
import type { AgentConfig } from "./config/agent-config.ts";
import { VERSION } from "./version.ts";

export const placementOf = (agent: AgentConfig): AgentPlacement => ({
  ...agent,
  image: agent.image ?? `inpod/agent:${VERSION}`,
});
