/** From `pod/NAME[/container/C]` to a running container, or to an error that says why there is none. */
import { posix } from "node:path";
import { nearestFirst, nearestNames, UserError } from "@inpod/protocol";
import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import type { ClusterPath } from "../../target-path.ts";
import type { Cluster } from "../cluster.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { explain, isNotFound } from "../reach/api-errors.ts";
import { chooseContainer } from "./choose-container.ts";

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
  /** Where the container has volumes. */
  readonly volumeMounts: readonly string[];
  /** For people: `pod/orders/container/app`. */
  readonly path: string;
}

/** Enough of an answer to guess what was meant; a list for names must not cost a second. */
const NAMES_LIMIT = "500";
const NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/** @throws UserError POD_NOT_FOUND, NAMESPACE_NOT_FOUND, CONTAINER_NOT_FOUND, TARGET_NOT_RUNNING, and those of the API */
export async function findTargetPod(
  { api, namespace }: Cluster,
  path: ClusterPath,
  signal?: AbortSignal,
): Promise<TargetPod> {
  if (path.kind !== "pod") throw targetNotYet(path.kind);
  const { name } = path;
  let pod: V1Pod;
  try {
    pod = await api.request<V1Pod>(
      { verb: "get", group: "", resource: "pods", namespace, name },
      { signal },
    );
  } catch (error) {
    if (isNotFound(error)) throw await notFound(api, namespace, name, signal);
    throw explain(error);
  }
  return describePod(pod, path.container);
}

const targetNotYet = (kind: string): UserError =>
  new UserError("TARGET_NOT_YET", `${kind} as a target is not supported yet`, {
    hints: ["name one of the pods: --target pod/NAME", "see which there are: kubectl get pods"],
  });

/** Pure. @throws UserError CONTAINER_NOT_FOUND, TARGET_NOT_RUNNING */
export function describePod(pod: V1Pod, named: string | undefined): TargetPod {
  const namespace = pod.metadata?.namespace ?? "";
  const name = pod.metadata?.name ?? "";
  // Init containers that keep running are sidecars: they can be named, but nobody means them.
  const containers = (pod.spec?.containers ?? []).map((each) => each.name);
  const sidecars = (pod.spec?.initContainers ?? [])
    .filter((each) => each.restartPolicy === "Always")
    .map((each) => each.name);
  const known = [...containers, ...sidecars];
  const chosen =
    named === undefined
      ? chooseContainer({ containers, annotations: pod.metadata?.annotations ?? {} })
      : { name: named, why: undefined };
  const container = chosen.name;
  if (container === undefined || !known.includes(container))
    throw containerNotFound(name, container ?? "", known);

  const status = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
  ].find((each) => each.name === container);
  const node = pod.spec?.nodeName;
  const containerId = /:\/\/(.+)$/.exec(status?.containerID ?? "")?.[1];
  const phase = pod.status?.phase ?? "Unknown";
  const isEnding = pod.metadata?.deletionTimestamp !== undefined;
  // Between two lives of a crashing container the pod's network and volumes are there, and that is
  // the best moment to take its place.
  const isBetweenLives = status?.state?.waiting?.reason === "CrashLoopBackOff";
  if (
    phase !== "Running" ||
    isEnding ||
    node === undefined ||
    containerId === undefined ||
    !(status?.state?.running !== undefined || isBetweenLives)
  )
    throw targetNotRunning(pod, container, status);
  return {
    namespace,
    name,
    uid: pod.metadata?.uid ?? "",
    node,
    container,
    containerWhy: chosen.why,
    containerId,
    volumeMounts: [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
      .filter((each) => each.name === container)
      .flatMap((each) => each.volumeMounts ?? [])
      .map(({ mountPath }) => posix.normalize(mountPath).replace(/\/+$/, ""))
      .filter((mountPath) => mountPath.startsWith("/")),
    path: `pod/${name}/container/${container}`,
  };
}

interface NameList {
  readonly items: ReadonlyArray<{ readonly metadata?: { readonly name?: string } }>;
}

