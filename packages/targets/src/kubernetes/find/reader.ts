/** The requests by which a workload's pods are found. */
import type { V1Job, V1Pod } from "@kubernetes/client-node";
import type { WorkloadKind } from "../../target-path.ts";
import type { Cluster } from "../cluster.ts";
import { SESSION_LABEL } from "../place/labels.ts";
import { explain, isNotFound } from "../reach/api-errors.ts";
import { listAll, listMetadata, type Metadata } from "../reach/list.ts";
import { RESOURCES } from "../reach/roles.ts";
import { notFound } from "./names.ts";
import type { KnownWorkload } from "./policy.ts";

export class Reader {
  readonly cluster: Cluster;
  readonly signal: AbortSignal | undefined;
  readonly namespace: string;
  #first: KnownWorkload | undefined;

  constructor(cluster: Cluster, signal: AbortSignal | undefined) {
    this.cluster = cluster;
    this.signal = signal;
    this.namespace = cluster.namespace;
  }

  /** The target itself; what it refers to is read after it. */
  get first(): KnownWorkload | undefined {
    return this.#first;
  }

  async get<T>(kind: WorkloadKind, name: string): Promise<T> {
    const { api } = this.cluster;
    const call = { ...RESOURCES[kind], verb: "get", namespace: this.namespace, name } as const;
    try {
      const found = await api.request<T & Metadata>(call, { signal: this.signal });
      this.#first ??= { kind, name, annotations: found.metadata.annotations ?? {} };
      return found;
    } catch (error) {
      if (!isNotFound(error)) throw explain(error);
      throw await notFound(api, kind, this.namespace, name, this.signal, error);
    }
  }

  /** Agents are no targets, whatever their labels are. */
  async pods(labelSelector: string | undefined): Promise<V1Pod[]> {
    return (await this.podsAndAgents(labelSelector)).pods;
  }

  async podsAndAgents(
    labelSelector: string | undefined,
  ): Promise<{ readonly pods: V1Pod[]; readonly agents: V1Pod[] }> {
    const all = await this.#list<V1Pod>("pod", labelSelector);
    const isAgent = ({ metadata }: V1Pod): boolean =>
      metadata?.labels?.[SESSION_LABEL] !== undefined;
    return { pods: all.filter((pod) => !isAgent(pod)), agents: all.filter(isAgent) };
  }

  jobs(): Promise<V1Job[]> {
    return this.#list<V1Job>("job", undefined);
  }

  /** @throws as it comes: what to do without differs */
  replicaSets(labelSelector: string | undefined): Promise<Metadata[]> {
    const call = { ...RESOURCES.replicaset, namespace: this.namespace };
    return listMetadata(this.cluster.api, call, { labelSelector, signal: this.signal });
  }

  async #list<T>(kind: "pod" | "job", labelSelector: string | undefined): Promise<T[]> {
    const call = { ...RESOURCES[kind], namespace: this.namespace };
    try {
      return await listAll<T>(this.cluster.api, call, { labelSelector, signal: this.signal });
    } catch (error) {
      throw explain(error);
    }
  }
}
