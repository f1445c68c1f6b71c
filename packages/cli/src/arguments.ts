/** The command line, read and not yet acted on. */
import { UserError } from "@inpod/protocol";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { type Overrides, readOverride } from "./config/overrides.ts";
import { nearest } from "./nearest.ts";
import { EXEC_EXAMPLES, EXEC_WHAT, MAIN_EXAMPLES, WHAT } from "./text/help.ts";
import { VERSION } from "./version.ts";

export type Arguments =
  | { readonly kind: "print"; readonly text: string }
  | {
      readonly kind: "exec";
      readonly flags: Overrides;
      /** `-f` was given without a file. */
      readonly isFileWanted: boolean;
      readonly isVerbose: boolean;
      readonly command: readonly [string, ...string[]];
    };

/** Documented flags and commands that this version does not act on. */
const LATER_FLAGS = [
  "-a, --agent-namespace <value>",
  "-l, --agent-log-level <value>",
  "--agent-ttl <value>",
  "-e, --ephemeral-container",
  "-k, --key <value>",
];
const LATER_COMMANDS =
  "ls env dump container doctor clean exchange mesh preview forward connect".split(" ");

/** @param argv without node and the script; @throws UserError USAGE_* */
export function parseArguments(argv: readonly string[]): Arguments {
  let result: Arguments | undefined;
  let printed = "";
  const program = new Command("inpod");
  const output = {
    writeOut: (text: string) => {
      printed += text;
    },
    writeErr: () => {},
  };
  program
    .description(WHAT)
    .version(VERSION, "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand(false)
    .addHelpText("after", MAIN_EXAMPLES)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput(output)
    .showSuggestionAfterError(false)
    .argument("[command...]")
    // What follows an unknown command is its own: the command is the mistake.
    .passThroughOptions()
    .action(([name]: string[]) => {
      throw name === undefined ? noCommandOfOurs() : unknownCommand(name);
    });
  const exec = execCommand().copyInheritedSettings(program);
  exec.action((command: string[], options: Record<string, unknown>) => {
    const [first, ...rest] = command;
    for (const flags of LATER_FLAGS) {
      const option = new Option(flags);
      if (options[option.attributeName()] !== undefined) throw flagNotYet(option.long ?? flags);
    }
    if (first === undefined) throw noCommand();
    result = { kind: "exec", ...read(options), command: [first, ...rest] };
  });
  program.addCommand(exec);
  try {
    program.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: "print", text: printed };
    throw usage(error, argv[0] === "exec" ? exec : program);
  }
  if (result === undefined) throw noCommandOfOurs();
  return result;
}

function execCommand(): Command {
  const as =
    <Key extends keyof Overrides>(key: Key) =>
    (text: string) => {
      const value = readOverride(key, text);
      if (value.kind === "wrong") throw new InvalidArgumentError(value.allowed);
      return value.value;
    };
  const hidden = (flags: string): Option => new Option(flags).hideHelp();
  const command = new Command("exec")
    .summary("run a command in the place of a pod")
    .description(EXEC_WHAT)
    .usage("[flags] -- COMMAND [ARGUMENT…]")
    .argument("[command...]")
    .passThroughOptions()
    .option(
      "-t, --target <target>",
      "pod/NAME, pod/NAME/container/NAME or process/PID",
      as("target"),
    )
    .option("-n, --target-namespace <name>", "its namespace", as("namespace"))
    .addOption(hidden("--namespace <name>").argParser(as("namespace")))
    .option(
      "-f, --config-file [file]",
      "configuration (.inpod/inpod.json, .mirrord/mirrord.json; .yaml, .toml)",
    )
    .option("--steal", "what the pod's clients send comes to the command")
    .option("--context <name>", "context of the kubeconfig", as("context"))
    .option("--kubeconfig <file>", "kubeconfig to use", as("kubeconfig"))
    .option("-i, --agent-image <image>", "image of the agent", as("agentImage"))
    .option(
      "--agent-startup-timeout <seconds>",
      "how long the agent may take to start",
      as("agentStartupTimeoutS"),
    )
    .option("--fs-mode <mode>", "read, local or local-with-overrides", as("fsMode"))
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
    .option("--no-outgoing", "no connection leaves from the pod")
    .option("--no-tcp-outgoing", "no TCP connection does")
    .option("--no-udp-outgoing", "no UDP datagram does")
    .option("-c, --accept-invalid-certificates", "do not verify the API server's certificate")
    // Commander has no boolean whose value is written with "=": the whole word is the flag.
    .addOption(hidden("--accept-invalid-certificates=true"))
    .addOption(hidden("--accept-invalid-certificates=false"))
    .addOption(hidden("--no-telemetry"))
    .addOption(hidden("--disable-version-check"))
    .option("-v, --verbose", "tell each decision and its reason")
    .helpOption("-h, --help", "print this help")
    .addHelpText("after", EXEC_EXAMPLES);
  for (const flags of LATER_FLAGS) command.addOption(hidden(flags));
  return command;
}

