/** A cluster as one user sees it: where every command that looks into Kubernetes begins. */
import { ApiClient } from "./reach/api-client.ts";
import { type KubeconfigOptions, loadAccess } from "./reach/kubeconfig.ts";
import type { Retry } from "./reach/retry.ts";
import type { Purpose } from "./reach/roles.ts";

export interface ClusterOptions extends KubeconfigOptions {
  /** Undefined: the context's. */
  readonly namespace?: string | undefined;
  /** What will be done, so that a missing right is told together with all the others that it takes. */
  readonly purposes?: ((namespace: string) => readonly Purpose[]) | undefined;
  /** What is done when the API server does not answer; undefined: it is not asked again. */
  readonly retry?: (() => Retry | undefined) | undefined;
}

export interface Cluster {
  readonly api: ApiClient;
  readonly contextName: string;
  readonly namespace: string;
  /** Closes idle connections to the API server; what is under way ends by its own signal. */
  close(): void;
}

/**
 * Asks nothing of the API server yet.
 *
 * @throws UserError KUBECONFIG_NOT_FOUND, KUBECONFIG_INVALID, CONTEXT_NOT_FOUND, CONTEXT_INVALID
 */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const access = await loadAccess(options);
  const namespace = options.namespace ?? access.namespace;
  const api = new ApiClient(access, options.purposes?.(namespace), options.retry);
  return {
    api,
    contextName: access.contextName,
    namespace,
    close: () => api.close(),
  };
}

/** @throws UserError as openCluster() */
export const namespaceOf = async (options: KubeconfigOptions): Promise<string> =>
  (await loadAccess(options)).namespace;
