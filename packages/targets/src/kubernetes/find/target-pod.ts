/** One pod and one of its containers, as the agent has to know them. */
import { nearestFirst, UserError } from "@inpod/protocol";
import type { V1Pod } from "@kubernetes/client-node";
import { judgePod, type PodVerdict } from "./judge-pod.ts";
import type { PolicyPlaces } from "./policy.ts";

export interface TargetPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  readonly container: string;
  /** Why this container, when the user named none. */
  readonly containerWhy: string | undefined;
  /** The runtime's id without its scheme. A crash-looping container keeps that of its last life. */
  readonly containerId: string;
  /** Else it is between two lives. */
  readonly isRunning: boolean;
  /** Where the container has volumes. */
  readonly volumeMounts: readonly string[];
  readonly policyPlaces: PolicyPlaces;
  /** For people: `pod/orders/container/app`. */
  readonly path: string;
  /** As the API server gave it. */
  readonly pod: V1Pod;
}

/** Pure. @throws UserError CONTAINER_NOT_FOUND, TARGET_NOT_RUNNING */
export function describePod(pod: V1Pod, named: string | undefined): TargetPod {
  const verdict = judgePod(pod, named);
  switch (verdict.kind) {
    case "usable":
      return verdict.target;
    case "no-container":
      throw containerNotFound(`pod "${pod.metadata?.name}"`, named ?? "", verdict.known);
    case "unusable":
      throw podNotRunning(pod.metadata?.name ?? "", verdict);
  }
}

/** @param of "pod "orders"", or a workload */
export const containerNotFound = (
  of: string,
  wanted: string,
  known: readonly string[],
): UserError =>
  new UserError("CONTAINER_NOT_FOUND", `no container "${wanted}" in ${of}`, {
    hints: [`its containers are: ${nearestFirst(wanted, known).join(", ")}`],
  });

export const podNotRunning = (
  pod: string,
  { container, why, detail, hints }: PodVerdict & { kind: "unusable" },
): UserError =>
  new UserError(
    "TARGET_NOT_RUNNING",
    `container "${container}" of pod "${pod}" is not running: ${why}`,
    { hints, ...(detail === undefined ? {} : { cause: new Error(detail) }) },
  );
