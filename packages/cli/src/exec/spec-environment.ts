/** The variables of a target that has no process now: those of its spec, and which they are not. */
import type { Reporter } from "@inpod/layer";
import type { TargetDescription } from "@inpod/protocol";
import type { Target } from "@inpod/targets";

/** The description, with what the spec says in place of variables that the agent could not read. */
export async function withSpecEnvironment(
  described: TargetDescription,
  target: Target,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<TargetDescription> {
  const { environment: why, ...missing } = described.missing;
  if (why === undefined || described.environment.length > 0 || !target.specEnvironment)
    return described;
  try {
    const found = await target.specEnvironment(signal);
    const lacks = ["those of its image and of Services", ...found.missing].join(", ");
    reporter.notice({
      key: "spec environment",
      text: `environment: from the pod's spec, since ${why}; missing: ${lacks}`,
    });
    const hostname = ["HOSTNAME", described.hostname] as const;
    return { ...described, environment: [hostname, ...found.variables], missing };
  } catch (error) {
    signal.throwIfAborted();
    const cause = error instanceof Error ? error.message : String(error);
    reporter.notice({
      key: "spec environment",
      text: `environment: not in the pod's spec: ${cause}`,
    });
    return described;
  }
}
