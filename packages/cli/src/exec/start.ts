/** `inpod exec` up to where anything is made or Linux is needed: configuration, target and command are checked. */
import { checkPlatform } from "@inpod/layer/platform";
import { checkCommand } from "../command.ts";
import { loadSources } from "../config/load.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { openTrace } from "../trace/open.ts";
import { wantedTarget } from "../wanted-target.ts";
import type { ExecArguments } from "./arguments.ts";
import { checkEnvironment } from "./environment.ts";

export async function startExec(
  { command, flags, isFileWanted, isVerbose, hasSaidYes, trace: traceFile }: ExecArguments,
  io: Io,
): Promise<CommandResult> {
  checkPlatform();
  const { env, directory, stderr } = io;
  const verbose = isVerbose || env.INPOD_LOG === "debug";
  const loaded = loadSources({ flags, env, directory, isFileWanted });
  const { config } = loaded;
  const target = wantedTarget(config.target, "whose place is the command to take?");
  const { executable, warnings } = checkCommand(command[0], env.PATH, directory);
  checkEnvironment(config, io);
  for (const line of warnings) stderr.write(`inpod: ${line}\n`);
  if (verbose)
    for (const { path, why } of config.ignoredKeys)
      stderr.write(`inpod: "${path}" has no effect: ${why}\n`);
  // Loaded only here: everything above runs where there is no tap.
  const { runExec } = await import("./run.ts");
  const trace = traceFile === undefined ? undefined : openTrace(traceFile, loaded, executable, io);
  try {
    return await runExec({ config, target, command, executable, verbose, hasSaidYes, io, trace });
  } finally {
    await trace?.close();
  }
}
