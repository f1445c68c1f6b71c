/** `inpod env`: the variables that a command would get in the place of a target. */
import { UserError } from "@inpod/protocol";
import { loadConfig } from "../config/load.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import { checkEnvironment, programEnvironment, reportEnvironment } from "../exec/environment.ts";
import { specNames, withSpecEnvironment } from "../exec/spec-environment.ts";
import { stoppable } from "../exec/stoppable.ts";
import { withSession } from "../exec/with-session.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { Progress } from "../text/progress.ts";
import { createReporter } from "../text/reports.ts";
import { wantedTarget } from "../wanted-target.ts";
import type { EnvArguments } from "./arguments.ts";
import { vscodeFragment } from "./ide-formats.ts";
import { type Found, tell, writeBytes } from "./tell.ts";

/**
 * @param words of the command line, `env` first
 * @throws UserError
 */
export function runEnv(
  args: EnvArguments,
  io: Io,
  words: readonly string[],
): Promise<CommandResult> {
  return stoppable(io, async (progress, signals) => {
    const { flags, isFileWanted, isVerbose } = args;
    const config = loadConfig({ flags, env: io.env, directory: io.directory, isFileWanted });
    const verbose = isVerbose || io.env.INPOD_LOG === "debug";
    if (verbose)
      for (const { path, why } of config.ignoredKeys)
        io.stderr.write(`inpod: "${path}" has no effect: ${why}\n`);
    if (args.isKeptOpen) {
      const { keepOpen } = await import("./keep-open.ts");
      return await keepOpen({ args, config, verbose, io, words }, progress, signals);
    }
    const found = await fetch(config, { io, verbose, progress, signal: signals.signal });
    progress.done();
    tell(found, args, io);
    if (args.format === "vscode") writeBytes(vscodeFragment(args.output ?? "", undefined), io);
    return { code: 0 };
  });
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
    mode: "env",
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
    return { target: target.name, environment, isOfSpec, specNames: specNames(described, target) };
  });
}

const noEnvironment = (target: string, why: string): UserError =>
  new UserError("TARGET_NO_ENVIRONMENT", `the variables of ${target} cannot be read`, {
    cause: new Error(why),
    hints: ["inpod doctor tells what an agent may do there: inpod doctor -t TARGET"],
  });
