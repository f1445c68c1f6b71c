import type { Target } from "../api.ts";
import type { AgentImage } from "./agent-spec.ts";
import { ApiClient } from "./api-client.ts";
import { placeJob } from "./job-agent.ts";
import { type KubeconfigOptions, loadAccess } from "./kubeconfig.ts";
import { parsePodPath } from "./target-path.ts";
import { findTargetPod, type TargetPod } from "./target-pod.ts";

export interface KubernetesOptions extends KubeconfigOptions {
  /** Undefined: the context's. */
  readonly namespace?: string | undefined;
  /** `pod/NAME[/container/C]` */
  readonly target: string;
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
  // What is wrong with the words needs no cluster to tell.
  const path = parsePodPath(options.target);
  const access = await loadAccess(options);
  const api = new ApiClient(access);
  try {
    const namespace = options.namespace ?? access.namespace;
    const pod = await findTargetPod(api, namespace, path, options.signal);
    return {
      name: pod.path,
      pod,
      volumeMounts: pod.volumeMounts,
      contextName: access.contextName,
      place: (agentOptions) => placeJob(api, pod, options.agent, agentOptions),
      close: () => api.close(),
    };
  } catch (error) {
    api.close();
    throw error;
  }
}