function read(
  options: Record<string, unknown>,
): Omit<Extract<Arguments, { kind: "exec" }>, "kind" | "command"> {
  /** The default of a `--no-…` flag is true: that is not "said". */
  const unlessFalse = (...values: unknown[]): false | undefined =>
    values.includes(false) ? false : undefined;
  const configFile = options.configFile as string | true | undefined;
  // Where Commander's name for an option is ours, its reader has given it our type.
  const said = options as Overrides;
  return {
    isFileWanted: configFile === true,
    isVerbose: options.verbose === true,
    flags: {
      configFile: configFile === true ? undefined : configFile,
      target: said.target,
      namespace: (options.targetNamespace as string | undefined) ?? said.namespace,
      context: said.context,
      kubeconfig: said.kubeconfig,
      agentImage: said.agentImage,
      agentStartupTimeoutS: options.agentStartupTimeout as number | undefined,
      fsMode: said.fsMode,
      envExclude: options.overrideEnvVarsExclude as string[] | undefined,
      envInclude: options.overrideEnvVarsInclude as string[] | undefined,
      envFile: said.envFile,
      skipProcesses: said.skipProcesses,
      dns: unlessFalse(options.remoteDns),
      steal: said.steal,
      tcpOutgoing: unlessFalse(options.outgoing, options.tcpOutgoing),
      udpOutgoing: unlessFalse(options.outgoing, options.udpOutgoing),
      acceptInvalidCertificates:
        options["acceptInvalidCertificates=false"] === true
          ? false
          : options["acceptInvalidCertificates=true"] === true || said.acceptInvalidCertificates,
    },
  };
}

/** Commander's own message, and for an unknown flag the nearest one. */
function usage({ code, message }: CommanderError, command: Command): UserError {
  const what = message.replace(/^error: /, "").replaceAll("option '", "flag '");
  const flag = /^commander\.unknownOption$/.test(code) ? /'([^'=]+)/.exec(message)?.[1] : undefined;
  const known = command.options.flatMap(({ long, hidden }) => (long && !hidden ? [long] : []));
  const meant = flag === undefined ? undefined : nearest(flag, known);
  return new UserError("USAGE_INVALID", what, {
    hints: [
      ...(meant === undefined ? [] : [`did you mean ${meant}?`]),
      "a flag of your command comes after it: inpod exec [flags] -- COMMAND --its-flag",
      "see all: inpod exec --help",
    ].slice(flag === undefined ? 1 : 0),
  });
}

const noCommand = (): UserError =>
  new UserError("USAGE_NO_COMMAND", "no command to run", {
    hints: ["put it at the end: inpod exec --target pod/NAME -- node server.js"],
  });

const noCommandOfOurs = (): UserError =>
  new UserError("USAGE_NO_COMMAND", "what is inpod to do?", {
    hints: [
      "run a program as a pod: inpod exec --target pod/NAME -- COMMAND",
      "see all: inpod --help",
    ],
  });

const flagNotYet = (flag: string): UserError =>
  new UserError("USAGE_NOT_YET", `${flag} is not supported yet`);

function unknownCommand(name: string): UserError {
  if (LATER_COMMANDS.includes(name))
    return new UserError("USAGE_NOT_YET", `inpod ${name} is not supported yet`);
  const meant = nearest(name, ["exec", ...LATER_COMMANDS]);
  return new UserError("USAGE_INVALID", `inpod has no command "${name}"`, {
    hints: [
      meant === undefined
        ? `to run it as a pod: inpod exec --target pod/NAME -- ${name}`
        : `did you mean inpod ${meant}?`,
    ],
  });
}
