import type { V1Namespace } from "@kubernetes/client-node";
import { type Cluster, openCluster } from "../cluster.ts";
import type { AgentPlacement } from "../place/placement.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { explain, isNotFound } from "../reach/api-errors.ts";
import { ask, map } from "./answer.ts";
import { examineTarget } from "./examine-target.ts";
import type { AgentOutlook, ClusterFacts, ExamineOptions, NamespaceFacts } from "./facts.ts";
import { requestsOf } from "./node-facts.ts";
import { type RightAnswer, tryRights } from "./rights.ts";
import { targetlessPod, tryTargetless } from "./rungs.ts";
import { sessionRights } from "./session-rights.ts";

/**
 * @throws UserError KUBECONFIG_*, CONTEXT_*, LOGIN_FAILED, UNAUTHORIZED, API_SERVER_*: there is no
 * cluster to ask
 */
export async function examineCluster(options: ExamineOptions): Promise<ClusterFacts> {
  const cluster = await openCluster(options);
  try {
    return await examine(cluster, options);
  } catch (error) {
    throw explain(error);
  } finally {
    cluster.close();
  }
}

async function examine(
  cluster: Cluster,
  { target, agent, readsCertificates, signal }: ExamineOptions,
): Promise<ClusterFacts> {
  const { api, namespace, contextName } = cluster;
  const asked = await ask(api.nonResource("/version", signal));
  const clockAheadMs = Date.now() - api.nowMs();
  const user = await ask(whoAmI(api, signal));
  const wanted = sessionRights({
    kind: target?.kind,
    namespace,
    agentNamespace: agent.namespace,
    isEphemeral: agent.ephemeral === true,
    readsCertificates,
  });
  const rights: RightAnswer[] = [];
  for (const each of wanted)
    rights.push(...(await tryRights(api, each.namespace, each.rights, signal)));
  const isTargetless = target?.kind === "targetless";
  const [namespaceFacts, targetFacts, targetless] = await Promise.all([
    ask(namespaceNamed(api, namespace, signal)),
    target === undefined || target.kind === "targetless"
      ? undefined
      : examineTarget(cluster, target, agent, rights, signal),
    isTargetless ? examineTargetless(cluster, agent, rights, signal) : undefined,
  ]);
  return {
    contextName,
    namespace,
    serverVersion: map(asked, versionIn),
    clockAheadMs,
    user,
    rights,
    namespaceFacts,
    target: targetFacts,
    targetless,
  };
}

async function examineTargetless(
  { api, namespace: own }: Cluster,
  agent: AgentPlacement,
  rights: readonly RightAnswer[],
  signal: AbortSignal,
): Promise<AgentOutlook> {
  const namespace = agent.namespace ?? own;
  const pod = targetlessPod(namespace, agent);
  return {
    namespace,
    image: agent.image,
    imagePullPolicy: agent.imagePullPolicy,
    asks: requestsOf(pod),
    rungs: await tryTargetless({ api, agent, rights, signal }, pod),
  };
}

function versionIn(text: string): string {
  try {
    return String((JSON.parse(text) as { gitVersion?: unknown }).gitVersion ?? "");
  } catch {
    return "";
  }
}

interface SelfReview {
  readonly status?: { readonly userInfo?: { readonly username?: string } };
}

async function whoAmI(api: ApiClient, signal: AbortSignal): Promise<string> {
  const { status } = await api.request<SelfReview>(
    { verb: "create", group: "authentication.k8s.io", resource: "selfsubjectreviews" },
    {
      body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" },
      signal,
    },
  );
  return status?.userInfo?.username ?? "";
}

/** Undefined: there is no such namespace. */
async function namespaceNamed(
  api: ApiClient,
  name: string,
  signal: AbortSignal,
): Promise<NamespaceFacts | undefined> {
  try {
    const { metadata } = await api.request<V1Namespace>(
      { verb: "get", group: "", resource: "namespaces", name },
      { signal },
    );
    return { labels: metadata?.labels ?? {} };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
