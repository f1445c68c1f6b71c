/** What an agent that runs says of those whom it serves. */
import { hostname } from "node:os";
import type { AgentStatus } from "@inpod/protocol";
import { newSessionKey, type Session, startSession } from "@inpod/session";
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
  try {
    const status = await withAgent(agent, signal, (session) => session.agentStatus());
    return { kind: "told", agent, status };
  } catch (error) {
    signal.throwIfAborted();
    return { kind: "not-told", agent, why: error instanceof Error ? error.message : String(error) };
  }
}

/** @throws UserError FORBIDDEN, TunnelError, the signal's reason; what `use` throws */
export async function withAgent<Result>(
  agent: Agent,
  signal: AbortSignal,
  use: (session: Session) => Promise<Result>,
): Promise<Result> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(ASK_TIMEOUT_MS)]);
  const key = newSessionKey();
  const forget = await agent.letIn(key.sessionId, key.publicKey, limited);
  try {
    const session = await startSession({
      key,
      dial: (dialSignal) => agent.dial(dialSignal),
      gone: new Promise(() => {}),
      build: VERSION,
      about: { mode: "status", target: "", machine: hostname() },
      signal: limited,
      onEvent: () => {},
    });
    try {
      return await use(session);
    } finally {
      await session.end();
    }
  } finally {
    await forget();
  }
}
