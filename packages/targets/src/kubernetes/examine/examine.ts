/**
 * What a session on a target would meet in the cluster, found out without changing anything: objects
 * are read, reviews of one's own rights are answered and not kept, and what is created is created by
 * a dry run. What the answers mean is said elsewhere.
 */
import { UserError } from "@inpod/protocol";
import type {
  V1Namespace,
  V1NetworkPolicy,
  V1Node,
  V1Pod,
  V1RuntimeClass,
} from "@kubernetes/client-node";
import type { ClusterPath } from "../../target-path.ts";
import { type Cluster, type ClusterOptions, openCluster } from "../cluster.ts";
import { findTarget } from "../find/find-target.ts";
import type { TargetPod } from "../find/target-pod.ts";
import { tryAdmission } from "../place/admission.ts";
import { type AgentImage, agentNamespace, agentObjects } from "../place/agent-spec.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { explain, isNotFound } from "../reach/api-errors.ts";
import { type Answer, ask, map } from "./answer.ts";
import { type PolicyFacts, policiesOf } from "./network-policies.ts";
import { type Amounts, type NodeFacts, nodeFacts, requestsOf, takenBy } from "./node-facts.ts";
import { type PodFacts, podFacts } from "./pod-facts.ts";
import { type RightAnswer, tryRights } from "./rights.ts";
import { sessionRights } from "./session-rights.ts";

export interface ExamineOptions extends ClusterOptions {
  /** Undefined: only what does not depend on one. */
  readonly target: ClusterPath | undefined;
  readonly agent: AgentImage;
  readonly isEphemeral: boolean;
  readonly signal: AbortSignal;
}

export interface ClusterFacts {
  readonly contextName: string;
  readonly namespace: string;
  /** "v1.31.2" */
  readonly serverVersion: Answer<string>;
  /** How far this machine's clock is ahead of the API server's, to the second; 0 where it does not say. */
  readonly clockAheadMs: number;
  readonly user: Answer<string>;
  readonly rights: readonly RightAnswer[];
  /** Of the namespace itself; undefined: there is none of that name. */
  readonly namespaceLabels: Answer<Readonly<Record<string, string>> | undefined>;
  /** Undefined: no target was named. */
  readonly target: TargetFacts | undefined;
}

export type TargetFacts =
  | { readonly kind: "not-usable"; readonly error: UserError }
  | {
      readonly kind: "found";
      /** For people. */
      readonly path: string;
      readonly pod: PodFacts;
      readonly policies: Answer<readonly PolicyFacts[]>;
      readonly node: Answer<NodeFacts>;
      /** What the pods on the node ask for. */
      readonly taken: Answer<Amounts>;
      /** Containers' images on that node: by them a network plugin is recognised. */
      readonly nodePods: Answer<readonly NeighbourFacts[]>;
      /** The handler of the pod's RuntimeClass; undefined: it has none. */
      readonly runtimeClass: Answer<string> | undefined;
      readonly agent: AgentOutlook;
    };

