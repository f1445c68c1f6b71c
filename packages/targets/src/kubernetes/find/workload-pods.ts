/** Which pods a workload has: by its selector, and by who owns them, since others can have its labels. */
import { ownSelector, type UserError } from "@inpod/protocol";
import type {
  V1CronJob,
  V1DaemonSet,
  V1Job,
  V1LabelSelector,
  V1Pod,
  V1ReplicaSet,
  V1Service,
  V1StatefulSet,
} from "@kubernetes/client-node";
import type { ClusterPath } from "../../target-path.ts";
import type { Cluster } from "../cluster.ts";
import { SESSION_LABEL } from "../place/labels.ts";
import type { Metadata } from "../reach/list.ts";
import type { PodOrder } from "./choose-pod.ts";
import {
  isOver,
  leadsToAgent,
  noDaemonPods,
  noJobPods,
  noJobs,
  noPods,
  noPodsWithLabels,
  noStatefulSetPods,
  runNow,
  type Scaled,
  serviceWithoutPods,
} from "./no-pods.ts";
import type { KnownWorkload } from "./policy.ts";
import { Reader } from "./reader.ts";
import { ownedThroughReplicaSets, type Rollout, rolloutSelector } from "./replica-sets.ts";
import { selectorText } from "./selector.ts";

export type WorkloadPath = Exclude<ClusterPath, { kind: "pod" | "targetless" }>;

/** What a workload's pods have in common. */
export interface PodKin {
  /** As the API server reads it; undefined: every pod of the namespace. */
  readonly selector: string | undefined;
  /** Whether one that the selector matches is the workload's own. */
  has(pod: V1Pod): boolean;
}

export interface WorkloadPods {
  /** "deployment/orders" */
  readonly what: string;
  readonly pods: readonly V1Pod[];
  /** How later ones are found. */
  readonly kin: PodKin;
  readonly order: PodOrder;
  /** Why there is none. */
  readonly none: () => UserError;
  /** What helps when none of them runs, before what helps with any pod. */
  readonly hints: readonly string[];
  /** Of labels nothing but pods is read. */
  readonly workload?: KnownWorkload | undefined;
}

/** @throws UserError TARGET_NOT_FOUND, NAMESPACE_NOT_FOUND, TARGET_HAS_NO_PODS, and those of the API */
export async function workloadPods(
  cluster: Cluster,
  path: WorkloadPath,
  signal: AbortSignal | undefined,
): Promise<WorkloadPods> {
  const reader = new Reader(cluster, signal);
  const found = await read(reader, path);
  return { hints: [], order: {}, workload: reader.first, ...found };
}

type Found = Pick<WorkloadPods, "what" | "pods" | "kin" | "none"> & Partial<WorkloadPods>;

function read(reader: Reader, path: WorkloadPath): Promise<Found> {
  switch (path.kind) {
    case "label":
      return byLabels(reader, path.labels);
    case "deployment":
    case "rollout":
      return byReplicaSets(reader, path.kind, path.name);
    case "statefulset":
      return statefulSet(reader, path.name);
    case "daemonset":
      return daemonSet(reader, path.name);
    case "replicaset":
      return replicaSet(reader, path.name);
    case "job":
      return job(reader, path.name);
    case "cronjob":
      return cronJob(reader, path.name);
    case "service":
      return service(reader, path.name);
  }
}

const controlledBy =
  (uid: string | undefined) =>
  (pod: V1Pod): boolean =>
    pod.metadata?.ownerReferences?.some((each) => each.controller && each.uid === uid) ?? false;

/** Pods that a workload owns itself, of all that its selector matches. */
async function own(
  reader: Reader,
  workload: { metadata?: { uid?: string }; spec?: { selector?: V1LabelSelector } },
): Promise<{ pods: V1Pod[]; kin: PodKin; strangers: number }> {
  const selector = selectorText(workload.spec?.selector ?? {});
  const has = controlledBy(workload.metadata?.uid);
  const all = await reader.pods(selector);
  const pods = all.filter(has);
  return { pods, kin: { selector, has }, strangers: all.length - pods.length };
}

async function byReplicaSets(
  reader: Reader,
  kind: "deployment" | "rollout",
  name: string,
): Promise<Found> {
  const workload = await reader.get<Scaled & Rollout & Metadata>(kind, name);
  const selector =
    kind === "rollout" ? await rolloutSelector(reader, workload) : workload.spec?.selector;
  const text = selectorText(selector ?? {});
  const { pods, has, strangers, revision } = await ownedThroughReplicaSets(reader, workload, text);
  const what = `${kind}/${name}`;
  return {
    what,
    pods,
    kin: { selector: text, has },
    order: { revision, revisionWord: "newest ReplicaSet" },
    none: () => noPods(what, reader.namespace, workload, strangers),
  };
}

