/** The target, its node, and whether an agent would be let in beside it. */
import { UserError } from "@inpod/protocol";
import type { V1NetworkPolicy, V1Node, V1Pod, V1RuntimeClass } from "@kubernetes/client-node";
import type { PodPath } from "../../target-path.ts";
import type { Cluster } from "../cluster.ts";
import { type FoundTarget, findTarget } from "../find/find-target.ts";
import { targetPolicy } from "../find/policy.ts";
import { agentNamespace } from "../place/job-spec.ts";
import type { AgentPlacement } from "../place/placement.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { readPod } from "../reach/read-pod.ts";
import { type Answer, ask, map } from "./answer.ts";
import type { NeighbourFacts, TargetFacts } from "./facts.ts";
import { policiesOf } from "./network-policies.ts";
import { nodeFacts, requestsOf, takenBy } from "./node-facts.ts";
import { podFacts } from "./pod-facts.ts";
import type { RightAnswer } from "./rights.ts";
import { agentPod, tryRungs } from "./rungs.ts";

export async function examineTarget(
  cluster: Cluster,
  path: PodPath,
  agent: AgentPlacement,
  rights: readonly RightAnswer[],
  signal: AbortSignal,
): Promise<TargetFacts> {
  const { api } = cluster;
  let chosen: FoundTarget;
  try {
    chosen = await findTarget(cluster, path, signal);
  } catch (error) {
    if (error instanceof UserError) return { kind: "not-usable", error };
    throw error;
  }
  const { pod: target, why } = chosen;
  const { namespace, name, node } = target;
  const [found, policies, nodeAnswer, neighbours, rungs, policy] = await Promise.all([
    readPod(api, namespace, name, signal),
    ask(listPolicies(api, namespace, signal)),
    ask(api.request<V1Node>({ verb: "get", group: "", resource: "nodes", name: node }, { signal })),
    ask(podsOn(api, node, signal)),
    tryRungs({ api, agent, rights, signal }, target),
    targetPolicy(cluster, namespace, target.policyPlaces, signal).catch(userErrorOf),
  ]);
  const pod = podFacts(found, target.container);
  return {
    kind: "found",
    path: target.path,
    why,
    pod,
    policy,
    policies: map(policies, (items) => policiesOf(items, pod.labels)),
    node: map(nodeAnswer, nodeFacts),
    taken: map(neighbours, takenBy),
    nodePods: map(neighbours, (pods) => pods.map(neighbour)),
    runtimeClass:
      pod.runtimeClass === undefined
        ? undefined
        : await runtimeHandler(api, pod.runtimeClass, signal),
    agent: {
      namespace: agent.ephemeral === true ? namespace : agentNamespace(target, agent),
      image: agent.image,
      imagePullPolicy: agent.imagePullPolicy,
      // What is added to a pod asks for nothing.
      asks: agent.ephemeral === true ? undefined : requestsOf(agentPod(target, agent)),
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

function userErrorOf(error: unknown): UserError {
  if (error instanceof UserError) return error;
  throw error;
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
