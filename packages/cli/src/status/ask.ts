/** What an agent that runs says of those whom it serves. */
import type { AgentStatus } from "@inpod/protocol";
import { newSessionKey, startSession } from "@inpod/session";
import type { Agent } from "@inpod/targets";
import { VERSION } from "../version.ts";

/** The cluster's and the agent's answers, and the seconds until a session of the agent has let us in. */
const ASK_TIMEOUT_MS = 15_000;

export type Asked =
  | { readonly kind: "told"; readonly agent: Agent; readonly status: AgentStatus }
  /** Who made it is known all the same. */
  | { readonly kind: "not-told"; readonly agent: Agent; readonly why: string };

/** As a session that takes nothing, and is gone again when this resolves. Rejects only with the signal's reason. */
export async function askAgent(agent: Agent, signal: AbortSignal): Promise<Asked> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(ASK_TIMEOUT_MS)]);
  const key = newSessionKey();
  let forget: (() => Promise<void>) | undefined;
  try {
    forget = await agent.letIn(key.sessionId, key.publicKey, limited);
    const session = await startSession({
      key,
      dial: (dialSignal) => agent.dial(dialSignal),
      gone: new Promise(() => {}),
      build: VERSION,
      signal: limited,
      onEvent: () => {},
    });
    try {
      return { kind: "told", agent, status: await session.agentStatus() };
    } finally {
      await session.end();
    }
  } catch (error) {
    signal.throwIfAborted();
    return { kind: "not-told", agent, why: error instanceof Error ? error.message : String(error) };
  } finally {
    await forget?.();
  }
}
