/** An agent beside the target, a session with it, and both undone when what was to be done has been done. */
import { UserError } from "@inpod/protocol";
import {
  newSessionKey,
  type Session,
  type SessionOptions,
  startSession,
  TunnelFailure,
} from "@inpod/session";
import type { AgentRung, PlacedAgent, Target, TargetPath } from "@inpod/targets";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { Io } from "../io.ts";
import { createAsk } from "../text/ask.ts";
import type { Progress } from "../text/progress.ts";
import { VERSION } from "../version.ts";
import { Agents } from "./agents.ts";
import { SessionAudit } from "./audit.ts";
import { tellEvent } from "./follow.ts";
import { openTarget } from "./open-target.ts";
import { checkPermission } from "./permission.ts";

export interface SessionWish {
  readonly config: ResolvedConfig;
  readonly target: TargetPath;
  readonly verbose: boolean;
  /** `--yes` */
  readonly hasSaidYes: boolean;
  readonly io: Io;
  /** Whether the target's traffic is to be taken. */
  readonly steals: boolean;
  /** For the target's events, between the user's name and the target's. */
  readonly does: string;
}

export interface PlacedSession {
  readonly session: Session;
  readonly sessionId: string;
  readonly target: Target;
  readonly rung: AgentRung | undefined;
}

/**
 * @param signal ends the beginning; what `use` does then is its own
 * @throws UserError, the signal's reason, what `use` throws; all is undone then too
 */
export async function withSession<Result>(
  { config, target: path, verbose, hasSaidYes, io, steals, does }: SessionWish,
  progress: Progress,
  signal: AbortSignal,
  use: (placed: PlacedSession) => Promise<Result>,
): Promise<Result> {
  const key = newSessionKey();
  progress.begin(`finding ${config.target}`);
  const { target, contextName, close } = await openTarget(path, config, signal);
  try {
    if (target.why !== undefined) {
      if (verbose) progress.say(`inpod: target ${target.why}`);
      else progress.detail(target.why);
    }
    const confirm = createAsk(io, signal);
    await checkPermission({
      steals,
      hasFilter: config.layer.incoming.httpFilter !== undefined,
      target: target.name,
      policy: target.policy,
      contextName,
      protectedContexts: config.protectedContexts,
      hasSaidYes,
      confirm,
    });
    const audit = new SessionAudit(target, key.sessionId, (line) => progress.say(line));
    progress.begin(`starting an agent beside ${target.name}`);
    const agents = new Agents(
      target,
      {
        publicKey: key.publicKey,
        sessionId: key.sessionId,
        startupTimeoutMs: config.agent.startupTimeoutMs,
        communicationTimeoutMs: config.agent.communicationTimeoutMs,
        idleTimeoutMs: config.agent.idleTimeoutMs,
        confirm,
      },
      progress,
    );
    let others: number | undefined;
    try {
      const { agent, session } = await beginSession(agents, progress, {
        key,
        replace: (why, stop) => agents.replace(why, stop),
        flushConnections: config.agent.flushConnections,
        build: VERSION,
        signal,
        probes: config.probes ? undefined : () => target.probes?.(),
        onEvent: (event) => {
          if (event.kind === "connected" || event.kind === "resumed") agents.hasTunnel(true);
          if (event.kind === "tunnel-lost") agents.hasTunnel(false);
          if (event.kind === "stolen") audit.took(event);
          else if (event.kind === "mirrored") audit.copies(event);
          else tellEvent(event, progress);
        },
      });
      audit.started(`${does} ${target.name}`);
      try {
        return await use({ session, sessionId: key.sessionId, target, rung: agent.rung });
      } finally {
        [others] = await Promise.all([session.end(), audit.ended()]);
      }
    } finally {
      await agents.remove(others);
    }
  } finally {
    close();
  }
}

/** A session with the first agent that takes it. */
async function beginSession(
  agents: Agents,
  progress: Progress,
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
