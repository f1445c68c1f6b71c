/** One pod, for who may get pods and for who may only list them: a workload's pods are found by a list. */
import type { V1Pod } from "@kubernetes/client-node";
import type { ApiClient } from "./api-client.ts";
import { ApiError, isForbidden } from "./api-errors.ts";
import { listAll } from "./list.ts";

/** @throws ApiError: the refusal of the get where neither is allowed, and 404 for a pod that is not there */
export async function readPod(
  api: ApiClient,
  namespace: string,
  name: string,
  signal?: AbortSignal,
): Promise<V1Pod> {
  const pods = { group: "", resource: "pods", namespace } as const;
  const call = { ...pods, verb: "get", name } as const;
  try {
    return await api.request<V1Pod>(call, { signal });
  } catch (error) {
    if (!isForbidden(error)) throw error;
    const [found] = await listAll<V1Pod>(api, pods, {
      fieldSelector: `metadata.name=${name}`,
      signal,
    }).catch((other: unknown) => {
      throw isForbidden(other) ? error : other;
    });
    if (found === undefined) throw new ApiError(call, 404, `pods "${name}" not found`);
    return found;
  }
}
