/** One line of the list of targets. Pure. */
import type { V1Pod, V1PodTemplateSpec } from "@kubernetes/client-node";
import type { WorkloadKind } from "../../target-path.ts";
import { isSidecar } from "../find/choose-container.ts";
import { choosePod } from "../find/choose-pod.ts";
import { isPodReady, judgePod } from "../find/judge-pod.ts";
import { serviceWithoutPods } from "../find/no-pods.ts";
import { containerStatus, podContainers } from "../find/pod-containers.ts";
import type { PodIndex, Workload } from "./pod-index.ts";

/** The stable shape of `inpod ls -o json`; docs/targets.md explains it. */
export interface ListedTarget {
  readonly path: string;
  readonly namespace: string;
  readonly kind: "pod" | WorkloadKind;
  readonly name: string;
  /** Of a workload its ready pods, of a pod its ready containers; null: may not be known. */
  readonly ready: number | null;
  readonly wanted: number | null;
  /** Of a pod; null: it has none yet, or it is a workload. */
  readonly node: string | null;
  /** RFC 3339. */
  readonly createdAt: string | null;
  /** null: its pods may not be listed. */
  readonly isUsable: boolean | null;
  /** Why it is not usable. */
  readonly why: string | null;
  readonly containers: readonly ListedContainer[];
}

export interface ListedContainer {
  readonly path: string;
  readonly name: string;
  readonly image: string;
  /** Meant by who names none. */
  readonly isChosen: boolean;
  readonly isSidecar: boolean;
}

export const describePods = (pods: readonly V1Pod[]): ListedTarget[] =>
  pods.map((pod) => {
    const { name = "", namespace = "", creationTimestamp } = pod.metadata ?? {};
    const path = `pod/${name}`;
    const containers = listContainers(path, pod);
    const verdict = judgePod(pod, undefined);
    return {
      path,
      namespace,
      kind: "pod",
      name,
      ready: containers.filter((each) => containerStatus(pod, each.name)?.ready).length,
      wanted: containers.length,
      node: pod.spec?.nodeName ?? null,
      createdAt: (creationTimestamp as unknown as string | undefined) ?? null,
      isUsable: verdict.kind === "usable",
      why: verdict.kind === "unusable" ? verdict.why : null,
      containers,
    };
  });

export function describeWorkload(
  kind: WorkloadKind,
  workload: Workload,
  index: PodIndex,
): ListedTarget {
  const { name, namespace = "", creationTimestamp } = workload.metadata;
  const path = `${kind}/${name}`;
  const pods = index.podsOf(kind, workload);
  const { spec } = workload;
  const never = kind === "service" ? serviceWithoutPods(path, "", workload) : undefined;
  // A rollout with workloadRef, and every service, has no template: its pods show what it consists of.
  const template: V1PodTemplateSpec | undefined =
    spec?.template ?? spec?.jobTemplate?.spec?.template ?? pods?.[0];
  return {
    path,
    namespace,
    kind,
    name,
    ready:
      never !== undefined
        ? null
        : pods === undefined
          ? (workload.status?.readyReplicas ?? null)
          : pods.filter(isPodReady).length,
    wanted: never === undefined ? wantedPods(kind, workload, pods) : null,
    node: null,
    createdAt: creationTimestamp ?? null,
    ...(never === undefined
      ? usability(kind, path, workload, pods)
      : { isUsable: false, why: never.message.replace(`${path} `, "it ") }),
    containers: template === undefined ? [] : listContainers(path, template),
  };
}

function wantedPods(
  kind: WorkloadKind,
  { spec, status }: Workload,
  pods: readonly V1Pod[] | undefined,
): number | null {
  switch (kind) {
    case "deployment":
    case "rollout":
    case "statefulset":
    case "replicaset":
      return spec?.replicas ?? 1;
    case "daemonset":
      return status?.desiredNumberScheduled ?? 0;
    default:
      // Pods that are over are wanted no more.
      return (
        pods?.filter(({ status }) => status?.phase === "Pending" || status?.phase === "Running")
          .length ?? null
      );
  }
}

function usability(
  kind: WorkloadKind,
  path: string,
  workload: Workload,
  pods: readonly V1Pod[] | undefined,
): Pick<ListedTarget, "isUsable" | "why"> {
  if (pods === undefined) return { isUsable: null, why: null };
  const choice = choosePod(pods, undefined, {}, path);
  switch (choice.kind) {
    case "chosen":
      return { isUsable: true, why: null };
    case "none-usable":
      return { isUsable: false, why: choice.unusable[0].verdict.why };
    default:
      return { isUsable: false, why: whyEmpty(kind, workload) };
  }
}

function whyEmpty(kind: WorkloadKind, { spec, status }: Workload): string {
  if (kind === "service") return "no pod has the labels that it selects";
  if (kind === "cronjob") return spec?.suspend ? "it is suspended" : "it has no job yet";
  if (kind === "job") return spec?.suspend ? "it is suspended" : "it has no pod";
  if (spec?.replicas === 0) return "it is scaled to zero";
  if (kind === "daemonset" && status?.desiredNumberScheduled === 0) return "no node is one for it";
  return "it has no pod";
}

function listContainers(path: string, of: V1Pod | V1PodTemplateSpec): ListedContainer[] {
  const { known, chosen } = podContainers(of);
  const all = [...(of.spec?.containers ?? []), ...(of.spec?.initContainers ?? [])];
  return known.map((name) => ({
    path: `${path}/container/${name}`,
    name,
    image: all.find((each) => each.name === name)?.image ?? "",
    isChosen: name === chosen,
    isSidecar:
      isSidecar(name) || !(of.spec?.containers ?? []).some((container) => container.name === name),
  }));
}
