/** Where the cluster would take an agent, rung by rung of place/ladder.ts, asked by dry runs. */
import { UserError } from "@inpod/protocol";
import type { V1Pod } from "@kubernetes/client-node";
import type { TargetPod } from "../find/target-pod.ts";
import { tryAdmission } from "../place/admission.ts";
import type { SessionFacts } from "../place/agent-command.ts";
import { tryEphemeral } from "../place/ephemeral-body.ts";
import { ephemeralContainer } from "../place/ephemeral-spec.ts";
import { agentObjects, targetlessObjects } from "../place/job-spec.ts";
import { refuseWithout } from "../place/ladder.ts";
import type { AgentPlacement } from "../place/placement.ts";
import type { ApiClient } from "../reach/api-client.ts";
import type { RungFacts } from "./facts.ts";
import type { RightAnswer } from "./rights.ts";

/** As a session has them. Its name is one that no session has, for theirs are random; nobody holds the key. */
const FACTS: SessionFacts = {
  sessionId: "doctor",
  publicKey: "A".repeat(43),
  idleTimeoutMs: 30_000,
  communicationTimeoutMs: 30_000,
  startupTimeoutMs: 60_000,
};

interface Parts {
  readonly api: ApiClient;
  readonly agent: AgentPlacement;
  readonly rights: readonly RightAnswer[];
  readonly signal: AbortSignal;
}

/** The pod that a session would have made. */
export const agentPod = (target: TargetPod, agent: AgentPlacement): V1Pod =>
  agentObjects(target, agent, FACTS, Date.now()).pod;

export const targetlessPod = (namespace: string, agent: AgentPlacement): V1Pod =>
  targetlessObjects(namespace, agent, FACTS, Date.now()).pod;

/** The rung that is wanted first. The others are tried where it is refused, as the ladder does. */
export async function tryRungs(parts: Parts, target: TargetPod): Promise<RungFacts[]> {
  const { agent } = parts;
  if (agent.ephemeral === true) return tryEphemerals(parts, target);
  const job = await tryJob(parts, agentPod(target, agent));
  return job.refused === undefined ? [job] : [job, ...(await tryEphemerals(parts, target))];
}

export const tryTargetless = async (parts: Parts, pod: V1Pod): Promise<RungFacts[]> => [
  { ...(await tryJob(parts, pod)), rung: "targetless" },
];

async function tryJob({ api, agent, rights, signal }: Parts, pod: V1Pod): Promise<RungFacts> {
  const isAsked = has(rights, "create", "pods", undefined);
  const refused = await refusal(async () => {
    refuseWithout(agent.disabledCapabilities ?? []);
    // It asks nothing of who may not create pods.
    if (isAsked) await tryAdmission(api, pod, signal);
  });
  return { rung: "job", isAsked: isAsked || refused !== undefined, refused };
}

async function tryEphemerals(
  { api, agent, signal }: Parts,
  target: TargetPod,
): Promise<RungFacts[]> {
  const attempt = async (isPrivileged: boolean): Promise<RungFacts> => ({
    rung: isPrivileged ? "ephemeral" : "unprivileged-ephemeral",
    isAsked: true,
    refused: await refusal(() =>
      tryEphemeral(
        api,
        target,
        ephemeralContainer(target, agent, FACTS, { isPrivileged, nowMs: Date.now() }),
        signal,
      ),
    ),
  });
  const first = await attempt(true);
  // Both take the same right.
  const isOver = first.refused === undefined || first.refused.code === "FORBIDDEN";
  return isOver ? [first] : [first, await attempt(false)];
}

async function refusal(work: () => Promise<void>): Promise<UserError | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
}

const has = (
  rights: readonly RightAnswer[],
  verb: string,
  resource: string,
  subresource: string | undefined,
): boolean =>
  rights.some(
    ({ right, isAllowed }) =>
      isAllowed &&
      right.verb === verb &&
      right.resource === resource &&
      right.subresource === subresource,
  );
