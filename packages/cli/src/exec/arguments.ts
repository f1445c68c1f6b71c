/** The flags of `inpod exec`. */
import { UserError } from "@inpod/protocol";
import { Command } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import type { Overrides } from "../config/overrides.ts";
import {
  as,
  hidden,
  type PlaceArguments,
  readPlaceFlags,
  withAgentFlags,
  withPlaceFlags,
} from "../flags.ts";
import { EXEC_EXAMPLES, EXEC_WHAT } from "../text/help.ts";

/** What a session is, as flags say it. */
export interface SessionArguments extends PlaceArguments {
  readonly isVerbose: boolean;
}

export interface ExecArguments extends SessionArguments {
  readonly kind: "exec";
  readonly hasSaidYes: boolean;
  /** Where every call is to be written. */
  readonly trace: string | undefined;
  readonly command: readonly [string, ...string[]];
}

export const execSyntax: CommandSyntax<ExecArguments> = {
  define: () =>
    withSessionFlags(
      new Command("exec")
        .summary("run a command in the place of a pod")
        .description(EXEC_WHAT)
        .usage("[flags] -- COMMAND [ARGUMENT…]")
        .argument("[command...]")
        .passThroughOptions(),
    )
      .option("-y, --yes", "take traffic in a protected context without being asked")
      .option(
        "--trace <file>",
        "write every decision to a file, as JSON lines; inpod trace reads it",
      )
      .addHelpText("after", EXEC_EXAMPLES),
  read: (options, [first, ...rest]) => {
    if (first === undefined) throw noCommand();
    return {
      kind: "exec",
      ...readSessionFlags(options),
      hasSaidYes: options.yes === true,
      trace: options.trace as string | undefined,
      command: [first, ...rest],
    };
  },
  usageHint: "a flag of your command comes after it: inpod exec [flags] -- COMMAND --its-flag",
};

/** Every flag that `exec` has: each says a value of the configuration. */
export const withSessionFlags = (command: Command): Command =>
  withAgentFlags(
    withPlaceFlags(
      command.option(
        "-t, --target <target>",
        "whose place: KIND/NAME[/container/NAME], label/KEY=VALUE, targetless or process/PID",
        as("target"),
      ),
    )
      .option(
        "--steal",
        "the command answers the pod's clients (else it gets copies of what they send)",
      )
      .option(
        "--replicas <number>",
        'from how many ready pods of a workload the traffic comes, or "all" (default: 5)',
        as("replicas"),
      ),
  )
    .option(
      "--allow-host-network",
      "steal from a pod in its node's network, and so from the whole node",
    )
    .option(
      "--agent-ttl <seconds>",
      "how long the cluster keeps the agent's Job after its end",
      as("agentTtlS"),
    )
    .option(
      "-l, --agent-log-level <level>",
      "off, error, warn, info, debug or trace",
      as("agentLogLevel"),
    )
    .option("-k, --key <key>", "name of the session, in labels and templates", as("key"))
    .option("--fs-mode <mode>", "read, write, local or local-with-overrides", as("fsMode"))
    .option(
      "-x, --override-env-vars-exclude <names>",
      'variables that stay away: "A;B_*"',
      as("envExclude"),
    )
    .option("-s, --override-env-vars-include <names>", "only these variables", as("envInclude"))
    .option("--env-file <file>", "more variables, NAME=value lines", as("envFile"))
    .option("--no-remote-dns", "names are resolved by this machine")
    .option(
      "--skip-processes <names>",
      'programs that stay on this machine: "make;gcc"',
      as("skipProcesses"),
    )
    .option("--no-canary", "do not try whether what is sent to the pod's Service arrives")
    .option("--no-outgoing", "no connection leaves from the pod")
    .option("--no-tcp-outgoing", "no TCP connection does")
    .option("--no-udp-outgoing", "no UDP datagram does")
    .addOption(hidden("--no-telemetry"))
    .addOption(hidden("--disable-version-check"))
    .option("-v, --verbose", "tell each decision and its reason");

export function readSessionFlags(options: Record<string, unknown>): SessionArguments {
  /** The default of a `--no-…` flag is true: that is not "said". */
  const unlessFalse = (...values: unknown[]): false | undefined =>
    values.includes(false) ? false : undefined;
  const place = readPlaceFlags(options);
  // Where Commander's name for an option is ours, its reader has given it our type.
  const said = options as Overrides;
  return {
    isFileWanted: place.isFileWanted,
    isVerbose: options.verbose === true,
    flags: {
      ...place.flags,
      target: said.target,
      agentImage: said.agentImage,
      agentStartupTimeoutS: options.agentStartupTimeout as number | undefined,
      agentNamespace: said.agentNamespace,
      agentLogLevel: said.agentLogLevel,
      agentTtlS: options.agentTtl as number | undefined,
      ephemeral: options.ephemeralContainer as true | undefined,
      allowHostNetwork: said.allowHostNetwork,
      key: said.key,
      fsMode: said.fsMode,
      envExclude: options.overrideEnvVarsExclude as string[] | undefined,
      envInclude: options.overrideEnvVarsInclude as string[] | undefined,
      envFile: said.envFile,
      skipProcesses: said.skipProcesses,
      dns: unlessFalse(options.remoteDns),
      steal: said.steal,
      replicas: said.replicas,
      canary: unlessFalse(options.canary),
      tcpOutgoing: unlessFalse(options.outgoing, options.tcpOutgoing),
      udpOutgoing: unlessFalse(options.outgoing, options.udpOutgoing),
    },
  };
}

const noCommand = (): UserError =>
  new UserError("USAGE_NO_COMMAND", "no command to run", {
    hints: ["put it at the end: inpod exec --target pod/NAME -- node server.js"],
  });
