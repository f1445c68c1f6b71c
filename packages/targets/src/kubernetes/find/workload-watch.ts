/** A workload's pods over time, by one watch that all who follow one of them share. */
import { setTimeout as delay } from "node:timers/promises";
import type { V1Pod } from "@kubernetes/client-node";
import type { ApiClient } from "../reach/api-client.ts";
import { ApiError, explain } from "../reach/api-errors.ts";
import type { PodObserver } from "../reach/follow-pod.ts";
import { listVersioned } from "../reach/list.ts";
import type { PodKin } from "./workload-pods.ts";

/** Between attempts to reach an API server that went away in the middle of a session. */
const RETRY_MS = [200, 1_000, 5_000, 10_000] as const;
const SESSION_LABEL = "inpod.dev/session";

export class WorkloadWatch {
  readonly #api: ApiClient;
  readonly #namespace: string;
  #kin: PodKin;
  /** By uid, oldest acquaintance first. */
  readonly #pods = new Map<string, V1Pod>();
  readonly #listeners = new Set<() => void>();
  /** Ends the watch of now: another selector counts. */
  #again = new AbortController();

  /** @param pods as they were found, in the order in which they are chosen */
  constructor(api: ApiClient, namespace: string, kin: PodKin, pods: readonly V1Pod[]) {
    this.#api = api;
    this.#namespace = namespace;
    this.#kin = kin;
    for (const pod of pods) this.#pods.set(uidOf(pod), pod);
  }

  /** As last known. */
  pods(): readonly V1Pod[] {
    return [...this.#pods.values()];
  }

  /** The workload was read again, and may be another one of its name. */
  is(kin: PodKin): void {
    const isSame = kin.selector === this.#kin.selector;
    this.#kin = kin;
    if (!isSame) this.#again.abort();
  }

  /** After every change. @returns to be called when nobody listens any more */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What becomes of the pod of this name, as followPod() tells it; run() is somebody else's. */
  one(name: string, observer: PodObserver, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      let last: V1Pod | undefined;
      const look = (): void => {
        const pod = this.pods().findLast(({ metadata }) => metadata?.name === name);
        if (pod === last && pod !== undefined) return;
        last = pod;
        if (pod === undefined) {
          end();
          observer.onDeleted();
        } else observer.onPod(pod);
      };
      const stop = this.listen(look);
      const end = (): void => {
        stop();
        signal.removeEventListener("abort", end);
        resolve();
      };
      signal.addEventListener("abort", end, { once: true });
      if (signal.aborted) end();
      else look();
    });
  }

  /**
   * Until `signal` is aborted: a list, and a watch from there on; API servers end every watch after some minutes, and
   * it begins anew.
   * @throws UserError when even the first is refused
   */
  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    let hasWatched = false;
    while (!signal.aborted) {
      try {
        for await (const isOpen of this.#watch(signal)) {
          failures = 0;
          hasWatched ||= isOpen;
        }
        hasWatched = true;
      } catch (error) {
        if (signal.aborted) return;
        // 410: the watch was too far behind.
        const isRefused = error instanceof ApiError && error.status < 500 && error.status !== 410;
        if (!hasWatched && isRefused) throw explain(error);
        const waitMs = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)];
        await delay(waitMs, undefined, { signal, ref: false }).catch(() => {});
      }
    }
  }

  /** Yields after each thing that it was told. */
  async *#watch(signal: AbortSignal): AsyncGenerator<boolean> {
    const { selector } = this.#kin;
    this.#again = new AbortController();
    const until = AbortSignal.any([signal, this.#again.signal]);
    const call = { group: "", resource: "pods", namespace: this.#namespace } as const;
    const { items, resourceVersion } = await listVersioned<V1Pod>(this.#api, call, {
      labelSelector: selector,
      signal: until,
    });
    this.#all(items);
    const events = this.#api.watch<V1Pod>(
      { verb: "watch", ...call },
      {
        ...(selector === undefined ? {} : { labelSelector: selector }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      until,
    );
    for await (const { type, object } of events) {
      if (type !== "BOOKMARK") this.#see(object, type === "DELETED");
      yield true;
    }
  }

  #all(items: readonly V1Pod[]): void {
    const now = new Set(items.map(uidOf));
    for (const uid of this.#pods.keys()) if (!now.has(uid)) this.#pods.delete(uid);
    for (const pod of items) this.#put(pod);
    this.#tell();
  }

  #see(pod: V1Pod, isDeleted: boolean): void {
    if (isDeleted) this.#pods.delete(uidOf(pod));
    else this.#put(pod);
    this.#tell();
  }

  #put(pod: V1Pod): void {
    // An agent of ours may have the labels of its target.
    if (pod.metadata?.labels?.[SESSION_LABEL] === undefined && this.#kin.has(pod))
      this.#pods.set(uidOf(pod), pod);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

const uidOf = ({ metadata }: V1Pod): string => metadata?.uid ?? "";
