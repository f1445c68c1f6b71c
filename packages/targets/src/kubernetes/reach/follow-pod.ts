/** Follows one pod from when it is made, or found, to its end. */
import { setTimeout as delay } from "node:timers/promises";
import type { V1Pod } from "@kubernetes/client-node";
import type { ApiClient } from "./api-client.ts";
import { ApiError, explain, isForbidden, isNotFound } from "./api-errors.ts";
import { readPod } from "./read-pod.ts";

/** Between attempts to reach an API server that went away in the middle of a session. */
const RETRY_MS = [200, 1_000, 5_000, 10_000] as const;

export interface PodObserver {
  onPod(pod: V1Pod): void;
  /** The pod does not exist any more. */
  onDeleted(): void;
}

/**
 * Until the pod is deleted or `signal` is aborted; API servers end every watch after some minutes,
 * and it goes on then.
 *
 * @param query shows this pod and no other
 * @throws UserError when even the first watch is refused
 */
export async function followPod(
  api: ApiClient,
  namespace: string,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
  observer: PodObserver,
): Promise<void> {
  let name: string | undefined;
  let failures = 0;
  let hasWatched = false;
  while (!signal.aborted) {
    try {
      // One that was deleted between two watches would be missed by both.
      if (name !== undefined) await mustExist(api, namespace, name, signal);
      // Without a resource version a watch begins with what is there.
      const events = api.watch<V1Pod>(
        { verb: "watch", group: "", resource: "pods", namespace },
        query,
        signal,
      );
      for await (const { type, object } of events) {
        failures = 0;
        if (type === "BOOKMARK") continue;
        name = object.metadata?.name;
        observer.onPod(object);
        if (type !== "DELETED") continue;
        observer.onDeleted();
        return;
      }
      hasWatched = true;
    } catch (error) {
      if (signal.aborted) return;
      if (name !== undefined && isNotFound(error)) {
        observer.onDeleted();
        return;
      }
      // 410: the watch was too far behind; it begins anew.
      const isRefused = error instanceof ApiError && error.status < 500 && error.status !== 410;
      if (!hasWatched && name === undefined && isRefused) throw explain(error);
      const waitMs = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)];
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }
}

/** @throws ApiError 404; who may only watch cannot ask, and learns of it when the agent does not answer */
async function mustExist(
  api: ApiClient,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  await readPod(api, namespace, name, signal).catch((error: unknown) => {
    if (!isForbidden(error)) throw error;
  });
}
