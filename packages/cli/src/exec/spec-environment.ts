/** The variables of a target whose process does not show any: those of its spec, and which they are not. */

import type { Reporter } from "@inpod/layer";
import type { TargetDescription } from "@inpod/protocol";
import type { Target } from "@inpod/targets";
import { toText } from "./environment.ts";

export interface Described {
  readonly described: TargetDescription;
  /** Its variables are those of the spec. */
  readonly isOfSpec: boolean;
}

/** A process that sets its title may do so over its own environment: nginx, PostgreSQL, Python's setproctitle. */
const OVERWRITTEN =
  "its main process shows none (it was started without any, or has written over them, as nginx does)";

/** The description, with what the spec says in place of variables that the agent could not read. */
export async function withSpecEnvironment(
  described: TargetDescription,
  target: Target,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<Described> {
  const { environment: why = OVERWRITTEN, ...missing } = described.missing;
  if (described.environment.length > 0 || !target.specEnvironment)
    return { described, isOfSpec: false };
  try {
    const found = await target.specEnvironment(signal);
    const lacks = ["those of its image and of Services", ...found.missing].join(", ");
    reporter.notice({
      key: "spec environment",
      text: `environment: from the pod's spec, since ${why}; missing: ${lacks}`,
    });
    const hostname = ["HOSTNAME", described.hostname] as const;
    return {
      described: { ...described, environment: [hostname, ...found.variables], missing },
      isOfSpec: true,
    };
  } catch (error) {
    signal.throwIfAborted();
    const cause = error instanceof Error ? error.message : String(error);
    reporter.notice({
      key: "spec environment",
      text: `environment: not in the pod's spec: ${cause}`,
    });
    return { described, isOfSpec: false };
  }
}

/** Names that only the settings of a container without a cluster have, and its process has not. */
export function specNames(
  { environment }: Pick<TargetDescription, "environment">,
  target: Target,
): ReadonlySet<string> {
  const shown = new Set(environment.map(([name]) => toText(name)));
  return new Set(Object.keys(target.environment ?? {}).filter((name) => !shown.has(name)));
}
