/** Whether the session may do what it is about to: what the target's owners allow, and the user's own care. */
import { matchesWildcard, UserError } from "@inpod/protocol";
import type { TargetPolicy } from "@inpod/targets";

export interface Wish {
  readonly steals: boolean;
  /** Not all requests, but those that match. */
  readonly hasFilter: boolean;
  /** `pod/orders/container/app` */
  readonly target: string;
  readonly policy: TargetPolicy | undefined;
  /** Undefined: no cluster. */
  readonly contextName: string | undefined;
  /** protected_contexts of the user's own configuration, with the wildcards `*` and `?`. */
  readonly protectedContexts: readonly string[];
  /** `--yes` */
  readonly hasSaidYes: boolean;
  /** Undefined: there is nobody to ask. */
  readonly confirm: ((question: string) => Promise<boolean>) | undefined;
}

/** Undefined: copies of what the target's clients send may be had. Else why not, for one line. */
export const whyNoMirror = (policy: TargetPolicy | undefined): string | undefined =>
  policy?.mirror === "forbidden"
    ? `nothing comes in from the pod: ${said(policy, "no-mirror")}`
    : undefined;

/** Undefined: what is wanted of one of a workload's other pods may be had. Else who says no to it. */
export function whyNotAllowed(
  { mode, hasFilter }: { readonly mode: "steal" | "mirror"; readonly hasFilter: boolean },
  policy: TargetPolicy,
): string | undefined {
  if (mode === "mirror")
    return policy.mirror === "forbidden" ? said(policy, "no-mirror") : undefined;
  const isFree = policy.steal === "allowed" || (hasFilter && policy.steal === "filtered");
  return isFree ? undefined : said(policy, stealWord(policy));
}

const said = ({ from }: TargetPolicy, word: string): string =>
  `inpod.dev/policy of ${from.join(" and ")} says ${word}`;
const stealWord = ({ steal }: TargetPolicy): string =>
  steal === "forbidden" ? "no-steal" : "steal-with-filter-only";

/** Before anything is made. @throws UserError POLICY_NO_STEAL, CONTEXT_PROTECTED */
export async function checkPermission(wish: Wish): Promise<void> {
  const { steals, policy, target, contextName = "" } = wish;
  if (!steals) return;
  const isFree = wish.hasFilter && policy?.steal === "filtered";
  if (policy !== undefined && policy.steal !== "allowed" && !isFree) throw noSteal(target, policy);
  const isProtected = wish.protectedContexts.some((each) => matchesWildcard(each, contextName));
  if (!isProtected || wish.hasSaidYes) return;
  const question = `context "${contextName}" is one of your protected_contexts: take the traffic of ${target}?`;
  if ((await wish.confirm?.(question)) !== true)
    throw contextProtected(contextName, wish.confirm !== undefined);
}

const noSteal = (target: string, policy: TargetPolicy): UserError =>
  new UserError("POLICY_NO_STEAL", `the traffic of ${target} may not be stolen`, {
    cause: new Error(said(policy, stealWord(policy))),
    hints: [
      ...(policy.steal === "filtered"
        ? ["say which requests: feature.network.incoming.http_filter (docs/http-filters.md)"]
        : []),
      "run it without --steal: the target answers, and your program gets copies of the requests",
      "or take the place of a target that is yours",
    ],
  });

const contextProtected = (name: string, wasAsked: boolean): UserError =>
  new UserError(
    "CONTEXT_PROTECTED",
    wasAsked
      ? `nothing was stolen in the protected context "${name}"`
      : `context "${name}" is one of your protected_contexts, and there is no terminal to ask on`,
    { hints: ["say it beforehand: --yes", "or choose another: --context NAME"] },
  );
