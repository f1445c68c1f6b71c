/** Of all pods of a workload the one for environment and files. Pure. */
import type { V1Pod } from "@kubernetes/client-node";
import { judgePod, type PodVerdict } from "./judge-pod.ts";
import type { TargetPod } from "./target-pod.ts";

/** How the pods of one kind of workload are told apart. */
export interface PodOrder {
  /** 0: of the revision that is wanted now; more: of an older one. Undefined: revisions are not known. */
  readonly revision?: ((pod: V1Pod) => number) | undefined;
  /** "newest ReplicaSet" */
  readonly revisionWord?: string;
  /** A StatefulSet's pods have ranks: the first is meant, and not the one that was made last. */
  readonly isOrdinal?: boolean;
}

interface Unusable {
  readonly pod: V1Pod;
  readonly verdict: PodVerdict & { kind: "unusable" };
}

export type Choice =
  | {
      readonly kind: "chosen";
      readonly target: TargetPod;
      /** "the newest of the 3 ready pods of deployment/orders" */
      readonly why: string;
      /** All that are ready, the chosen one first if it is. */
      readonly ready: readonly TargetPod[];
    }
  /** The pods that say most about why there is none, first. */
  | {
      readonly kind: "none-usable";
      readonly unusable: readonly [Unusable, ...Unusable[]];
    }
  | { readonly kind: "no-container"; readonly known: readonly string[] }
  | { readonly kind: "empty" };

/** @param what the workload, for people: "deployment/orders" */
export function choosePod(
  pods: readonly V1Pod[],
  container: string | undefined,
  order: PodOrder,
  what: string,
): Choice {
  const revision = order.revision ?? (() => 0);
  const judged = pods
    .map((pod) => ({ pod, revision: revision(pod), verdict: judgePod(pod, container) }))
    .sort(
      (a, b) =>
        rank(a.verdict) - rank(b.verdict) ||
        a.revision - b.revision ||
        (order.isOrdinal ? ordinal(a.pod) - ordinal(b.pod) : created(b.pod) - created(a.pod)) ||
        nameOf(a.pod).localeCompare(nameOf(b.pod)),
    );
  const [first] = judged;
  if (first === undefined) return { kind: "empty" };
  if (first.verdict.kind === "usable") {
    const ready = judged.flatMap(({ verdict }) =>
      verdict.kind === "usable" && verdict.isReady ? [verdict.target] : [],
    );
    const same = judged.filter(
      (each) => rank(each.verdict) === rank(first.verdict) && each.revision === first.revision,
    );
    const hasOlder = judged.some((each) => each.revision !== first.revision);
    return {
      kind: "chosen",
      target: first.verdict.target,
      ready,
      why: whyFirst(first.verdict, same.length, hasOlder ? first.revision : undefined, order, what),
    };
  }
  if (first.verdict.kind === "no-container")
    return { kind: "no-container", known: first.verdict.known };
  const [one, ...more] = judged.flatMap(({ pod, verdict }) =>
    verdict.kind === "unusable" ? [{ pod, verdict }] : [],
  );
  return one === undefined ? { kind: "empty" } : { kind: "none-usable", unusable: [one, ...more] };
}

/** @param revision undefined when all are of one */
function whyFirst(
  { isReady, isRunning }: PodVerdict & { kind: "usable" },
  count: number,
  revision: number | undefined,
  { revisionWord, isOrdinal }: PodOrder,
  what: string,
): string {
  const state = isReady ? "ready" : isRunning ? "running" : "crashing";
  const which =
    count === 1
      ? `the only ${state} pod`
      : `the ${isOrdinal ? "first" : "newest"} of the ${count} ${state} pods`;
  const isNewest = revision === 0 && revisionWord !== undefined;
  const isOlder = revision !== undefined && revision > 0 && revisionWord !== undefined;
  return [
    `${which} of ${isNewest ? `the ${revisionWord} of ` : ""}${what}`,
    isOlder ? `, whose ${revisionWord} has none` : "",
    isReady ? "" : ", where none is ready",
  ].join("");
}

/** The pod that is going says least about why there is none. */
function rank(verdict: PodVerdict): number {
  switch (verdict.kind) {
    case "usable":
      return verdict.isReady ? 0 : verdict.isRunning ? 1 : 2;
    case "unusable":
      return verdict.isEnding ? 4 : 3;
    case "no-container":
      return 5;
  }
}

const nameOf = (pod: V1Pod): string => pod.metadata?.name ?? "";
/** Of JSON it is text, whatever the type says. */
const created = (pod: V1Pod): number =>
  new Date(pod.metadata?.creationTimestamp ?? 0).getTime() || 0;
const ordinal = (pod: V1Pod): number => Number(/-(\d+)$/.exec(nameOf(pod))?.[1] ?? 0);
