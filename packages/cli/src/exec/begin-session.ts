/** A session with an agent: the first that takes it. */
import { UserError } from "@inpod/protocol";
import { type Session, type SessionOptions, startSession, TunnelFailure } from "@inpod/session";
import type { PlacedAgent } from "@inpod/targets";
import type { Progress } from "../text/progress.ts";
import type { Agents } from "./agents.ts";

/** @throws UserError, the signal's reason */
export async function beginSession(
  agents: Agents,
  progress: Pick<Progress, "begin">,
  options: Omit<SessionOptions, "dial" | "gone">,
): Promise<{ readonly agent: PlacedAgent; readonly session: Session }> {
  let agent = await agents.first(options.signal);
  const start = (): Promise<Session> => {
    progress.begin("connecting");
    const { dial, gone } = agent;
    return startSession({ ...options, dial: dial.bind(agent), gone });
  };
  try {
    const session = await start().catch(async (error: unknown) => {
      if (!agent.isJoined || !isNotAdmitted(error)) throw error;
      progress.begin("starting an agent of its own");
      agent = await agents.own(options.signal);
      return start();
    });
    agents.followJoiners(({ sessionId, publicKey, owner }) => {
      // Refused or too late: the other gets an agent of its own.
      session.admit(sessionId, publicKey, owner).catch(() => {});
    });
    return { agent, session };
  } catch (error) {
    throw sessionFailed(agent, error);
  }
}

const isNotAdmitted = (error: unknown): boolean =>
  error instanceof TunnelFailure && /^(EACCES|EAGAIN|ECONNRESET|ETIMEDOUT)$/.test(error.errno);

function sessionFailed(agent: PlacedAgent, error: unknown): unknown {
  if (!(error instanceof TunnelFailure)) return error;
  if (error.errno === "EPROTONOSUPPORT") {
    return new UserError(
      "PROTOCOL_MISMATCH",
      `${agent.name} speaks another version of inpod's protocol`,
      {
        cause: error,
        hints: [
          "use the agent image that belongs to this inpod: leave out --agent-image and agent.image",
          "or build it: npm run agent-image -- --out agent.tar",
        ],
      },
    );
  }
  return new UserError("SESSION_FAILED", `no session with ${agent.name}`, {
    cause: error,
    hints: ["try again; if it stays, look at the agent's log: kubectl logs job/…"],
  });
}