/** A pod of the platform on the target's node. */
export interface NeighbourFacts {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface AgentOutlook {
  readonly namespace: string;
  readonly image: string;
  readonly imagePullPolicy: AgentImage["imagePullPolicy"];
  readonly asks: Omit<Amounts, "pods">;
  readonly rungs: readonly RungFacts[];
}

export interface RungFacts {
  readonly rung: string;
  /** Who may not create pods cannot ask. */
  readonly isAsked: boolean;
  readonly refused: UserError | undefined;
}

/** A name that no session has: ids of sessions are random. */
const DRY_RUN_SESSION = "doctor";

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
  { target, agent, isEphemeral, signal }: ExamineOptions,
): Promise<ClusterFacts> {
  const { api, namespace, contextName } = cluster;
  const asked = await ask(api.nonResource("/version", signal));
  const clockAheadMs = Date.now() - api.nowMs();
  const user = await ask(whoAmI(api, signal));
  const wanted = sessionRights({
    kind: target?.kind,
    namespace,
    agentNamespace: agent.namespace,
    isEphemeral,
  });
  const rights: RightAnswer[] = [];
  for (const each of wanted)
    rights.push(...(await tryRights(api, each.namespace, each.rights, signal)));
  const mayCreatePods = rights.some(
    ({ right, isAllowed }) =>
      isAllowed && right.verb === "create" && right.resource === "pods" && !right.subresource,
  );
  const [namespaceLabels, targetFacts] = await Promise.all([
    ask(labelsOf(api, namespace, signal)),
    target === undefined || target.kind === "targetless"
      ? undefined
      : examineTarget(cluster, target, agent, mayCreatePods, signal),
  ]);
  return {
    contextName,
    namespace,
    serverVersion: map(asked, versionIn),
    clockAheadMs,
    user,
    rights,
    namespaceLabels,
    target: targetFacts,
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
async function labelsOf(
  api: ApiClient,
  name: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>> | undefined> {
  try {
    const { metadata } = await api.request<V1Namespace>(
      { verb: "get", group: "", resource: "namespaces", name },
      { signal },
    );
    return metadata?.labels ?? {};
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

async function examineTarget(
  cluster: Cluster,
  path: ClusterPath,
  agent: AgentImage,
  mayCreatePods: boolean,
  signal: AbortSignal,
): Promise<TargetFacts> {
  const { api } = cluster;
  let target: TargetPod;
  try {
    target = (await findTarget(cluster, path, signal)).pod;
  } catch (error) {
    if (error instanceof UserError) return { kind: "not-usable", error };
    throw error;
  }
  const { namespace, name, node } = target;
  const [found, policies, nodeAnswer, neighbours, rungs] = await Promise.all([
    api.request<V1Pod>({ verb: "get", group: "", resource: "pods", namespace, name }, { signal }),
    ask(listPolicies(api, namespace, signal)),
    ask(api.request<V1Node>({ verb: "get", group: "", resource: "nodes", name: node }, { signal })),
    ask(podsOn(api, node, signal)),
    tryRungs(api, target, agent, mayCreatePods, signal),
  ]);
  const pod = podFacts(found, target.container);
  return {
    kind: "found",
    path: target.path,
    pod,
    policies: map(policies, (items) => policiesOf(items, pod.labels)),
    node: map(nodeAnswer, nodeFacts),
    taken: map(neighbours, takenBy),
    nodePods: map(neighbours, (pods) => pods.map(neighbour)),
    runtimeClass:
      pod.runtimeClass === undefined
        ? undefined
        : await runtimeHandler(api, pod.runtimeClass, signal),
    agent: {
      namespace: agentNamespace(target, agent),
      image: agent.image,
      imagePullPolicy: agent.imagePullPolicy,
      asks: requestsOf(agentPod(target, agent)),
      rungs,
    },
  };
}

async function listPolicies(
  api: ApiClient,
  namespace: string,
  signal: AbortSignal,
): Promise<V1NetworkPolicy[]> {
  const { items } = await api.request<{ readonly items: V1NetworkPolicy[] }>(
    { verb: "list", group: "networking.k8s.io", resource: "networkpolicies", namespace },
    { signal },
  );
  return items;
}

/** Of all namespaces; few users may. */
async function podsOn(api: ApiClient, node: string, signal: AbortSignal): Promise<V1Pod[]> {
  const { items } = await api.request<{ readonly items: V1Pod[] }>(
    { verb: "list", group: "", resource: "pods" },
    { query: { fieldSelector: `spec.nodeName=${node}` }, signal },
  );
  return items;
}

const neighbour = ({ metadata }: V1Pod): NeighbourFacts => ({
  name: metadata?.name ?? "",
  namespace: metadata?.namespace ?? "",
  labels: metadata?.labels ?? {},
});

async function runtimeHandler(
  api: ApiClient,
  name: string,
  signal: AbortSignal,
): Promise<Answer<string>> {
  const answer = await ask(
    api.request<V1RuntimeClass>(
      { verb: "get", group: "node.k8s.io", resource: "runtimeclasses", name },
      { signal },
    ),
  );
  return map(answer, ({ handler }) => handler);
}

/** As a session would make it; nobody holds the key. */
const agentPod = (target: TargetPod, agent: AgentImage): V1Pod =>
  agentObjects(
    target,
    agent,
    {
      sessionId: DRY_RUN_SESSION,
      publicKey: "A".repeat(43),
      idleTimeoutMs: 30_000,
      communicationTimeoutMs: 30_000,
    },
    Date.now(),
  ).pod;

async function tryRungs(
  api: ApiClient,
  target: TargetPod,
  agent: AgentImage,
  mayCreatePods: boolean,
  signal: AbortSignal,
): Promise<RungFacts[]> {
  try {
    await tryAdmission(api, agentPod(target, agent), signal);
    return [{ rung: "job", isAsked: mayCreatePods, refused: undefined }];
  } catch (error) {
    if (error instanceof UserError) return [{ rung: "job", isAsked: true, refused: error }];
    throw error;
  }
}
