import type { V1LabelSelector } from "@kubernetes/client-node";

/** As the API server reads it in a URL; undefined when it selects everything. Pure. */
export function selectorText({
  matchLabels,
  matchExpressions,
}: V1LabelSelector): string | undefined {
  const parts = [
    ...Object.entries(matchLabels ?? {}).map(([key, value]) => `${key}=${value}`),
    ...(matchExpressions ?? []).map(({ key, operator, values }) => {
      const list = (values ?? []).join(",");
      switch (operator) {
        case "In":
          return `${key} in (${list})`;
        case "NotIn":
          return `${key} notin (${list})`;
        case "Exists":
          return key;
        case "DoesNotExist":
          return `!${key}`;
        default:
          throw new Error(`label selector with the operator "${operator}"`);
      }
    }),
  ];
  return parts.length === 0 ? undefined : parts.join(",");
}
