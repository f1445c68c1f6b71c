/** An agent in a container that is added to the target's own pod, and that nobody can ever take out of its spec. */
import type { V1EphemeralContainer, V1Pod } from "@kubernetes/client-node";
import type { AgentRung } from "../../api.ts";
import type { TargetPod } from "../find/target-pod.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { explainAdmission } from "./admission.ts";
import type { AgentBody } from "./agent-body.ts";
import { listenPort } from "./ephemeral-spec.ts";

/** Merges lists by name: what others add at the same time stays. */
const STRATEGIC_MERGE = "application/strategic-merge-patch+json";

/** Whether the cluster would take it. @throws UserError POD_SECURITY, FORBIDDEN, REFUSED and the like */
export async function tryEphemeral(
  api: ApiClient,
  target: TargetPod,
  container: V1EphemeralContainer,
  signal: AbortSignal,
): Promise<void> {
  await patch(api, target, container, { dryRun: "All" }, signal);
}

export function ephemeralBody(
  api: ApiClient,
  target: TargetPod,
  container: V1EphemeralContainer,
  rung: AgentRung,
): AgentBody {
  const { namespace } = target;
  const { name } = container;
  const statusOf = ({ status }: V1Pod) =>
    status?.ephemeralContainerStatuses?.find((each) => each.name === name);
  return {
    name: `ephemeral container ${name} in pod/${target.name} in namespace "${namespace}"`,
    rung,
    namespace,
    container: name,
    image: container.image ?? "",
    port: listenPort(container),
    query: { fieldSelector: `metadata.name=${target.name}` },
    maker: undefined,
    tryAdmission: undefined,
    create: async () => {
      await patch(api, target, container);
      return `ephemeral container ${name} added to pod/${target.name}`;
    },
    statusOf,
    // Its process ends with the last session; there is no request for it.
    remove: undefined,
    isGoing: (pod) =>
      pod.metadata?.deletionTimestamp !== undefined ||
      statusOf(pod)?.state?.terminated !== undefined,
    removeHints: ["it ends by itself when no session speaks with it"],
  };
}

async function patch(
  api: ApiClient,
  { namespace, name }: TargetPod,
  container: V1EphemeralContainer,
  query: Readonly<Record<string, string>> = {},
  signal?: AbortSignal,
): Promise<void> {
  try {
    await api.request(
      {
        verb: "patch",
        group: "",
        resource: "pods",
        subresource: "ephemeralcontainers",
        namespace,
        name,
      },
      {
        query,
        body: { spec: { ephemeralContainers: [container] } },
        contentType: STRATEGIC_MERGE,
        signal,
      },
    );
  } catch (error) {
    throw explainAdmission(error, namespace);
  }
}
