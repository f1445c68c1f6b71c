/** The command line's edge: together with end-by-signal.ts all that ends the process. */
import { checkPlatform } from "@inpod/layer/platform";
import { type Arguments, parseArguments } from "./arguments.ts";
import { checkCommand } from "./command.ts";
import { loadConfig } from "./config/load.ts";
import { endBy } from "./end-by-signal.ts";
import type { ExecResult } from "./exec/run.ts";
import { hasColor, type Io } from "./io.ts";
import { checkTarget } from "./target.ts";
import { renderError } from "./text/errors.ts";
import { exitCodeOf } from "./text/exit-codes.ts";

const io: Io = {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  directory: process.cwd(),
};

async function main(argv: readonly string[]): Promise<ExecResult> {
  const parsed = parseArguments(argv);
  if (parsed.kind === "exec") return exec(parsed);
  io.stdout.write(parsed.text);
  return { code: 0 };
}

async function exec({
  command,
  flags,
  isFileWanted,
  isVerbose,
}: Extract<Arguments, { kind: "exec" }>): Promise<ExecResult> {
  checkPlatform();
  const { env, directory, stderr } = io;
  const verbose = isVerbose || env.INPOD_LOG === "debug";
  const config = loadConfig({ flags, env, directory, isFileWanted });
  const target = checkTarget(config.target);
  const { executable, warnings } = checkCommand(command[0], env.PATH, directory);
  for (const line of [...config.notices, ...warnings]) stderr.write(`inpod: ${line}\n`);
  if (verbose)
    for (const key of config.ignoredKeys) stderr.write(`inpod: "${key}" has no effect\n`);
  // Loaded only here: everything above runs where there is no tap.
  const { runExec } = await import("./exec/run.ts");
  return runExec({ config: { ...config, target }, command, executable, verbose, io });
}

function fail(error: unknown): void {
  io.stderr.write(renderError(error, hasColor(process.stderr, process.env)));
  process.exit(exitCodeOf(error));
}

// A bug outside of any wait of ours; what the cluster still has ends itself (agent.idle_timeout).
process.on("uncaughtException", (error) => {
  fail(error);
  process.exit();
});

try {
  const result = await main(process.argv.slice(2));
  if ("signal" in result) endBy(result.signal);
  // The tap's threads would keep the event loop alive. Pipes, files and terminals are written at once.
  else process.exit(result.code);
} catch (error) {
  fail(error);
}
