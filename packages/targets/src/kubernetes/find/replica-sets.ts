/** Deployments and Argo's rollouts own their pods through ReplicaSets, one for each revision. */
import type { V1LabelSelector, V1Pod } from "@kubernetes/client-node";
import { explain, isForbidden } from "../reach/api-errors.ts";
import type { Metadata } from "../reach/list.ts";
import type { PodOrder } from "./choose-pod.ts";
import type { Reader } from "./reader.ts";

const REVISIONS = ["deployment.kubernetes.io/revision", "rollout.argoproj.io/revision"];
const HASHES = ["pod-template-hash", "rollouts-pod-template-hash"];

interface Owned {
  readonly pods: readonly V1Pod[];
  /** Of later ones as well, whose ReplicaSet may be a new one. */
  readonly has: (pod: V1Pod) => boolean;
  readonly strangers: number;
  /** Undefined where ReplicaSets may not be listed. */
  readonly revision: PodOrder["revision"];
}

export async function ownedThroughReplicaSets(
  reader: Reader,
  { metadata }: Metadata,
  selector: string | undefined,
): Promise<Owned> {
  const [all, sets] = await Promise.all([
    reader.pods(selector),
    reader.replicaSets(selector).catch((error: unknown) => {
      if (isForbidden(error)) return undefined;
      throw explain(error);
    }),
  ]);
  // Both controllers name a ReplicaSet so.
  const isNamedSo = ({ metadata: { labels = {}, ownerReferences = [] } = {} }: V1Pod): boolean =>
    HASHES.some((key) =>
      ownerReferences.some(
        (each) => each.controller && each.name === `${metadata.name}-${labels[key]}`,
      ),
    );
  if (sets === undefined) {
    const pods = all.filter(isNamedSo);
    return { pods, has: isNamedSo, strangers: all.length - pods.length, revision: undefined };
  }
  const uids = sets
    .filter((set) =>
      set.metadata.ownerReferences?.some((each) => each.controller && each.uid === metadata.uid),
    )
    // Not by age: undoing a rollout makes the old ReplicaSet the newest revision.
    .sort((a, b) => revisionOf(b) - revisionOf(a))
    .map((set) => set.metadata.uid);
  const place = (pod: V1Pod): number =>
    uids.indexOf(pod.metadata?.ownerReferences?.find((each) => each.controller)?.uid ?? "");
  const pods = all.filter((pod) => place(pod) >= 0);
  const has = (pod: V1Pod): boolean => place(pod) >= 0 || isNamedSo(pod);
  return { pods, has, strangers: all.length - pods.length, revision: place };
}

const revisionOf = ({ metadata: { annotations = {} } }: Metadata): number =>
  Math.max(0, ...REVISIONS.map((key) => Number(annotations[key] ?? 0) || 0));

export interface Rollout {
  readonly spec?: {
    readonly selector?: V1LabelSelector;
    /** Instead of a template, and then mostly instead of a selector too. */
    readonly workloadRef?: { readonly kind?: string; readonly name?: string };
  };
  readonly status?: { readonly selector?: string };
}

/** A rollout with workloadRef has the selector of the deployment or ReplicaSet that it took over. */
export async function rolloutSelector(
  reader: Reader,
  { spec, status }: Rollout,
): Promise<V1LabelSelector | undefined> {
  const { selector, workloadRef } = spec ?? {};
  if (selector !== undefined && selectorSize(selector) > 0) return selector;
  const kind = workloadRef?.kind?.toLowerCase();
  if (workloadRef?.name !== undefined && (kind === "deployment" || kind === "replicaset")) {
    const workload = await reader.get<{ spec?: { selector?: V1LabelSelector } }>(
      kind,
      workloadRef.name,
    );
    return workload.spec?.selector;
  }
  // Its controller writes it down for autoscalers, as text: "app=orders,tier=web".
  const pairs = (status?.selector ?? "").split(",").flatMap((pair) => {
    const [key, value] = pair.split("=");
    return key && value !== undefined ? [[key, value] as const] : [];
  });
  return pairs.length > 0 ? { matchLabels: Object.fromEntries(pairs) } : undefined;
}

const selectorSize = ({ matchLabels = {}, matchExpressions = [] }: V1LabelSelector): number =>
  Object.keys(matchLabels).length + matchExpressions.length;