/** Rights to list are not needed for anything else: without them the error has no suggestions. */
async function names(
  api: ApiClient,
  resource: "pods" | "namespaces",
  namespace: string | undefined,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  try {
    const list = await api.request<NameList>(
      {
        verb: "list",
        group: "",
        resource,
        ...(namespace === undefined ? {} : { namespace }),
      },
      { query: { limit: NAMES_LIMIT }, accept: NAMES_ONLY, signal },
    );
    return list.items.flatMap(({ metadata }) => metadata?.name ?? []);
  } catch {
    return [];
  }
}

/** The API server says "no such pod" of a namespace that is not there, too. */
async function notFound(
  api: ApiClient,
  namespace: string,
  pod: string,
  signal: AbortSignal | undefined,
): Promise<UserError> {
  const [pods, hasNamespace] = await Promise.all([
    names(api, "pods", namespace, signal),
    api
      .request({ verb: "get", group: "", resource: "namespaces", name: namespace }, { signal })
      .then(
        () => true,
        (error) => !isNotFound(error),
      ),
  ]);
  return hasNamespace
    ? podNotFound(namespace, pod, pods)
    : namespaceNotFound(namespace, await names(api, "namespaces", undefined, signal));
}

const podNotFound = (namespace: string, pod: string, known: readonly string[]): UserError => {
  const near = nearestNames(pod, known);
  return new UserError("POD_NOT_FOUND", `no pod "${pod}" in namespace "${namespace}"`, {
    hints: [
      ...(near.length > 0 ? [`did you mean ${near.map((name) => `pod/${name}`).join(", ")}?`] : []),
      `see what is there: kubectl get pods -n ${namespace}`,
      "look in another namespace: -n NAME",
    ],
  });
};

const namespaceNotFound = (namespace: string, known: readonly string[]): UserError => {
  const near = nearestNames(namespace, known);
  return new UserError("NAMESPACE_NOT_FOUND", `no namespace "${namespace}" in the cluster`, {
    hints: [
      ...(near.length > 0 ? [`did you mean ${near.join(", ")}?`] : []),
      "see which there are: kubectl get namespaces",
    ],
  });
};

const containerNotFound = (pod: string, wanted: string, known: readonly string[]): UserError =>
  new UserError("CONTAINER_NOT_FOUND", `no container "${wanted}" in pod "${pod}"`, {
    hints: [`its containers are: ${nearestFirst(wanted, known).join(", ")}`],
  });

function targetNotRunning(
  pod: V1Pod,
  container: string,
  status: V1ContainerStatus | undefined,
): UserError {
  const { name = "", namespace = "", deletionTimestamp } = pod.metadata ?? {};
  const { waiting, terminated } = status?.state ?? {};
  const phase = pod.status?.phase ?? "Unknown";
  const unscheduled = pod.status?.conditions?.find(
    (each) => each.type === "PodScheduled" && each.status === "False",
  );
  const why =
    deletionTimestamp !== undefined
      ? "the pod is being deleted"
      : terminated !== undefined
        ? `it ended with code ${terminated.exitCode}${terminated.reason ? ` (${terminated.reason})` : ""}`
        : waiting !== undefined
          ? `it waits: ${waiting.reason ?? "unknown"}`
          : unscheduled !== undefined
            ? `the pod has no node: ${unscheduled.reason ?? "unscheduled"}`
            : `the pod's phase is ${phase}`;
  const detail =
    waiting?.message ?? terminated?.message ?? unscheduled?.message ?? pod.status?.message;
  return new UserError(
    "TARGET_NOT_RUNNING",
    `container "${container}" of pod "${name}" is not running: ${why}`,
    {
      hints: [
        `see what became of it: kubectl describe pod ${name} -n ${namespace}`,
        `or what it said: kubectl logs ${name} -c ${container} -n ${namespace}`,
      ],
      ...(detail ? { cause: new Error(detail) } : {}),
    },
  );
}
