/** `inpod exec`: an agent beside the target, a session with it, the command in the target's place, and all of it undone. */
import { existsSync } from "node:fs";
import type { RunningTree } from "@inpod/layer";
import { PreparedTap } from "@inpod/layer";
import { UserError } from "@inpod/protocol";
import {
  newSessionKey,
  type Session,
  type SessionOptions,
  startSession,
  TunnelFailure,
  tuneHeapForBulk,
} from "@inpod/session";
import type { AgentRung, PlacedAgent, Target, TargetPath } from "@inpod/targets";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { createAsk } from "../text/ask.ts";
import { createProgress, type Progress } from "../text/progress.ts";
import { createReporter } from "../text/reports.ts";
import { VERSION } from "../version.ts";
import { Agents } from "./agents.ts";
import { SessionAudit } from "./audit.ts";
import { credentialsNotice, hiddenFiles, withCredentialFiles } from "./credentials.ts";
import { programEnvironment, reportEnvironment, toText } from "./environment.ts";
import { followTarget, tellEvent } from "./follow.ts";
import { endWithSession } from "./lost.ts";
import { openTarget } from "./open-target.ts";
import { checkPermission } from "./permission.ts";
import { layerConfig, rungLine } from "./rung.ts";
import { Signals } from "./signals.ts";
import { withSpecEnvironment } from "./spec-environment.ts";
import { remainingProcesses } from "./tree.ts";

export interface ExecOptions {
  readonly config: ResolvedConfig;
  readonly target: TargetPath;
  /** As the user wrote it: argv of the program. */
  readonly command: readonly [string, ...string[]];
  /** Absolute path of the program. */
  readonly executable: string;
  readonly verbose: boolean;
  /** `--yes` */
  readonly hasSaidYes: boolean;
  readonly io: Io;
}

/** How often what is left of the tree is looked at after the command itself has ended. */
const TREE_POLL_MS = 250;
/** After so many looks without any of its processes the tree is over, though the kernel has not said so. */
const UNSEEN_POLLS = 4;

/** Runs the command in the place of its target and undoes everything when it has ended. */
export async function runExec(options: ExecOptions): Promise<CommandResult> {
  tuneHeapForBulk({ mayGrow: true });
  const progress = createProgress(options.io);
  const signals = new Signals();
  try {
    return await placeAndRun(options, progress, signals);
  } catch (error) {
    progress.failed();
    if (signals.stoppedBy) return { signal: signals.stoppedBy };
    throw error;
  } finally {
    signals.close();
  }
}

async function placeAndRun(
  options: ExecOptions,
  progress: Progress,
  signals: Signals,
): Promise<CommandResult> {
  const { config } = options;
  const tap = new PreparedTap(); // what this machine refuses is known before anything is made
  const key = newSessionKey();
  const { signal } = signals;

  progress.begin(`finding ${config.target}`);
  const { target, contextName, close } = await openTarget(options.target, config, signal);
  try {
    if (target.why !== undefined) {
      if (options.verbose) progress.say(`inpod: target ${target.why}`);
      else progress.detail(target.why);
    }
    const confirm = createAsk(options.io, signal);
    await checkPermission({
      steals: config.layer.incoming.mode === "steal",
      target: target.name,
      policy: target.policy,
      contextName,
      protectedContexts: config.protectedContexts,
      hasSaidYes: options.hasSaidYes,
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
        build: VERSION,
        signal,
        onEvent: (event) => {
          if (event.kind === "stolen") audit.took(event.port);
          else tellEvent(event, progress);
        },
      });
      audit.started(target.name);
      const following = new AbortController();
      try {
        void followTarget(target, session, progress, following.signal);
        return await runInSession(options, {
          progress,
          signals,
          tap,
          session,
          sessionId: key.sessionId,
          target,
          rung: agent.rung,
        });
      } finally {
        following.abort();
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

interface Running {
  readonly progress: Progress;
  readonly signals: Signals;
  readonly tap: PreparedTap;
  readonly session: Session;
  readonly sessionId: string;
  readonly target: Target;
  readonly rung: AgentRung | undefined;
}

async function runInSession(
  { config, command, executable, verbose, io }: ExecOptions,
  { progress, signals, tap, session, sessionId, target, rung }: Running,
): Promise<CommandResult> {
  const reporter = createReporter(io, verbose, (line) => progress.say(line));
  const described = await withSpecEnvironment(session.target, target, reporter, signals.signal);
  const environment = programEnvironment(config, described, io, target.environment);
  reportEnvironment(environment, reporter);
  const { HOME } = environment.variables;
  const home = HOME?.startsWith("/") ? toText(HOME).replace(/\/+$/, "") : undefined;
  const hiddenNotice = credentialsNotice(
    environment.hidden.map(toText),
    hiddenFiles(config.layer, config.localCredentials, home, existsSync),
  );
  if (hiddenNotice !== undefined) reporter.notice(hiddenNotice);
  const line = rungLine(rung, described.missing);
  if (line !== undefined) reporter.notice({ key: "agent", text: line });
  signals.throwIfStopped();
  progress.done();
  const tree = await tap.start({
    session,
    config: layerConfig(withCredentialFiles(config.layer, config.localCredentials, home), rung),
    command,
    executable,
    environment: { ...environment.variables, INPOD_SESSION: sessionId },
    cwd: io.directory,
    reporter,
    volumeMounts: target.volumeMounts ?? [],
    onDeath: config.onDisconnect,
  });
  const end = endWithSession(session, sessionId, config.onDisconnect, progress);
  const result = await signals.follow(tree.child, session);
  await untilTreeEnds(tree, sessionId, progress);
  await tree.close();
  end.throwIfStopped();
  return result;
}

/**
 * The session lasts as long as the tree, not as the command (`sh -c 'server &'`). Who has left our terminal's
 * session (setsid: build daemons and the like) is left running, natively, by the keeper.
 */
async function untilTreeEnds(
  tree: RunningTree,
  sessionId: string,
  progress: Progress,
): Promise<void> {
  let isOver = false;
  void tree.ended.then(() => {
    isOver = true;
  });
  let isTold = false;
  let unseen = 0;
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve)); // the end is told by another thread
    if (isOver) return;
    const { near, daemons } = remainingProcesses(sessionId);
    // A process in the middle of execve(2) shows no environment: what is not seen is looked for again.
    unseen = near.length === 0 && daemons.length === 0 ? unseen + 1 : 0;
    if (unseen >= UNSEEN_POLLS) return;
    if (near.length === 0 && daemons.length > 0) {
      tree.leaveRest();
      const names = daemons.map(({ pid, name }) => `${name} (${pid})`).join(", ");
      progress.say(`inpod: left running, as daemons of your command: ${names}`);
      return;
    }
    if (!isTold && near.length > 0) {
      isTold = true;
      const names = near.map(({ pid, name }) => `${name} (${pid})`).join(", ");
      progress.say(
        `inpod: the command has ended, what it started goes on in the session: ${names}`,
      );
    }
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      tree.ended,
      new Promise((resolve) => {
        timer = setTimeout(resolve, TREE_POLL_MS);
      }),
    ]);
    clearTimeout(timer);
  }
}

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
