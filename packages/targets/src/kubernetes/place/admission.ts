/** Whether a namespace would take the agent's pod, asked by a dry run, and the refusals in words. */
import { UserError } from "@inpod/protocol";
import type { V1Pod } from "@kubernetes/client-node";
import type { ApiClient } from "../reach/api-client.ts";
import { ApiError, explain, isForbidden, isNotFound } from "../reach/api-errors.ts";

/**
 * Of the pod and not of the Job: admission looks at pods, and a Job whose pods are all refused is
 * accepted, with and without dry run.
 *
 * @throws UserError POD_SECURITY, QUOTA, NAMESPACE_NOT_FOUND, REFUSED and those of the API
 */
export async function tryAdmission(api: ApiClient, pod: V1Pod, signal: AbortSignal): Promise<void> {
  const { namespace = "" } = pod.metadata ?? {};
  try {
    await api.request(
      { verb: "create", group: "", resource: "pods", namespace },
      { query: { dryRun: "All" }, body: pod, signal },
    );
  } catch (error) {
    // Who may create Jobs only cannot ask; the Job's events will tell.
    if (isForbidden(error)) return;
    throw explainAdmission(error, namespace);
  }
}

export function explainAdmission(error: unknown, namespace: string): unknown {
  if (!(error instanceof ApiError) || isForbidden(error)) return explain(error);
  if (isNotFound(error) && error.call.subresource === undefined)
    return agentNamespaceNotFound(namespace, error);
  if (error.status !== 403) return explain(error);
  const security = /violates PodSecurity "([a-z]+):[^"]*": (.*)$/s.exec(error.message);
  if (security) return podSecurity(namespace, security[1] ?? "", security[2] ?? "");
  if (/exceeded quota|failed quota/.test(error.message)) return quota(namespace, error);
  return explain(error);
}

const podSecurity = (namespace: string, level: string, violations: string): UserError =>
  new UserError(
    "POD_SECURITY",
    `namespace "${namespace}" enforces the Pod Security level "${level}"`,
    {
      cause: new Error(`which forbids what the agent needs: ${violations}`),
      hints: [
        'let the agent run in a namespace that takes it: {"agent": {"namespace": "…"}} in the configuration',
        `or have an admin allow it here: kubectl label namespace ${namespace} pod-security.kubernetes.io/enforce=privileged --overwrite`,
      ],
    },
  );

const quota = (namespace: string, cause: ApiError): UserError =>
  new UserError("QUOTA", `the quota of namespace "${namespace}" leaves no room for the agent`, {
    hints: [`see what is used: kubectl describe quota -n ${namespace}`],
    cause,
  });

const agentNamespaceNotFound = (namespace: string, cause: ApiError): UserError =>
  new UserError("NAMESPACE_NOT_FOUND", `no namespace "${namespace}" for the agent`, {
    hints: ["see which there are: kubectl get namespaces"],
    cause,
  });
