/** What the owners of a target allow: `inpod.dev/policy` on its pod, its workload and its namespace. */
import { ALLOWS_ALL, parsePolicy, stricter, UserError } from "@inpod/protocol";
import type { V1Pod } from "@kubernetes/client-node";
import type { TargetPolicy } from "../../api.ts";
import type { WorkloadKind } from "../../target-path.ts";
import type { Cluster } from "../cluster.ts";
import type { ApiCall } from "../reach/api-errors.ts";
import type { Metadata } from "../reach/list.ts";
import { RESOURCES } from "../reach/roles.ts";

const ANNOTATION = "inpod.dev/policy";
const METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/** Where a policy of a pod stands beside the pod itself. */
export interface PolicyPlaces {
  /** The pod's own annotation. */
  readonly own: string | undefined;
  readonly workload: { readonly kind: WorkloadKind; readonly name: string } | undefined;
}

/**
 * Owners by controller. Deployments and Argo's rollouts are found by the name of their ReplicaSet, which ends in the
 * pod's template hash: a request less.
 */
export function policyPlaces({ metadata = {} }: V1Pod): PolicyPlaces {
  const { annotations = {}, labels = {}, ownerReferences = [] } = metadata;
  const controller = ownerReferences.find((owner) => owner.controller);
  return { own: annotations[ANNOTATION], workload: controller && workloadOf(controller, labels) };
}

function workloadOf(
  { kind, name }: { readonly kind: string; readonly name: string },
  labels: Readonly<Record<string, string>>,
): PolicyPlaces["workload"] {
  if (kind === "ReplicaSet")
    for (const [label, owner] of [
      ["rollouts-pod-template-hash", "rollout"],
      ["pod-template-hash", "deployment"],
    ] as const)
      if (labels[label] !== undefined && name.endsWith(`-${labels[label]}`))
        return { kind: owner, name: name.slice(0, -labels[label].length - 1) };
  const known = (["statefulset", "daemonset", "replicaset", "job"] as const).find(
    (each) => each === kind.toLowerCase(),
  );
  return known && { kind: known, name };
}

/** A workload that has been read already, to find its pods: it need not be asked for again. */
export interface KnownWorkload {
  readonly kind: WorkloadKind;
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Of several the stricter holds. What the user may not read says nothing: a policy is advice against mistakes, and
 * the wall is the cluster's own.
 *
 * @throws UserError POLICY_UNKNOWN
 */
export async function targetPolicy(
  { api }: Cluster,
  namespace: string,
  places: PolicyPlaces,
  signal: AbortSignal | undefined,
  known?: KnownWorkload | undefined,
): Promise<TargetPolicy> {
  const annotationOf = async (call: Omit<ApiCall, "verb">): Promise<string | undefined> => {
    try {
      const object = await api.request<Metadata>(
        { verb: "get", ...call },
        { accept: METADATA_ONLY, signal },
      );
      return object.metadata.annotations?.[ANNOTATION];
    } catch {
      signal?.throwIfAborted();
      return undefined;
    }
  };
  const { own, workload } = places;
  const isKnown = known?.kind === workload?.kind && known?.name === workload?.name;
  const [ofNamespace, ofWorkload] = await Promise.all([
    annotationOf({ group: "", resource: "namespaces", name: namespace }),
    isKnown
      ? known?.annotations[ANNOTATION]
      : workload && annotationOf({ ...RESOURCES[workload.kind], namespace, name: workload.name }),
  ]);
  const found = [
    ["the pod", own],
    [workload && `${workload.kind}/${workload.name}`, ofWorkload],
    [`namespace "${namespace}"`, ofNamespace],
  ].filter((each): each is [string, string] => each[1] !== undefined);
  return {
    ...found.map(([where, text]) => read(where, text)).reduce(stricter, ALLOWS_ALL),
    from: found.map(([where]) => where),
  };
}

function read(where: string, text: string) {
  try {
    return parsePolicy(text);
  } catch (cause) {
    throw policyUnknown(where, cause);
  }
}

const policyUnknown = (where: string, cause: unknown): UserError =>
  new UserError("POLICY_UNKNOWN", `the annotation ${ANNOTATION} of ${where} is not understood`, {
    cause,
    hints: [
      "what it forbids is not known, so nothing is done; a newer inpod may know it",
      "or have whoever wrote it mend it",
    ],
  });
