/** Whether a pod can be a target as it is now, and if not, why and what to do. Pure. */
import { posix } from "node:path";
import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import { containerStatus, podContainers } from "./pod-containers.ts";
import { policyPlaces } from "./policy.ts";
import type { TargetPod } from "./target-pod.ts";

export type PodVerdict =
  | {
      readonly kind: "usable";
      readonly target: TargetPod;
      /** As Services see it: all its containers are. */
      readonly isReady: boolean;
      /** Else its container is between two lives. */
      readonly isRunning: boolean;
    }
  | {
      readonly kind: "unusable";
      readonly container: string;
      /** Continues "container … is not running: ". */
      readonly why: string;
      /** The cluster's own words; undefined where only events have some. */
      readonly detail: string | undefined;
      readonly hints: readonly string[];
      readonly isEnding: boolean;
    }
  | { readonly kind: "no-container"; readonly known: readonly string[] };

/** @param named the container that the user named */
export function judgePod(pod: V1Pod, named: string | undefined): PodVerdict {
  const containers = podContainers(pod);
  const container = named ?? containers.chosen;
  if (container === undefined || !containers.known.includes(container))
    return { kind: "no-container", known: containers.known };
  const { namespace = "", name = "", uid = "", deletionTimestamp } = pod.metadata ?? {};
  const status = containerStatus(pod, container);
  const node = pod.spec?.nodeName;
  const containerId = /:\/\/(.+)$/.exec(status?.containerID ?? "")?.[1];
  const isRunning = status?.state?.running !== undefined;
  if (
    pod.status?.phase !== "Running" ||
    deletionTimestamp !== undefined ||
    node === undefined ||
    containerId === undefined ||
    !(isRunning || isBetweenLives(status))
  )
    return unusable(pod, container, status);
  return {
    kind: "usable",
    isReady: isPodReady(pod),
    isRunning,
    target: {
      namespace,
      name,
      uid,
      node,
      container,
      containerWhy: named === undefined ? containers.why : undefined,
      containerId,
      isRunning,
      volumeMounts: volumeMounts(pod, container),
      policyPlaces: policyPlaces(pod),
      path: `pod/${name}/container/${container}`,
      pod,
    },
  };
}

export const isPodReady = (pod: V1Pod): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ??
  false;

/**
 * The pod's network and volumes are there while a container of a pod that runs does not: it is about
 * to be started again, and that is the best moment to take its place; or it has ended for good and
 * another container keeps the pod.
 */
const isBetweenLives = (status: V1ContainerStatus | undefined): boolean =>
  status?.state?.waiting?.reason === "CrashLoopBackOff" || status?.state?.terminated !== undefined;

const volumeMounts = (pod: V1Pod, container: string): string[] =>
  [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
    .filter((each) => each.name === container)
    .flatMap((each) => each.volumeMounts ?? [])
    .map(({ mountPath }) => posix.normalize(mountPath).replace(/\/+$/, ""))
    .filter((mountPath) => mountPath.startsWith("/"));

function unusable(
  pod: V1Pod,
  container: string,
  status: V1ContainerStatus | undefined,
): PodVerdict & { kind: "unusable" } {
  const { name = "", namespace = "", deletionTimestamp } = pod.metadata ?? {};
  const phase = pod.status?.phase ?? "Unknown";
  const { waiting, terminated } = status?.state ?? {};
  const unscheduled = pod.status?.conditions?.find(
    (each) => each.type === "PodScheduled" && each.status === "False",
  );
  const words = (why: string, detail?: string, hints: readonly string[] = [look]) => ({
    kind: "unusable" as const,
    container,
    why,
    detail: detail || undefined,
    hints,
    isEnding: deletionTimestamp !== undefined,
  });
  const look = `see what became of it: kubectl describe pod ${name} -n ${namespace}`;
  const logs = `or what it said: kubectl logs ${name} -c ${container} -n ${namespace}`;

  if (deletionTimestamp !== undefined) return words("the pod is being deleted");
  if (terminated !== undefined || phase === "Succeeded" || phase === "Failed") {
    const { exitCode, reason, message } = terminated ?? {};
    const why =
      exitCode === undefined
        ? `the pod has ended${pod.status?.reason ? ` (${pod.status.reason})` : ""}`
        : `it ended with code ${exitCode}${reason ? ` (${reason})` : ""}`;
    return words(
      `${why}, and a pod that is over has no network and no files any more`,
      message ?? pod.status?.message,
      [...againHints(pod, container), ...WITHOUT, look, logs],
    );
  }
  if (unscheduled !== undefined)
    return words(
      `the pod has no node yet: ${unscheduled.reason ?? "unscheduled"}`,
      unscheduled.message,
    );
  const init = unfinishedInit(pod);
  if (init !== undefined) {
    const initLogs = `or what that one says: kubectl logs ${name} -c ${init.name} -n ${namespace}`;
    return words(init.why, init.detail, [look, initLogs]);
  }
  if (waiting !== undefined)
    return words(`it waits: ${waiting.reason ?? "unknown"}`, waiting.message, [look, logs]);
  return words(`the pod's phase is ${phase}`, pod.status?.message);
}

const WITHOUT = ["or do without its environment and files: --target targetless"];

/** What works instead of a pod that is over. */
function againHints(pod: V1Pod, container: string): string[] {
  const { name = "", namespace = "", ownerReferences = [] } = pod.metadata ?? {};
  const controller = ownerReferences.find((each) => each.controller)?.kind;
  if (controller !== undefined && controller !== "Job") return []; // which makes another by itself
  const copy = `${name.slice(0, 50)}-inpod`;
  return [
    `make a copy of it that stays, and name that: kubectl debug ${name} -n ${namespace} --copy-to=${copy} --container=${container} -- sleep 3600`,
  ];
}

/** The first init container that keeps the others from starting. */
function unfinishedInit(
  pod: V1Pod,
): { name: string; why: string; detail: string | undefined } | undefined {
  if (pod.status?.phase !== "Pending") return undefined;
  for (const { name, state, started } of pod.status.initContainerStatuses ?? []) {
    const { waiting, terminated, running } = state ?? {};
    const isSidecar = pod.spec?.initContainers?.some(
      (each) => each.name === name && each.restartPolicy === "Always",
    );
    if (terminated?.exitCode === 0 || (isSidecar && started)) continue;
    // PodInitializing: it has not had its turn, which the one before it would have told.
    const why =
      terminated !== undefined
        ? `failed with code ${terminated.exitCode}`
        : waiting !== undefined
          ? `waits: ${waiting.reason ?? "unknown"}`
          : running !== undefined
            ? "still runs"
            : "has not started";
    return {
      name,
      why: `its init container "${name}" ${why}`,
      detail: terminated?.message ?? waiting?.message,
    };
  }
  return undefined;
}
