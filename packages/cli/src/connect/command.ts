/** A command, and all that it starts, in the cluster's network: what `exec` is, without files, variables and incoming. */
import { checkPlatform } from "@inpod/layer/platform";
import { checkCommand } from "../command.ts";
import { loadConfig } from "../config/load.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import { runExec } from "../exec/run.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { wantedTarget } from "../wanted-target.ts";
import type { ConnectArguments } from "./arguments.ts";

/** @throws UserError */
export function runCommand(args: ConnectArguments, io: Io): Promise<CommandResult> {
  checkPlatform();
  const { env, directory, stderr } = io;
  const [first = "", ...rest] = args.command;
  const { flags, isFileWanted, isVerbose, hasSaidYes } = args;
  const target = args.target ?? "targetless";
  const config = networkOnly(loadConfig({ flags, env, directory, isFileWanted }));
  const { executable, warnings } = checkCommand(first, env.PATH, directory);
  for (const line of warnings) stderr.write(`inpod: ${line}\n`);
  return runExec({
    config: { ...config, target },
    target: wantedTarget(target, "whose network?"),
    command: [first, ...rest],
    executable,
    verbose: isVerbose || env.INPOD_LOG === "debug",
    hasSaidYes,
    io,
  });
}

/** What a project's configuration says of the network stays; of the rest nothing is the target's. */
export const networkOnly = (config: ResolvedConfig): ResolvedConfig => ({
  ...config,
  env: false,
  replicas: 1,
  layer: {
    ...config.layer,
    files: { ...config.layer.files, mode: "local" },
    incoming: { ...config.layer.incoming, mode: "off" },
    hostname: false,
  },
});
