/** From the words of a target to one running container, or to an error that says why there is none. */
import { UserError } from "@inpod/protocol";
import type { V1Pod } from "@kubernetes/client-node";
import type { PodPath } from "../../target-path.ts";
import type { Cluster } from "../cluster.ts";
import { explain, isNotFound } from "../reach/api-errors.ts";
import { type Choice, choosePod } from "./choose-pod.ts";
import { judgePod, type PodVerdict } from "./judge-pod.ts";
import { lastWarning } from "./last-warning.ts";
import { checkNamespace, notFound } from "./names.ts";
import type { KnownWorkload } from "./policy.ts";
import { containerNotFound, podNotRunning, type TargetPod } from "./target-pod.ts";
import { type PodKin, type WorkloadPath, workloadPods } from "./workload-pods.ts";

export interface FoundTarget {
  /** The pod for environment and files. */
  readonly pod: TargetPod;
  /** All of the workload's that are ready, `pod` first if it is; of a pod by name itself, ready or not. */
  readonly pods: readonly TargetPod[];
  /** "pod/orders-7d4f: the newest of the 3 ready pods of deployment/orders; container app: the only container" */
  readonly why: string;
  /** What was read to find it. */
  readonly workload?: KnownWorkload | undefined;
  /** Undefined: it is a pod by name. */
  readonly kin?: PodKin;
}

/** Names of the pods that a session on this target could be beside; of a pod by name its own, whether it is there or not. @throws as findTarget */
export async function podsOfTarget(
  cluster: Cluster,
  path: PodPath,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  if (path.kind === "pod") return [path.name];
  const { pod, pods } = await findTarget(cluster, path, signal);
  return [...new Set([pod, ...pods].map(({ name }) => name))];
}

/**
 * @throws UserError POD_NOT_FOUND, TARGET_NOT_FOUND, NAMESPACE_NOT_FOUND, CONTAINER_NOT_FOUND,
 * TARGET_NOT_RUNNING, TARGET_SCALED_TO_ZERO, TARGET_HAS_NO_PODS, and those of the API
 */
export async function findTarget(
  cluster: Cluster,
  path: PodPath,
  signal?: AbortSignal,
): Promise<FoundTarget> {
  switch (path.kind) {
    case "pod":
      return findPod(cluster, path.name, path.container, signal);
    default:
      return findWorkload(cluster, path, signal);
  }
}

async function findPod(
  { api, namespace }: Cluster,
  name: string,
  container: string | undefined,
  signal: AbortSignal | undefined,
): Promise<FoundTarget> {
  let pod: V1Pod;
  try {
    pod = await api.request<V1Pod>(
      { verb: "get", group: "", resource: "pods", namespace, name },
      { signal },
    );
  } catch (error) {
    if (isNotFound(error)) throw await notFound(api, "pod", namespace, name, signal, error);
    throw explain(error);
  }
  const verdict = judgePod(pod, container);
  switch (verdict.kind) {
    case "usable":
      return { pod: verdict.target, pods: [verdict.target], why: told(verdict.target, undefined) };
    case "no-container":
      throw containerNotFound(`pod "${name}"`, container ?? "", verdict.known);
    case "unusable":
      throw podNotRunning(name, await withEvents(api, pod, verdict, signal));
  }
}

async function findWorkload(
  cluster: Cluster,
  path: WorkloadPath,
  signal: AbortSignal | undefined,
): Promise<FoundTarget> {
  const { api, namespace } = cluster;
  const { what, pods, kin, order, none, hints, workload } = await workloadPods(
    cluster,
    path,
    signal,
  );
  const choice = choosePod(pods, path.container, order, what);
  switch (choice.kind) {
    case "chosen":
      return {
        pod: choice.target,
        pods: choice.ready,
        why: told(choice.target, choice.why),
        workload,
        kin,
      };
    case "no-container":
      throw containerNotFound(what, path.container ?? "", choice.known);
    case "empty":
      // Lists of a namespace that is not there are empty.
      if (path.kind === "label") await checkNamespace({ api, namespace }, signal);
      throw none();
    case "none-usable": {
      const [first] = choice.unusable;
      const verdict = await withEvents(api, first.pod, first.verdict, signal);
      throw noneRuns(what, choice, { ...verdict, hints: [...hints, ...verdict.hints] });
    }
  }
}

const told = (pod: TargetPod, why: string | undefined): string =>
  [
    why === undefined ? `pod/${pod.name}` : `pod/${pod.name}: ${why}`,
    ...(pod.containerWhy === undefined ? [] : [`container ${pod.container}: ${pod.containerWhy}`]),
  ].join("; ");

type Unusable = PodVerdict & { kind: "unusable" };

async function withEvents(
  api: Cluster["api"],
  pod: V1Pod,
  verdict: Unusable,
  signal: AbortSignal | undefined,
): Promise<Unusable> {
  if (verdict.detail !== undefined || verdict.isEnding || pod.status?.phase !== "Pending")
    return verdict;
  return { ...verdict, detail: await lastWarning(api, pod, signal) };
}

function noneRuns(
  what: string,
  { unusable }: Choice & { kind: "none-usable" },
  { container, why, detail, hints }: Unusable,
): UserError {
  const more = unusable.length - 1;
  const name = unusable[0].pod.metadata?.name;
  return new UserError(
    "TARGET_NOT_RUNNING",
    `no pod of ${what} runs: container "${container}" of pod "${name}"${
      more === 0 ? "" : `, for one of ${more + 1},`
    } is not running: ${why}`,
    { hints, ...(detail === undefined ? {} : { cause: new Error(detail) }) },
  );
}
