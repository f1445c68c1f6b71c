/** `inpod exec`: a session beside the target, and the command in the target's place. */
import { existsSync } from "node:fs";
import type { RunningTree } from "@inpod/layer";
import { PreparedTap } from "@inpod/layer";
import { tuneHeapForBulk } from "@inpod/session";
import type { TargetPath } from "@inpod/targets";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { createProgress, type Progress } from "../text/progress.ts";
import { createReporter } from "../text/reports.ts";
import { credentialsNotice, hiddenFiles, withCredentialFiles } from "./credentials.ts";
import { programEnvironment, reportEnvironment, toText } from "./environment.ts";
import { FileServers, snapshotsLine } from "./file-servers.ts";
import { followTarget } from "./follow.ts";
import { endWithSession, portHeld, TreeEnd } from "./lost.ts";
import { whyNoMirror } from "./permission.ts";
import { layerConfig, rungLine, withoutIncoming } from "./rung.ts";
import { Signals } from "./signals.ts";
import { withSpecEnvironment } from "./spec-environment.ts";
import { writeStatistics } from "./statistics.ts";
import { loadDelivery } from "./tls.ts";
import { remainingProcesses } from "./tree.ts";
import { type PlacedSession, withSession } from "./with-session.ts";

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
  given: ExecOptions,
  progress: Progress,
  signals: Signals,
): Promise<CommandResult> {
  const options = withTlsDelivery(given);
  const tap = new PreparedTap(); // what this machine refuses is known before anything is made
  const say = (text: string): void => progress.say(`inpod: ${text}`);
  const log = options.verbose ? say : () => {};
  // Beside the agent's start, which takes longer. In mode "local" hardly any file is the pod's.
  const { incoming, files: wanted } = options.config.layer;
  const { mode } = wanted;
  const files = mode === "local" ? undefined : new FileServers(tap.tap, mode !== "write", log, say);
  try {
    return await withSession(
      {
        ...options,
        steals: incoming.mode === "steal",
        replicas: incoming.mode === "off" ? 1 : options.config.replicas,
        does: "runs a process on another machine in the place of",
      },
      progress,
      signals.signal,
      async (placed) => {
        const following = new AbortController();
        const statistics = writeStatistics(tap.tap, options.io.env.INPOD_STATISTICS);
        try {
          void followTarget(placed.target, placed.session, progress, following.signal);
          return await runInSession(options, { ...placed, progress, signals, tap, files });
        } finally {
          following.abort();
          statistics.end();
          await files?.close();
        }
      },
    );
  } finally {
    await files?.close();
  }
}

/** Files that are not as they must be are told before anything is made. */
function withTlsDelivery(options: ExecOptions): ExecOptions {
  const { config, io } = options;
  const { incoming } = config.layer;
  if (incoming.mode !== "steal") return options;
  const tlsDelivery = loadDelivery(config.tls.delivery, io.directory);
  const layer = { ...config.layer, incoming: { ...incoming, tlsDelivery } };
  return { ...options, config: { ...config, layer } };
}

interface Running extends PlacedSession {
  readonly progress: Progress;
  readonly signals: Signals;
  readonly tap: PreparedTap;
  readonly files: FileServers | undefined;
}

async function runInSession(
  { config, command, executable, verbose, io }: ExecOptions,
  { progress, signals, tap, files, session, incoming, sessionId, target, rung }: Running,
): Promise<CommandResult> {
  const reporter = createReporter(io, verbose, (line) => progress.say(line));
  const { described } = await withSpecEnvironment(session.target, target, reporter, signals.signal);
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
  const noMirror = config.layer.incoming.mode === "mirror" ? whyNoMirror(target.policy) : undefined;
  if (noMirror !== undefined) reporter.notice({ key: "no-mirror", text: noMirror });
  const layer = noMirror === undefined ? config.layer : withoutIncoming(config.layer);
  const noMount = await files?.first(session);
  if (noMount !== undefined) reporter.notice({ key: "files", text: snapshotsLine(noMount) });
  signals.throwIfStopped();
  progress.done();
  const end = new TreeEnd(sessionId);
  const tree = await tap.start({
    session,
    incoming,
    podRoot: noMount === undefined ? files : undefined,
    config: layerConfig(withCredentialFiles(layer, config.localCredentials, home), rung),
    command,
    executable,
    environment: { ...environment.variables, INPOD_SESSION: sessionId },
    cwd: io.directory,
    reporter: { ...reporter, portHeld: (_, because) => end.stop(portHeld(because)) },
    volumeMounts: target.volumeMounts ?? [],
    onDeath: config.onDisconnect,
  });
  endWithSession(session, end, config.onDisconnect, progress);
  const result = await signals.follow(tree, incoming);
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
