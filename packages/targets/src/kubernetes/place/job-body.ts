/** An agent in a pod of its own, made by a Job: beside a target, or without one. */
import type { V1Pod } from "@kubernetes/client-node";
import type { AgentRung } from "../../api.ts";
import type { TargetPod } from "../find/target-pod.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { explainAdmission, tryAdmission } from "./admission.ts";
import type { AgentBody } from "./agent-body.ts";
import type { SessionFacts } from "./agent-command.ts";
import {
  AGENT_PORT,
  type AgentObjects,
  agentNamespace,
  agentObjects,
  CONTAINER,
  type OwnRole,
  targetlessObjects,
} from "./job-spec.ts";
import { SESSION_LABEL } from "./labels.ts";
import type { AgentPlacement } from "./placement.ts";

export function jobBesideTarget(
  api: ApiClient,
  target: TargetPod,
  agent: AgentPlacement,
  facts: SessionFacts,
): AgentBody {
  const namespace = agentNamespace(target, agent);
  const where = namespace === target.namespace ? "" : ` in namespace "${namespace}"`;
  return jobBody(api, agentObjects(target, agent, facts, Date.now()), {
    beside: `beside pod/${target.name} in namespace "${target.namespace}"`,
    rung: { kind: "job", words: `a job${where}`, missing: {} },
  });
}

export function jobWithoutTarget(
  api: ApiClient,
  namespace: string,
  agent: AgentPlacement,
  facts: SessionFacts,
  role?: OwnRole,
): AgentBody {
  const rung: AgentRung = {
    kind: "targetless",
    words: `a pod of namespace "${namespace}", without a target`,
    missing: {},
  };
  const objects = targetlessObjects(namespace, agent, facts, Date.now(), role);
  return jobBody(api, objects, { beside: `in namespace "${namespace}"`, rung });
}

export function jobBody(
  api: ApiClient,
  { job, pod }: AgentObjects,
  { beside, rung }: { readonly beside: string; readonly rung: AgentRung },
): AgentBody {
  const { name = "", namespace = "", labels = {} } = job.metadata ?? {};
  const jobs = { group: "batch", resource: "jobs", namespace } as const;
  return {
    name: `job/${name} ${beside}`,
    rung,
    namespace,
    container: CONTAINER,
    image: pod.spec?.containers[0]?.image ?? "",
    port: AGENT_PORT,
    query: { labelSelector: `${SESSION_LABEL}=${labels[SESSION_LABEL]}` },
    maker: { kind: "Job", name },
    tryAdmission: (signal) => tryAdmission(api, pod, signal),
    create: async () => {
      try {
        await api.request({ verb: "create", ...jobs }, { body: job });
      } catch (error) {
        throw explainAdmission(error, namespace);
      }
      return `job/${name} created`;
    },
    statusOf: (made) => made.status?.containerStatuses?.find((each) => each.name === CONTAINER),
    remove: async (signal, others) => {
      if (others > 0) return; // the last of them removes it
      const query = { propagationPolicy: "Background" };
      await api.request({ verb: "delete", ...jobs, name }, { query, signal });
    },
    isGoing: (made: V1Pod) => made.metadata?.deletionTimestamp !== undefined,
    removeHints: [
      `remove it: kubectl delete job ${name} -n ${namespace}`,
      "it ends by itself when no session speaks with it",
    ],
  };
}
