/** The pods of a workload as places for agents that take their traffic. */
import type { PodProbes } from "@inpod/protocol";
import type {
  AgentOptions,
  PlacedAgent,
  Replica,
  Replicas,
  Target,
  TargetPolicy,
} from "../../api.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { judgePod } from "./judge-pod.ts";
import { podProbes } from "./probes.ts";
import { sameTarget } from "./same-target.ts";
import type { TargetPod } from "./target-pod.ts";
import type { WorkloadWatch } from "./workload-watch.ts";

export interface ReplicaParts {
  readonly api: ApiClient;
  readonly watch: WorkloadWatch;
  /** "deployment/orders" */
  readonly of: string;
  /** The container that the user named. */
  readonly container: string | undefined;
  readonly own: () => string;
  readonly policyOf: (pod: TargetPod, signal: AbortSignal) => Promise<TargetPolicy>;
  readonly place: (
    pod: TargetPod,
    policy: TargetPolicy,
    options: AgentOptions,
  ) => Promise<PlacedAgent>;
  readonly audit: (pod: TargetPod) => NonNullable<Target["audit"]>;
}

export function workloadReplicas(parts: ReplicaParts): Replicas {
  const { watch, of, container, own } = parts;
  /** One object for each pod as long as the watch knows it: by them it is told from its successors. */
  const known = new Map<string, PodReplica>();
  return {
    of,
    own,
    listen: (listener) => watch.listen(listener),
    now: () => {
      const seen = watch.pods().flatMap((pod) => {
        const uid = pod.metadata?.uid ?? "";
        const replica = known.get(uid);
        const isEnding = pod.metadata?.deletionTimestamp !== undefined;
        if (isEnding) return replica?.ends() ?? [];
        const verdict = judgePod(pod, container);
        if (verdict.kind !== "usable") return [];
        if (replica !== undefined) return replica.is(verdict.target, verdict.isReady);
        const made = new PodReplica(parts, verdict.target, verdict.isReady);
        known.set(uid, made);
        return made;
      });
      const ids = new Set(seen.map(({ id }) => id));
      for (const id of known.keys()) if (!ids.has(id)) known.delete(id);
      return seen;
    },
  };
}

class PodReplica implements Replica {
  readonly #parts: ReplicaParts;
  #pod: TargetPod;
  #state: Replica["state"];
  #hasPlaced = false;

  constructor(parts: ReplicaParts, pod: TargetPod, isReady: boolean) {
    this.#parts = parts;
    this.#pod = pod;
    this.#state = isReady ? "ready" : "unready";
  }

  get id(): string {
    return this.#pod.uid;
  }

  get name(): string {
    return this.#pod.name;
  }

  get state(): Replica["state"] {
    return this.#state;
  }

  get containerId(): string {
    return this.#pod.containerId;
  }

  is(pod: TargetPod, isReady: boolean): this {
    this.#pod = pod;
    this.#state = isReady ? "ready" : "unready";
    return this;
  }

  ends(): this {
    this.#state = "ending";
    return this;
  }

  probes = (): PodProbes => podProbes(this.#pod.pod);

  policy(signal: AbortSignal): Promise<TargetPolicy> {
    return this.#parts.policyOf(this.#pod, signal);
  }

  async place(options: AgentOptions): Promise<PlacedAgent> {
    // The watch has just told of it; for another agent the pod may be another one of its name.
    const pod = this.#hasPlaced
      ? await sameTarget(this.#parts.api, this.#pod, options.signal)
      : this.#pod;
    const agent = await this.#parts.place(pod, await this.policy(options.signal), options);
    this.#hasPlaced = true;
    return agent;
  }

  audit: Replica["audit"] = (sessionId, onRefused) =>
    this.#parts.audit(this.#pod)(sessionId, onRefused);
}
