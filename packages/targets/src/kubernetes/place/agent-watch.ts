/** Follows the agent's pod, and the events about it while it starts. */
import { setTimeout as delay } from "node:timers/promises";
import type { CoreV1Event, V1Pod } from "@kubernetes/client-node";
import type { ApiClient } from "../reach/api-client.ts";
import { ApiError, explain, isNotFound } from "../reach/api-errors.ts";

/** Between attempts to reach an API server that went away in the middle of a session. */
const RETRY_MS = [200, 1_000, 5_000, 10_000] as const;

export interface ObjectRef {
  readonly kind: "Job" | "Pod";
  readonly name: string;
}

export interface AgentPodObserver {
  onPod(pod: V1Pod): void;
  /** The pod does not exist any more. */
  onDeleted(): void;
}

/**
 * Until the pod is deleted or `signal` is aborted; API servers end every watch after some minutes,
 * and it goes on then.
 *
 * @param query shows its pod and no other
 * @throws UserError when even the first watch is refused
 */
export async function followAgentPod(
  api: ApiClient,
  namespace: string,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
  observer: AgentPodObserver,
): Promise<void> {
  let name: string | undefined;
  let failures = 0;
  let hasWatched = false;
  while (!signal.aborted) {
    try {
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
      if (name !== undefined && !signal.aborted) await mustExist(api, namespace, name, signal);
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

/** A pod that was deleted between two watches would be missed by both. */
const mustExist = (api: ApiClient, namespace: string, name: string, signal: AbortSignal) =>
  api.request({ verb: "get", group: "", resource: "pods", namespace, name }, { signal });

/** Those about one object. They make errors better and start-up faster, so refusals are no errors. */
export async function followEvents(
  api: ApiClient,
  namespace: string,
  about: ObjectRef,
  signal: AbortSignal,
  onEvent: (event: CoreV1Event) => void,
): Promise<void> {
  try {
    const events = api.watch<CoreV1Event>(
      { verb: "watch", group: "", resource: "events", namespace },
      { fieldSelector: `involvedObject.kind=${about.kind},involvedObject.name=${about.name}` },
      signal,
    );
    for await (const { type, object } of events) if (type !== "DELETED") onEvent(object);
  } catch {
    // The pod's status says the same, later and in fewer words.
  }
}
