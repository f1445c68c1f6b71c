/** Names of what is in a cluster and nothing else, for a shell's completion. */
import type { V1Pod, V1PodTemplateSpec } from "@kubernetes/client-node";
import type { Cluster } from "../cluster.ts";
import { podContainers } from "../find/pod-containers.ts";
import { listMetadata } from "../reach/list.ts";
import { RESOURCES } from "../reach/roles.ts";
import type { ListedKind } from "./list-targets.ts";

/** Labels that name one revision or one pod: nobody chooses by them. */
const OF_MACHINES =
  /^((rollouts-)?pod-template-hash|controller-revision-hash|pod-template-generation|(batch\.kubernetes\.io\/)?(controller-uid|job-name)|apps\.kubernetes\.io\/pod-index)=/;

/** @throws as ApiClient.request(), here and below */
export async function targetNames(
  { api, namespace }: Cluster,
  kind: ListedKind,
  signal: AbortSignal,
): Promise<string[]> {
  const found = await listMetadata(api, { ...RESOURCES[kind], namespace }, { signal });
  return found
    .filter(({ metadata }) => metadata.labels?.["inpod.dev/session"] === undefined)
    .map(({ metadata }) => metadata.name);
}

export async function namespaceNames({ api }: Cluster, signal: AbortSignal): Promise<string[]> {
  const found = await listMetadata(api, { group: "", resource: "namespaces" }, { signal });
  return found.map(({ metadata }) => metadata.name);
}

/** `app=orders`, each once. */
export async function podLabels(
  { api, namespace }: Cluster,
  signal: AbortSignal,
): Promise<string[]> {
  const found = await listMetadata(api, { ...RESOURCES.pod, namespace }, { signal });
  const labels = found.flatMap(({ metadata }) =>
    Object.entries(metadata.labels ?? {}).map(([key, value]) => `${key}=${value}`),
  );
  return [...new Set(labels)].filter((label) => !OF_MACHINES.test(label)).sort();
}

/** As its spec has them; a service has no spec of containers. */
export async function targetContainers(
  { api, namespace }: Cluster,
  kind: ListedKind,
  name: string,
  signal: AbortSignal,
): Promise<string[]> {
  if (kind === "service") return [];
  const { spec, ...rest } = await api.request<
    V1Pod & {
      spec?: {
        template?: V1PodTemplateSpec;
        jobTemplate?: { spec?: { template?: V1PodTemplateSpec } };
      };
    }
  >({ ...RESOURCES[kind], verb: "get", namespace, name }, { signal });
  const template = spec?.template ?? spec?.jobTemplate?.spec?.template;
  return [...podContainers(template ?? ({ ...rest, spec } as V1Pod)).known];
}
