/** The place of a target, ready for programs: an agent, a session with it, the tap, and the variables. */
import { existsSync } from "node:fs";
import { type PlaceOptions, PreparedTap } from "@inpod/layer";
import { unlessAborted } from "@inpod/session";
import type { TargetPath } from "@inpod/targets";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { Io } from "../io.ts";
import type { Progress } from "../text/progress.ts";
import { createReporter } from "../text/reports.ts";
import type { TraceFile } from "../trace/file.ts";
import { traceEnvironment } from "../trace/open.ts";
import { credentialsNotice, hiddenFiles, withCredentialFiles } from "./credentials.ts";
import {
  type ProgramEnvironment,
  programEnvironment,
  reportEnvironment,
  toText,
} from "./environment.ts";
import { FileServers, snapshotsLine } from "./file-servers.ts";
import { followTarget } from "./follow.ts";
import { whyNoMirror } from "./permission.ts";
import { layerConfig, rungLine, withoutIncoming } from "./rung.ts";
import type { Signals } from "./signals.ts";
import { specNames, withSpecEnvironment } from "./spec-environment.ts";
import { writeStatistics } from "./statistics.ts";
import { loadDelivery } from "./tls.ts";
import { type PlacedSession, withSession } from "./with-session.ts";

export interface PlaceWish {
  readonly config: ResolvedConfig;
  readonly target: TargetPath;
  readonly verbose: boolean;
  /** `--yes` */
  readonly hasSaidYes: boolean;
  readonly io: Io;
  /** Gets every call. Whoever has opened it closes it. */
  readonly trace?: TraceFile | undefined;
}

export interface Place extends PlacedSession {
  readonly tap: PreparedTap;
  readonly environment: ProgramEnvironment;
  /** Whether all of the environment is the pod spec's. */
  readonly isOfSpec: boolean;
  /** Names that only the settings of a container without a cluster have. */
  readonly specNames: ReadonlySet<string>;
  /** What programs here have in common. */
  readonly options: Omit<PlaceOptions, "executable">;
}

/** @throws what withSession() does */
export async function inPlace<Result>(
  given: PlaceWish,
  progress: Progress,
  signals: Signals,
  use: (place: Place) => Promise<Result>,
): Promise<Result> {
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
          return await use(await prepare(options, { ...placed, progress, signals, tap, files }));
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
function withTlsDelivery(options: PlaceWish): PlaceWish {
  const { config, io } = options;
  const { incoming } = config.layer;
  if (incoming.mode !== "steal") return options;
  const tlsDelivery = loadDelivery(config.tls.delivery, io.directory);
  const layer = { ...config.layer, incoming: { ...incoming, tlsDelivery } };
  return { ...options, config: { ...config, layer } };
}

interface Placing extends PlacedSession {
  readonly progress: Progress;
  readonly signals: Signals;
  readonly tap: PreparedTap;
  readonly files: FileServers | undefined;
}

async function prepare(
  { config, verbose, io, trace }: PlaceWish,
  { progress, signals, tap, files, session, incoming, sessionId, target, rung }: Placing,
): Promise<Place> {
  const reporter = createReporter(io, verbose, (line) => progress.say(line), trace);
  const { described, isOfSpec } = await withSpecEnvironment(
    session.target,
    target,
    reporter,
    signals.signal,
  );
  const environment = programEnvironment(config, described, io, target.environment);
  reportEnvironment(environment, reporter);
  if (trace) traceEnvironment(environment, trace);
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
  const noMount = files && (await unlessAborted(files.first(session), signals.signal));
  if (noMount !== undefined) reporter.notice({ key: "files", text: snapshotsLine(noMount) });
  signals.throwIfStopped();
  progress.done();
  return {
    ...{ session, incoming, sessionId, target, rung, tap, environment, isOfSpec },
    specNames: specNames(described, target),
    options: {
      session,
      incoming,
      podRoot: noMount === undefined ? files : undefined,
      config: layerConfig(withCredentialFiles(layer, config.localCredentials, home), rung),
      environment: { ...environment.variables, INPOD_SESSION: sessionId },
      cwd: io.directory,
      reporter,
      volumeMounts: target.volumeMounts ?? [],
      onDeath: config.onDisconnect,
      signal: signals.signal,
    },
  };
}
