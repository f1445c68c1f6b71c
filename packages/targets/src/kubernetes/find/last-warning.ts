/** What the cluster says last about a pod that does not start and whose state has no words for it. */
import type { CoreV1Event, V1Pod } from "@kubernetes/client-node";
import type { ApiClient } from "../reach/api-client.ts";

const MAX_EVENTS = "50";

/** "FailedMount: secret "x" not found"; undefined when there is none, or nobody may ask. */
export async function lastWarning(
  api: ApiClient,
  pod: V1Pod,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const { namespace = "", uid = "" } = pod.metadata ?? {};
  try {
    const { items } = await api.request<{ items: CoreV1Event[] }>(
      { verb: "list", group: "", resource: "events", namespace },
      {
        query: { fieldSelector: `involvedObject.uid=${uid},type=Warning`, limit: MAX_EVENTS },
        signal,
      },
    );
    const last = items.sort((a, b) => when(b) - when(a))[0];
    return last === undefined ? undefined : `${last.reason}: ${last.message}`;
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}

const when = ({ lastTimestamp, eventTime, metadata }: CoreV1Event): number =>
  new Date(lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? 0).getTime() || 0;
