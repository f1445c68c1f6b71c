/** What the target's owners do not allow is not done here, whatever a session asks. */
import { hides, type Policy, type TargetDescription } from "@inpod/protocol";
import { Failure } from "./failure.ts";

/** Hidden variables never leave the agent; how many there are is said, their names are not. */
export function withoutHidden(target: TargetDescription, policy: Policy): TargetDescription {
  const environment = target.environment.filter(([name]) => !hides(policy, name));
  const count = target.environment.length - environment.length;
  if (count === 0) return target;
  const why = `${count} variable${count === 1 ? " is" : "s are"} hidden by inpod.dev/policy`;
  const { environment: known, ...missing } = target.missing;
  return {
    ...target,
    environment,
    missing: { ...missing, environment: known === undefined ? why : `${known}; ${why}` },
  };
}

/** @throws Failure EPERM */
export function mayMirror({ mirror }: Policy): void {
  if (mirror === "allowed") return;
  throw new Failure("EPERM", "inpod.dev/policy of the target says no-mirror");
}

/** @throws Failure EPERM */
export function mayStealPort({ steal }: Policy, hasFilter: boolean): void {
  if (steal === "allowed" || (steal === "filtered" && hasFilter)) return;
  throw new Failure(
    "EPERM",
    steal === "forbidden"
      ? "inpod.dev/policy of the target says no-steal"
      : "inpod.dev/policy of the target says steal-with-filter-only",
  );
}
