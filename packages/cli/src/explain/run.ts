/** `inpod explain`: whose something is and which rule decides, by the very rules of `exec`. Nothing runs. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { UserError } from "@inpod/protocol";
import { ConfigValueError, parseResolvConf, type Resolved, unlessAborted } from "@inpod/session";
import { type LoadedConfig, loadSources } from "../config/load.ts";
import { checkEnvironment } from "../exec/environment.ts";
import { whyNoMirror } from "../exec/permission.ts";
import { layerConfig, withoutIncoming } from "../exec/rung.ts";
import type { Signals } from "../exec/signals.ts";
import { withSpecEnvironment } from "../exec/spec-environment.ts";
import { stoppable } from "../exec/stoppable.ts";
import { type PlacedSession, withSession } from "../exec/with-session.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { Progress } from "../text/progress.ts";
import { createReporter } from "../text/reports.ts";
import { wantedTarget } from "../wanted-target.ts";
import type { ExplainArguments } from "./arguments.ts";
import { askConnect, askFile } from "./ask-pod.ts";
import type { Explanation } from "./explanation.ts";
import { type Ground, ground } from "./ground.ts";
import { explainHost, explainListening } from "./network.ts";
import { explainPath } from "./paths.ts";
import { renderJson, renderText } from "./render.ts";
import { parseSubject, type Subject } from "./subject.ts";
import { explainProgram, explainUnix, explainVariable } from "./variables.ts";

/** Of a name's addresses, those to which a connection is tried. */
const MAX_CONNECTS = 4;

interface Asked {
  readonly text: string;
  readonly subject: Subject;
}

/** @throws UserError */
export async function runExplain(args: ExplainArguments, io: Io): Promise<CommandResult> {
  const { flags, isFileWanted, isVerbose, output } = args;
  const home = io.env.HOME ?? homedir();
  const place = { directory: io.directory, home, exists: existsSync };
  const asked = args.subjects.map((text) => ({ text, subject: parseSubject(text, place) }));
  const loaded = loadSources({ flags, env: io.env, directory: io.directory, isFileWanted });
  if (isVerbose)
    for (const { path, why } of loaded.config.ignoredKeys)
      io.stderr.write(`inpod: "${path}" has no effect: ${why}\n`);
  checkEnvironment(loaded.config, io);
  // A target in the file is not asked unless -t says so: this command is to work without a cluster.
  const target = flags.target;
  const show = (explanations: readonly Explanation[]): CommandResult => {
    const render =
      output === "json" ? renderJson(explanations, target) : renderText(explanations, target, io);
    io.stdout.write(render);
    return { code: 0 };
  };
  if (target === undefined)
    return show(withoutTarget(asked, groundOf({ loaded, io, command: args.command })));
  return stoppable(io, async (progress, signals) =>
    show(await withTarget(asked, target, loaded, args, { io, progress, signals })),
  );
}

function groundOf(options: Parameters<typeof ground>[0]): Ground {
  try {
    return ground(options);
  } catch (error) {
    if (error instanceof ConfigValueError) throw new UserError("CONFIG_INVALID", error.message);
    throw error;
  }
}

const withoutTarget = (asked: readonly Asked[], base: Ground): Explanation[] =>
  asked.map(({ text, subject }) => explain(text, subject, base, {}));

interface Seen {
  readonly file?: Awaited<ReturnType<typeof askFile>> | undefined;
  readonly resolved?: Resolved | undefined;
  readonly inPod?: readonly string[];
}

function explain(text: string, subject: Subject, base: Ground, seen: Seen): Explanation {
  switch (subject.kind) {
    case "path":
      return explainPath(text, subject.path, base, seen.file);
    case "host":
      return explainHost(text, subject, base, seen);
    case "listen":
      return explainListening(text, subject, base, seen.inPod ?? []);
    case "variable":
      return explainVariable(`${subject.name}=`, subject.name, base);
    case "program":
      return explainProgram(text, subject.name, base);
    case "unix":
      return explainUnix(text, subject.path, base);
  }
}

