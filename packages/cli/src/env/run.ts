/** `inpod env`: the variables that a command would get in the place of a target. Nothing is run, nothing stays. */
import { type ByteString, UserError } from "@inpod/protocol";
import { loadConfig } from "../config/load.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import {
  checkEnvironment,
  type ProgramEnvironment,
  programEnvironment,
  reportEnvironment,
  toText,
} from "../exec/environment.ts";
import { Signals } from "../exec/signals.ts";
import { withSpecEnvironment } from "../exec/spec-environment.ts";
import { withSession } from "../exec/with-session.ts";
import { type Io, printable } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { createProgress, type Progress } from "../text/progress.ts";
import { createReporter } from "../text/reports.ts";
import { wantedTarget } from "../wanted-target.ts";
import type { EnvArguments } from "./arguments.ts";
import { type Evaluated, json, type Origin, type Variable, write } from "./formats.ts";
import { explanation, variableTable } from "./table.ts";

/** Names in one line. */
const MAX_NAMES = 10;

interface Found {
  /** As the agent's place has it: "pod/orders-7d4f/container/app". */
  readonly target: string;
  readonly environment: ProgramEnvironment;
  readonly isOfSpec: boolean;
  /** Names that only the settings of a container without a cluster have. */
  readonly specNames: ReadonlySet<string>;
}

/** @throws UserError */
export async function runEnv(args: EnvArguments, io: Io): Promise<CommandResult> {
  const progress = createProgress(io);
  const signals = new Signals();
  try {
    const { flags, isFileWanted, isVerbose } = args;
    const config = loadConfig({ flags, env: io.env, directory: io.directory, isFileWanted });
    const verbose = isVerbose || io.env.INPOD_LOG === "debug";
    if (verbose)
      for (const { path, why } of config.ignoredKeys)
        io.stderr.write(`inpod: "${path}" has no effect: ${why}\n`);
    const found = await fetch(config, { io, verbose, progress, signal: signals.signal });
    progress.done();
    tell(found, args, io);
    return { code: 0 };
  } catch (error) {
    progress.failed();
    if (signals.stoppedBy) return { signal: signals.stoppedBy };
    throw error;
  } finally {
    signals.close();
  }
}

interface Fetching {
  readonly io: Io;
  readonly verbose: boolean;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

function fetch(
  config: ResolvedConfig,
  { io, verbose, progress, signal }: Fetching,
): Promise<Found> {
  const reporter = createReporter(io, verbose, (line) => progress.say(line));
  const wish = {
    config,
    target: wantedTarget(config.target, "whose environment is wanted?"),
    ...{ verbose, hasSaidYes: false, io, steals: false, replicas: 1 },
    does: "reads the environment of",
  };
  checkEnvironment(config, io);
  return withSession(wish, progress, signal, async ({ session, target }) => {
    const { described, isOfSpec } = await withSpecEnvironment(
      session.target,
      target,
      reporter,
      signal,
    );
    const { environment: lacks } = described.missing;
    if (config.env !== false && lacks !== undefined) {
      if (described.environment.length === 0) throw noEnvironment(target.name, lacks);
      reporter.notice({ key: "lacks", text: `environment: not all of it: ${lacks}` });
    }
    const environment = programEnvironment(config, described, io, target.environment);
    reportEnvironment(environment, reporter);
    signal.throwIfAborted();
    const shown = new Set(described.environment.map(([name]) => toText(name)));
    const specNames = Object.keys(target.environment ?? {}).filter((name) => !shown.has(name));
    return { target: target.name, environment, isOfSpec, specNames: new Set(specNames) };
  });
}

function tell(found: Found, args: EnvArguments, io: Io): void {
  const { variables: all, hidden, ownNames } = found.environment;
  const every = Object.entries(all)
    .map(([name, value]) => ({ name, value, from: originOf(name, found) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const removed = ownNames
    .filter((name) => !Object.hasOwn(all, name))
    .map((name) => ({
      name,
      why: hidden.includes(name) ? "it says who you are" : "feature.env.unset",
    }));
  const wanted = args.isAllWanted ? every : every.filter(({ from }) => from !== "local");
  if (args.isExplained) io.stderr.write(explanation(every, removed, found.environment, io));
  if (args.format === "table") {
    io.stdout.write(variableTable(wanted, args.areValuesShown, io));
    if (!args.areValuesShown) io.stderr.write("inpod: values are not shown (--show-values)\n");
  } else if (args.format === "json") {
    const { target } = found;
    const document = { target, areValuesShown: args.areValuesShown, variables: wanted, removed };
    writeBytes(json(document), io);
  } else writeEvaluated(args.format, wanted, removed, io);
}

function originOf(name: ByteString, { environment, isOfSpec, specNames }: Found): Origin {
  const origin = environment.chosen.origins.get(name) ?? "local";
  const isSpec = origin === "pod" && (isOfSpec || specNames.has(toText(name)));
  return isSpec ? "spec" : origin;
}

function writeEvaluated(
  format: Evaluated,
  variables: readonly Variable[],
  removed: readonly { readonly name: ByteString }[],
  io: Io,
): void {
  const written = write(
    format,
    variables,
    removed.map(({ name }) => name),
  );
  writeBytes(written.bytes, io);
  if (written.left.length === 0) return;
  const names = written.left
    .slice(0, MAX_NAMES)
    .map(({ name, why }) => `${printable(toText(name)).replace(/\s/g, " ")} (${why})`);
  const more = written.left.length - names.length;
  const list = names.join(", ") + (more > 0 ? ` and ${more} more` : "");
  io.stderr.write(`inpod: left out of --format ${format}: ${list}\n`);
}

/** A file or a program gets every byte as it is; a terminal must not be steered by a pod's values. */
function writeBytes(bytes: ByteString, io: Io): void {
  if (!io.stdout.isTTY) {
    io.stdout.write(Buffer.from(bytes, "latin1"));
    return;
  }
  const text = toText(bytes);
  const shown = printable(text);
  io.stdout.write(shown);
  if (shown !== text)
    io.stderr.write(
      "inpod: control characters are shown as \ufffd on a terminal, and only there\n",
    );
}

const noEnvironment = (target: string, why: string): UserError =>
  new UserError("TARGET_NO_ENVIRONMENT", `the variables of ${target} cannot be read`, {
    cause: new Error(why),
    hints: ["inpod doctor tells what an agent may do there: inpod doctor -t TARGET"],
  });
