/** Which NetworkPolicies stand around a pod. Pure. */
import type { V1LabelSelector, V1NetworkPolicy } from "@kubernetes/client-node";

export interface PolicyFacts {
  readonly name: string;
  readonly limitsIncoming: boolean;
  readonly limitsOutgoing: boolean;
  /** Nothing at all may leave by this one. */
  readonly deniesOutgoing: boolean;
}

/** @param policies of the pod's namespace: those of others never select it */
export function policiesOf(
  policies: readonly V1NetworkPolicy[],
  labels: Readonly<Record<string, string>>,
): PolicyFacts[] {
  return policies
    .filter(({ spec }) => selects(spec?.podSelector ?? {}, labels))
    .map(({ metadata, spec }) => {
      // The API server fills policyTypes in; the rule is its own for those without.
      const types = spec?.policyTypes ?? ["Ingress", ...(spec?.egress ? ["Egress"] : [])];
      const limitsOutgoing = types.includes("Egress");
      return {
        name: metadata?.name ?? "",
        limitsIncoming: types.includes("Ingress"),
        limitsOutgoing,
        deniesOutgoing: limitsOutgoing && (spec?.egress ?? []).length === 0,
      };
    });
}

export function selects(
  { matchLabels = {}, matchExpressions = [] }: V1LabelSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case "In":
          return value !== undefined && values.includes(value);
        case "NotIn":
          return value === undefined || !values.includes(value);
        case "Exists":
          return value !== undefined;
        case "DoesNotExist":
          return value === undefined;
        default:
          return false;
      }
    })
  );
}