async function withTarget(
  asked: readonly Asked[],
  target: string,
  loaded: LoadedConfig,
  { command, isVerbose }: ExplainArguments,
  talk: Talk,
): Promise<Explanation[]> {
  const { io, progress, signals } = talk;
  const wish = {
    config: { ...loaded.config, canary: false },
    target: wantedTarget(target, "whose place is meant?"),
    ...{ verbose: isVerbose, hasSaidYes: false, io, steals: false, replicas: 1 },
    does: "explains what a process would get of",
    mode: "explain",
  };
  const look = async (placed: PlacedSession): Promise<Explanation[]> => {
    const base = await groundOfTarget(placed, loaded, command, { ...talk, isVerbose });
    const explanations: Explanation[] = [];
    for (const { text, subject } of asked) {
      signals.throwIfStopped();
      explanations.push(explain(text, subject, base, await see(subject, base, placed)));
    }
    return explanations;
  };
  return withSession(wish, progress, signals.signal, async (placed) => {
    const explanations = await unlessAborted(look(placed), signals.signal);
    progress.done();
    return explanations;
  });
}

interface Talk {
  readonly io: Io;
  readonly progress: Progress;
  readonly signals: Signals;
}

interface Around extends Talk {
  readonly isVerbose: boolean;
}

async function groundOfTarget(
  { session, target, rung }: PlacedSession,
  loaded: LoadedConfig,
  command: readonly string[] | undefined,
  { io, progress, signals, isVerbose }: Around,
): Promise<Ground> {
  const reporter = createReporter(io, isVerbose, (line) => progress.say(line));
  const { described } = await withSpecEnvironment(session.target, target, reporter, signals.signal);
  const { resolvConf } = await session.names.files();
  const isMirror = loaded.config.layer.incoming.mode === "mirror";
  const noMirror = isMirror ? whyNoMirror(target.policy) : undefined;
  if (noMirror !== undefined) reporter.notice({ key: "no-mirror", text: noMirror });
  return groundOf({
    ...{ loaded, io, command },
    target: {
      name: target.name,
      described,
      specEnvironment: target.environment,
      resolver: loaded.config.layer.dns
        ? parseResolvConf(resolvConf)
        : { nameservers: [], searchDomains: [] },
      volumeMounts: target.volumeMounts ?? [],
      layer: (config) =>
        layerConfig(noMirror === undefined ? config : withoutIncoming(config), rung),
    },
  });
}

/** What the target says of it. */
async function see(subject: Subject, base: Ground, { session }: PlacedSession): Promise<Seen> {
  switch (subject.kind) {
    case "path":
      return { file: await askFile(mappedPath(subject.path, base), session) };
    case "host": {
      const { host, isAddress, port, protocol } = subject;
      const isOfPod = (base.policy.name?.(host).verdict ?? "remote") === "remote";
      const isAsked = !isAddress && base.layer.dns && isOfPod;
      const resolved = isAsked ? await session.names.resolve(host) : undefined;
      const addresses = isAddress ? [host] : (resolved?.addresses ?? []);
      if (port === undefined || protocol === "udp") return { resolved };
      const some = addresses.slice(0, MAX_CONNECTS);
      const inPod = await Promise.all(some.map((each) => askConnect(each, port, session)));
      return { resolved, inPod };
    }
    case "listen": {
      if (subject.protocol === "udp") return {};
      const port = base.layer.incoming.portMapping.get(subject.port) ?? subject.port;
      const addresses = ["127.0.0.1", ...session.target.addresses.slice(0, 1)];
      const inPod = await Promise.all(addresses.map((each) => askConnect(each, port, session)));
      return { inPod };
    }
    default:
      return {};
  }
}

const mappedPath = (path: string, { policy }: Ground): string => {
  const bytes = Buffer.from(path, "utf8").toString("latin1");
  return Buffer.from(policy.path(bytes, "read").path, "latin1").toString("utf8");
};
