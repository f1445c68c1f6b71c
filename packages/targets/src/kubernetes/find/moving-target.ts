/** A target over time: when the pod of a workload goes, the session can go on in the workload's next one. */
import { UserError } from "@inpod/protocol";
import type { TargetObserver } from "../../api.ts";
import type { PodPath } from "../../target-path.ts";
import type { Cluster } from "../cluster.ts";
import { followPod } from "../reach/follow-pod.ts";
import { findTarget } from "./find-target.ts";
import { followTarget, type PodSource } from "./follow-target.ts";
import { sameTarget } from "./same-target.ts";
import type { TargetPod } from "./target-pod.ts";
import type { WorkloadWatch } from "./workload-watch.ts";

/** Whose pods are followed by others that do the same work. A job's next pod begins its work anew. */
export const GOES_ON: ReadonlySet<PodPath["kind"]> = new Set<PodPath["kind"]>([
  "deployment",
  "statefulset",
  "daemonset",
  "replicaset",
  "rollout",
  "service",
  "label",
]);

export class MovingTarget {
  readonly #cluster: Cluster;
  readonly #path: PodPath;
  #pod: TargetPod;
  /** Undefined: each pod is followed by a watch of its own. */
  readonly #watch: WorkloadWatch | undefined;
  /** Its end has begun, or has been; told once, since a pod that is deleted after its end was asked for is no news. */
  #isLeft = false;
  #observer: TargetObserver | undefined;
  #onMoved: () => void = () => {};

  /** @param watch of all pods of the workload; follow() is what runs it */
  constructor(cluster: Cluster, path: PodPath, pod: TargetPod, watch?: WorkloadWatch) {
    this.#cluster = cluster;
    this.#path = path;
    this.#pod = pod;
    this.#watch = watch;
  }

  get pod(): TargetPod {
    return this.#pod;
  }

  /**
   * As it is now, for another agent: the pod of before, or the workload's next one.
   * @param prefers the uids of ready pods to which it rather moves
   * @throws UserError TARGET_GONE, TARGET_NOT_RUNNING, those of findTarget(), and those of the API
   */
  async now(
    signal: AbortSignal,
    prefers: (uid: string) => boolean = () => false,
  ): Promise<TargetPod> {
    if (!this.#isLeft) {
      try {
        return await sameTarget(this.#cluster.api, this.#pod, signal);
      } catch (error) {
        const isGone = error instanceof UserError && error.code === "TARGET_GONE";
        if (!isGone || !GOES_ON.has(this.#path.kind)) throw error;
        this.#leave(error.message); // the watch has not told yet
      }
    }
    const { pod, pods, kin } = await findTarget(this.#cluster, this.#path, signal);
    if (kin !== undefined) this.#watch?.is(kin);
    return pods.find(({ uid }) => prefers(uid)) ?? pod;
  }

  /** An agent is beside it: this is the pod to be followed. */
  settle(pod: TargetPod): void {
    if (pod.uid === this.#pod.uid) return;
    this.#pod = pod;
    this.#isLeft = false;
    this.#onMoved();
  }

  #leave(why: string, goesOn = false): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    this.#observer?.onMoving(`${why}: on to the next pod of ${wordsOf(this.#path)}`, goesOn);
  }

  /** @throws UserError when the watch is refused */
  async follow(observer: TargetObserver, signal: AbortSignal): Promise<void> {
    if (!GOES_ON.has(this.#path.kind))
      return followTarget(this.#source(), this.#pod, observer, signal);
    this.#observer = observer;
    await Promise.race([this.#followMoves(observer, signal), this.#watch?.run(signal) ?? never]);
  }

  /** Of the pod of now. */
  #source(): PodSource {
    const { namespace, name } = this.#pod;
    const watch = this.#watch;
    if (watch !== undefined) return (observer, signal) => watch.one(name, observer, signal);
    const query = { fieldSelector: `metadata.name=${name}` };
    return (observer, signal) => followPod(this.#cluster.api, namespace, query, signal, observer);
  }

  async #followMoves(observer: TargetObserver, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const stop = new AbortController();
      const moved = new Promise<void>((resolve) => {
        this.#onMoved = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      void moved.then(() => stop.abort());
      const { name } = this.#pod;
      await followTarget(
        this.#source(),
        this.#pod,
        {
          onContainer: (id) => observer.onContainer(id),
          onWaiting: (why) => observer.onWaiting(why),
          onEnding: () => this.#leave(`pod/${name} is being deleted`, true),
          onGone: (why) => this.#leave(why),
          onMoving: () => {},
        },
        AbortSignal.any([signal, stop.signal]),
      );
      await moved;
    }
  }
}

const never = new Promise<never>(() => {});

export const wordsOf = (path: PodPath): string =>
  path.kind === "label"
    ? `label/${Object.entries(path.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(",")}`
    : `${path.kind}/${path.name}`;
