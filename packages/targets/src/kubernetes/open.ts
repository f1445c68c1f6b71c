import type { Target } from "../api.ts";
import type { ClusterPath } from "../target-path.ts";
import { type ClusterOptions, openCluster } from "./cluster.ts";
import { findTargetPod, type TargetPod } from "./find/target-pod.ts";
import type { AgentImage } from "./place/agent-spec.ts";
import { placeJob } from "./place/job-agent.ts";
import { sessionPurposes } from "./reach/roles.ts";

export interface KubernetesOptions extends ClusterOptions {
  readonly target: ClusterPath;
  readonly agent: AgentImage;
  readonly signal?: AbortSignal | undefined;
}

export interface KubernetesTarget extends Target {
  readonly pod: TargetPod;
  readonly contextName: string;
  /** Closes idle connections to the API server. Remove the agent first. */
  close(): void;
}

/**
 * Finds the target; nothing is made in the cluster before place().
 *
 * @throws UserError for everything that can be wrong with the kubeconfig, the cluster and the target
 */
export async function openKubernetes(options: KubernetesOptions): Promise<KubernetesTarget> {
  const cluster = await openCluster({
    ...options,
    purposes: (namespace) =>
      sessionPurposes(options.target.kind, namespace, options.agent.namespace),
  });
  try {
    const pod = await findTargetPod(cluster, options.target, options.signal);
    return {
      name: pod.path,
      pod,
      volumeMounts: pod.volumeMounts,
      contextName: cluster.contextName,
      place: (agentOptions) => placeJob(cluster.api, pod, options.agent, agentOptions),
      close: () => cluster.close(),
    };
  } catch (error) {
    cluster.close();
    throw error;
  }
}
