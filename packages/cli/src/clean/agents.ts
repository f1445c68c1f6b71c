/** The agents of a cluster with what each of them says of itself. */
import { peekAgent } from "@inpod/session";
import type { Cluster } from "@inpod/targets";
import { type Agent, type AgentAnswer, findAgents, type Judgement, judge } from "@inpod/targets";

/** For one agent: the way there and back, and a container that has just been started. */
const ANSWER_TIMEOUT_MS = 5_000;
/** Agents that are asked at the same time: each is a connection through the API server. */
const AT_ONCE = 8;

export interface JudgedAgent {
  readonly agent: Agent;
  readonly judgement: Judgement;
}

/** @param namespace undefined: all. @throws UserError */
export async function judgedAgents(
  cluster: Cluster,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<JudgedAgent[]> {
  const agents = await findAgents(cluster, namespace, signal);
  const judged: JudgedAgent[] = [];
  for (let at = 0; at < agents.length; at += AT_ONCE)
    judged.push(
      ...(await Promise.all(
        agents.slice(at, at + AT_ONCE).map(async (agent) => ({
          agent,
          judgement: judge(agent.facts, await ask(agent, signal), cluster.api.nowMs()),
        })),
      )),
    );
  return judged;
}

async function ask(agent: Agent, signal: AbortSignal): Promise<AgentAnswer> {
  // "waiting" too: an agent answers up to a second before its pod's status says that it runs.
  if (agent.facts.state === "ended" || agent.facts.podName === undefined)
    return { kind: "not-asked" };
  const limited = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
  try {
    const { sessions } = await peekAgent(await agent.dial(limited));
    return { kind: "sessions", count: sessions };
  } catch (error) {
    signal.throwIfAborted();
    return { kind: "no-answer", why: error instanceof Error ? error.message : String(error) };
  }
}
