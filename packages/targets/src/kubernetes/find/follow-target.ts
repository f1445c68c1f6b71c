/** What becomes of a target pod after it was found: its container's next lives, and its end. */
import type { V1Pod } from "@kubernetes/client-node";
import type { TargetObserver } from "../../api.ts";
import type { PodObserver } from "../reach/follow-pod.ts";
import { containerStatus } from "./pod-containers.ts";
import type { TargetPod } from "./target-pod.ts";

/** What becomes of one pod, until it is deleted or the signal is aborted. */
export type PodSource = (observer: PodObserver, signal: AbortSignal) => Promise<void>;

/**
 * Until the pod is gone or `signal` is aborted.
 *
 * @param source of this one pod @throws UserError when the watch is refused
 */
export async function followTarget(
  source: PodSource,
  target: TargetPod,
  observer: TargetObserver,
  signal: AbortSignal,
): Promise<void> {
  const { name } = target;
  const stop = new AbortController();
  const watching = AbortSignal.any([signal, stop.signal]);
  const gone = (why: string): void => {
    if (!watching.aborted) observer.onGone(why);
    stop.abort();
  };
  let known: PodNews = { kind: "runs", containerId: target.containerId };
  const podObserver: PodObserver = {
    onPod: (pod) => {
      const news = podNews(pod, target);
      if (watching.aborted || isSame(news, known)) return;
      known = news;
      switch (news.kind) {
        case "runs":
          observer.onContainer(news.containerId);
          return;
        case "ended": // the agent tells
          return;
        case "waits":
          observer.onWaiting(news.why);
          return;
        case "ends":
          observer.onEnding();
          return;
        case "gone":
          gone(news.why);
      }
    },
    onDeleted: () => gone(`pod/${name} was deleted`),
  };
  await source(podObserver, watching);
}

export type PodNews =
  | { readonly kind: "runs"; readonly containerId: string }
  /** Between two lives: it has just ended, or it waits for its next one. */
  | { readonly kind: "ended" }
  | { readonly kind: "waits"; readonly why: string }
  /** It is being deleted, and may go on for its grace period. */
  | { readonly kind: "ends" }
  | { readonly kind: "gone"; readonly why: string };

/** Pure. What the pod says of its target container now. */
export function podNews(
  pod: V1Pod,
  { name, uid, container }: Pick<TargetPod, "name" | "uid" | "container">,
): PodNews {
  const { phase, reason } = pod.status ?? {};
  if (pod.metadata?.uid !== uid)
    return { kind: "gone", why: `pod/${name} was replaced by another one of this name` };
  if (phase === "Succeeded" || phase === "Failed")
    return { kind: "gone", why: `pod/${name} has ended (${reason ?? phase})` };
  if (pod.metadata.deletionTimestamp !== undefined) return { kind: "ends" };
  const { state, containerID } = containerStatus(pod, container) ?? {};
  const containerId = /:\/\/(.+)$/.exec(containerID ?? "")?.[1];
  if (state?.running !== undefined && containerId !== undefined)
    return { kind: "runs", containerId };
  if (state?.waiting === undefined) return { kind: "ended" };
  return { kind: "waits", why: state.waiting.reason ?? "waiting" };
}

const isSame = (a: PodNews, b: PodNews): boolean => JSON.stringify(a) === JSON.stringify(b);