async function statefulSet(reader: Reader, name: string): Promise<Found> {
  const workload = await reader.get<V1StatefulSet>("statefulset", name);
  const { pods, kin, strangers } = await own(reader, workload);
  const wanted = workload.status?.updateRevision;
  return {
    what: `statefulset/${name}`,
    pods,
    kin,
    order: {
      isOrdinal: true,
      revisionWord: "newest revision",
      revision: ({ metadata }) =>
        wanted === undefined || metadata?.labels?.["controller-revision-hash"] === wanted ? 0 : 1,
    },
    none: () => noStatefulSetPods(`statefulset/${name}`, reader.namespace, workload, strangers),
  };
}

async function daemonSet(reader: Reader, name: string): Promise<Found> {
  const workload = await reader.get<V1DaemonSet>("daemonset", name);
  const { pods, kin, strangers } = await own(reader, workload);
  const what = `daemonset/${name}`;
  return { what, pods, kin, none: () => noDaemonPods(what, reader.namespace, workload, strangers) };
}

async function replicaSet(reader: Reader, name: string): Promise<Found> {
  const workload = await reader.get<V1ReplicaSet>("replicaset", name);
  const { pods, kin, strangers } = await own(reader, workload);
  const what = `replicaset/${name}`;
  return {
    what,
    pods,
    kin,
    none: () => noPods(what, reader.namespace, workload as Scaled, strangers),
  };
}

async function job(reader: Reader, name: string): Promise<Found> {
  const workload = await reader.get<V1Job>("job", name);
  const { pods, kin } = await own(reader, workload);
  const what = `job/${name}`;
  const cronjob = workload.metadata?.ownerReferences?.find((each) => each.kind === "CronJob");
  return {
    what,
    pods,
    kin,
    none: () => noJobPods(what, reader.namespace, workload),
    hints: cronjob === undefined ? [] : [runNow(cronjob.name, reader.namespace)],
  };
}

/** The newest of its jobs that are not over, else the newest. */
async function cronJob(reader: Reader, name: string): Promise<Found> {
  const workload = await reader.get<V1CronJob>("cronjob", name);
  const uid = workload.metadata?.uid;
  const created = (each: V1Job) => new Date(each.metadata?.creationTimestamp ?? 0).getTime();
  const [newest] = (await reader.jobs())
    // Not by `controller`: jobs that kubectl makes from a cronjob have its uid only.
    .filter((each) => each.metadata?.ownerReferences?.some((owner) => owner.uid === uid))
    .sort((a, b) => Number(isOver(a)) - Number(isOver(b)) || created(b) - created(a));
  if (newest === undefined)
    return {
      what: `cronjob/${name}`,
      pods: [],
      kin: { selector: undefined, has: () => false },
      none: () => noJobs(name, reader.namespace, workload),
    };
  const { pods, kin } = await own(reader, newest);
  const what = `cronjob/${name} (job/${newest.metadata?.name})`;
  return {
    what,
    pods,
    kin,
    none: () => noJobPods(what, reader.namespace, newest),
    hints: [runNow(name, reader.namespace)],
    workload: {
      kind: "job",
      name: newest.metadata?.name ?? "",
      annotations: newest.metadata?.annotations ?? {},
    },
  };
}

async function service(reader: Reader, name: string): Promise<Found> {
  const what = `service/${name}`;
  const workload = await reader.get<V1Service>("service", name);
  const refusal = serviceWithoutPods(what, reader.namespace, workload);
  if (refusal !== undefined) throw refusal;
  // While a relay pod has its traffic, its pods are still its pods.
  const selector = selectorText({ matchLabels: ownSelector(workload) ?? {} }) ?? "";
  const { pods, agents } = await reader.podsAndAgents(selector);
  const [agent] = agents;
  if (pods.length === 0 && agent !== undefined)
    throw leadsToAgent(what, reader.namespace, agent.metadata?.labels?.[SESSION_LABEL] ?? "?");
  const kin = { selector, has: () => true };
  return { what, pods, kin, none: () => noPodsWithLabels(what, reader.namespace, selector) };
}

async function byLabels(reader: Reader, labels: Readonly<Record<string, string>>): Promise<Found> {
  const selector = selectorText({ matchLabels: labels }) ?? "";
  const pods = await reader.pods(selector);
  const what = `label/${selector}`;
  const kin = { selector, has: () => true };
  return { what, pods, kin, none: () => noPodsWithLabels(what, reader.namespace, selector) };
}
