/** Where the agent runs, in one line for the user, and what follows from it for the command. Pure. */
import type { LayerConfig } from "@inpod/layer";
import type { TargetDescription } from "@inpod/protocol";
import type { AgentRung } from "@inpod/targets";

type Missing = TargetDescription["missing"];

/** Undefined: it is what everybody expects, a job from which everything can be had. */
export function rungLine(rung: AgentRung | undefined, missing: Missing): string | undefined {
  // The cluster's words say why the agent has no right; the agent knows only that it has none.
  const all = Object.entries(asOne({ ...missing, ...rung?.missing }, rung?.missing.incoming));
  const lacks = all.map(([what, why]) => `${what} is not available because ${why}`).join("; ");
  if (rung === undefined || rung.kind === "job")
    return lacks === "" ? undefined : `agent: ${rung?.words ?? "a process"}: ${lacks}`;
  const why = rung.why === undefined ? "" : ` (${rung.why})`;
  return `agent: ${rung.words}${why}${lacks === "" ? "" : `: ${lacks}`}`;
}

/** Stealing and mirroring need different rights; where both are missing, it is incoming traffic that is. */
function asOne(missing: Missing, ofRung: string | undefined): Record<string, string> {
  const { incoming, mirror, ...others } = missing;
  if (incoming !== undefined && (mirror !== undefined || ofRung !== undefined))
    return {
      incoming: mirror === incoming || ofRung ? incoming : `${incoming}; ${mirror}`,
      ...others,
    };
  return {
    ...(incoming === undefined ? {} : { stealing: incoming }),
    ...(mirror === undefined ? {} : { mirroring: mirror }),
    ...others,
  };
}

/**
 * Without a target there is nobody whose files they could be: the agent's image holds only what the agent needs.
 * What the user asks for by rules still comes from there (a token of its service account).
 */
export function layerConfig(config: LayerConfig, rung: AgentRung | undefined): LayerConfig {
  if (rung?.kind !== "targetless" || config.files.mode === "local") return config;
  return {
    ...config,
    files: { ...config.files, mode: "localwithoverrides" },
    incoming: withoutIncoming(config).incoming,
  };
}

export const withoutIncoming = (config: LayerConfig): LayerConfig => ({
  ...config,
  incoming: { ...config.incoming, mode: "off" },
});
