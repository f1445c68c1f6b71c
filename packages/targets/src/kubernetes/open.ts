import type { Target } from "../api.ts";
import type { ClusterPath } from "../target-path.ts";
import { type ClusterOptions, openCluster } from "./cluster.ts";
import { findTarget } from "./find/find-target.ts";
import type { TargetPod } from "./find/target-pod.ts";
import type { AgentImage } from "./place/agent-spec.ts";
import { placeJob } from "./place/job-agent.ts";
import { sessionPurposes } from "./reach/roles.ts";

export interface KubernetesOptions extends ClusterOptions {
  readonly target: ClusterPath;
  readonly agent: AgentImage;
  readonly signal?: AbortSignal | undefined;
}

export interface KubernetesTarget extends Target {
  /** Whose environment and files are the target's. */
  readonly pod: TargetPod;
  /** All ready pods of the workload, `pod` among them if it is ready. */
  readonly pods: readonly TargetPod[];
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
  const { takeTerminal = () => false } = options;
  // From then on the terminal is the user's program's.
  let isPlaced = false;
  const cluster = await openCluster({
    ...options,
    takeTerminal: () => !isPlaced && takeTerminal(),
    purposes: (namespace) =>
      sessionPurposes(options.target.kind, namespace, options.agent.namespace),
  });
  try {
    const { pod, pods, why } = await findTarget(cluster, options.target, options.signal);
    return {
      name: pod.path,
      why,
      pod,
      pods,
      volumeMounts: pod.volumeMounts,
      contextName: cluster.contextName,
      place: async (agentOptions) => {
        const agent = await placeJob(cluster.api, pod, options.agent, agentOptions);
        isPlaced = true;
        return agent;
      },
      close: () => cluster.close(),
    };
  } catch (error) {
    cluster.close();
    throw error;
  }
}
