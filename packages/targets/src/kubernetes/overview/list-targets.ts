/** Everything in a namespace, or in all of them, that a session can be in the place of. */
import type { V1Pod } from "@kubernetes/client-node";
import { WORKLOADS, type WorkloadKind } from "../../target-path.ts";
import type { Cluster } from "../cluster.ts";
import { checkNamespace, isUnknownKind, noRollouts } from "../find/names.ts";
import { explain, isForbidden } from "../reach/api-errors.ts";
import { type ListOptions, listAll, listMetadata, type Metadata } from "../reach/list.ts";
import { RESOURCES } from "../reach/roles.ts";
import { describePods, describeWorkload, type ListedTarget } from "./listed.ts";
import { PodIndex, type Workload } from "./pod-index.ts";

export type ListedKind = "pod" | WorkloadKind;

export interface ListQuery {
  /** Undefined: all. Then what belongs to another target of the list (a deployment's ReplicaSets) is left out. */
  readonly kinds: readonly ListedKind[] | undefined;
  /** Undefined: in all of them. */
  readonly namespace: string | undefined;
  /** As kubectl's `-l`. */
  readonly labelSelector: string | undefined;
  readonly signal: AbortSignal;
}

export interface TargetList {
  /** By namespace, kind and name. */
  readonly targets: readonly ListedTarget[];
  /** Kinds that were not asked for by name and could not be listed. */
  readonly notListed: ReadonlyArray<{ readonly kind: ListedKind; readonly why: string }>;
}

type Answer<T> = { readonly items: readonly T[] } | { readonly error: unknown };

/** @throws UserError when a kind that was asked for cannot be listed, or none can; NAMESPACE_NOT_FOUND */
export async function listTargets(cluster: Cluster, query: ListQuery): Promise<TargetList> {
  const { api } = cluster;
  const { namespace, labelSelector, signal } = query;
  const kinds: readonly ListedKind[] = query.kinds ?? ["pod", ...WORKLOADS];
  const workloads = kinds.filter((kind) => kind !== "pod");
  const ask = <T>(list: Promise<T[]>): Promise<Answer<T>> =>
    list.then(
      (items) => ({ items }),
      (error: unknown) => {
        if (isForbidden(error) || isUnknownKind(error)) return { error };
        throw explain(error);
      },
    );
  const list = <T>(kind: ListedKind, options: ListOptions) =>
    ask(listAll<T>(api, { ...RESOURCES[kind], namespace }, { ...options, signal }));
  const owns = (kind: ListedKind) => workloads.some((each) => each === kind);

  // A workload is as usable as its pods are, whether they are listed themselves or not.
  const [pods, selected, replicaSets, jobs, ...answers] = await Promise.all([
    list<V1Pod>("pod", {}),
    labelSelector === undefined || !kinds.includes("pod")
      ? undefined
      : list<V1Pod>("pod", { labelSelector }),
    owns("deployment") || owns("rollout")
      ? ask(listMetadata(api, { ...RESOURCES.replicaset, namespace }, { signal }))
      : { items: [] as Metadata[] },
    owns("cronjob") ? list<Workload>("job", {}) : { items: [] as Workload[] },
    ...workloads.map((kind) => list<Workload>(kind, { labelSelector })),
  ]);
  const index = new PodIndex({
    pods: "items" in pods ? pods.items.filter(isNoAgent) : undefined,
    replicaSets: itemsOf(replicaSets),
    jobs: itemsOf(jobs),
  });

  const targets: ListedTarget[] = [];
  const notListed: { kind: ListedKind; why: string; error: unknown }[] = [];
  const take = <T>(
    kind: ListedKind,
    answer: Answer<T>,
    describe: (items: readonly T[]) => ListedTarget[],
  ) => {
    if ("items" in answer) return void targets.push(...describe(answer.items));
    // A kind that nobody asked for and the cluster does not know is not missed.
    if (query.kinds === undefined && isUnknownKind(answer.error)) return;
    const error = isUnknownKind(answer.error) ? noRollouts(answer.error) : explain(answer.error);
    notListed.push({ kind, why: String((error as Error).message), error });
  };
  if (kinds.includes("pod"))
    take("pod", selected ?? pods, (items) => describePods(items.filter(isNoAgent)));
  for (const [at, kind] of workloads.entries())
    take(kind, answers[at] ?? { items: [] }, (items) =>
      items
        .filter(isNoAgent)
        .filter((each) => query.kinds !== undefined || !isOwned(each))
        .map((each) => describeWorkload(kind as WorkloadKind, each, index)),
    );

  const [refused] = notListed;
  if (refused !== undefined && (query.kinds !== undefined || targets.length === 0))
    throw refused.error;
  if (targets.length === 0 && namespace !== undefined)
    await checkNamespace({ api, namespace }, signal);
  return { targets: targets.sort(byPlace(kinds)), notListed };
}

const itemsOf = <T>(answer: Answer<T>): readonly T[] | undefined =>
  "items" in answer ? answer.items : undefined;

interface Labelled {
  readonly metadata?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly ownerReferences?: ReadonlyArray<{ readonly controller?: boolean }>;
  };
}
const isNoAgent = ({ metadata }: Labelled): boolean =>
  metadata?.labels?.["inpod.dev/session"] === undefined;
const isOwned = ({ metadata }: Labelled): boolean =>
  metadata?.ownerReferences?.some((each) => each.controller) ?? false;

const byPlace =
  (kinds: readonly ListedKind[]) =>
  (a: ListedTarget, b: ListedTarget): number =>
    a.namespace.localeCompare(b.namespace) ||
    // What people name first: workloads, and then their pods.
    Number(a.kind === "pod") - Number(b.kind === "pod") ||
    kinds.indexOf(a.kind) - kinds.indexOf(b.kind) ||
    a.name.localeCompare(b.name);
