/** Which of a namespace's pods belong to which workload, from lists that were asked for once. Pure. */
import { ownSelector, type ServiceLike } from "@inpod/protocol";
import type { V1LabelSelector, V1Pod, V1PodTemplateSpec } from "@kubernetes/client-node";
import type { WorkloadKind } from "../../target-path.ts";
import type { Metadata, Owner } from "../reach/list.ts";

/** What is read of workloads of every kind. Of JSON: times are text. */
export interface Workload extends Metadata {
  readonly spec?: {
    readonly replicas?: number;
    readonly suspend?: boolean;
    readonly schedule?: string;
    readonly type?: string;
    readonly externalName?: string;
    /** Of a Service a plain map. */
    readonly selector?: V1LabelSelector | Readonly<Record<string, string>>;
    readonly template?: V1PodTemplateSpec;
    readonly jobTemplate?: { readonly spec?: { readonly template?: V1PodTemplateSpec } };
  };
  readonly status?: {
    readonly desiredNumberScheduled?: number;
    readonly readyReplicas?: number;
  };
}

export interface PodLists {
  /** Undefined, each of them: they may not be listed. */
  readonly pods: readonly V1Pod[] | undefined;
  readonly replicaSets: readonly Metadata[] | undefined;
  readonly jobs: readonly Workload[] | undefined;
}

export class PodIndex {
  readonly #pods: readonly V1Pod[] | undefined;
  readonly #byOwner = new Map<string, V1Pod[]>();
  readonly #byNamespace = new Map<string, V1Pod[]>();
  readonly #setsByOwner: ReadonlyMap<string, readonly Metadata[]>;
  readonly #jobsByOwner: ReadonlyMap<string, readonly Metadata[]>;
  readonly #hasSets: boolean;

  constructor({ pods, replicaSets, jobs }: PodLists) {
    this.#pods = pods;
    this.#hasSets = replicaSets !== undefined;
    this.#setsByOwner = byOwner(replicaSets ?? []);
    this.#jobsByOwner = byOwner(jobs ?? []);
    for (const pod of pods ?? []) {
      const { ownerReferences = [], namespace = "" } = pod.metadata ?? {};
      for (const { uid } of ownerReferences) add(this.#byOwner, uid, pod);
      add(this.#byNamespace, namespace, pod);
    }
  }

  /** Undefined: nobody may know, or it is a service that has none by its nature. */
  podsOf(kind: WorkloadKind, { metadata, spec }: Workload): readonly V1Pod[] | undefined {
    if (this.#pods === undefined) return undefined;
    switch (kind) {
      case "deployment":
      case "rollout":
        if (!this.#hasSets) return undefined;
        return (this.#setsByOwner.get(metadata.uid) ?? []).flatMap(({ metadata: { uid } }) =>
          this.#owned(uid),
        );
      case "cronjob": {
        const [newest] = [...(this.#jobsByOwner.get(metadata.uid) ?? [])].sort((a, b) =>
          (b.metadata.creationTimestamp ?? "").localeCompare(a.metadata.creationTimestamp ?? ""),
        );
        return newest === undefined ? [] : this.#owned(newest.metadata.uid);
      }
      case "service": {
        const wanted = Object.entries(ownSelector({ metadata, spec } as ServiceLike) ?? {});
        if (wanted.length === 0) return [];
        const pods = this.#byNamespace.get(metadata.namespace ?? "") ?? [];
        return pods.filter((pod) =>
          wanted.every(([key, value]) => pod.metadata?.labels?.[key] === value),
        );
      }
      default:
        return this.#owned(metadata.uid);
    }
  }

  #owned(uid: string): readonly V1Pod[] {
    return this.#byOwner.get(uid) ?? [];
  }
}

function byOwner(objects: readonly Metadata[]): Map<string, Metadata[]> {
  const result = new Map<string, Metadata[]>();
  for (const object of objects)
    for (const { uid } of (object.metadata.ownerReferences ?? []) as readonly Owner[])
      add(result, uid, object);
  return result;
}

function add<T>(map: Map<string, T[]>, key: string, value: T): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}
