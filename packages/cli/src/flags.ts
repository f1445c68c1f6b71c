/** What the flags of several commands have in common. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Flags, type Overrides, readOverride } from "./config/overrides.ts";

/** Reads a flag's text as the configuration's value of that name. */
export const as =
  <Key extends keyof Overrides>(key: Key) =>
  (text: string) => {
    const value = readOverride(key, text);
    if (value.kind === "wrong") throw new InvalidArgumentError(value.allowed);
    return value.value;
  };

/** Accepted, and not in --help. */
export const hidden = (flags: string): Option => new Option(flags).hideHelp();

/** Where a command looks, and as whom. */
export interface PlaceArguments {
  readonly flags: Flags;
  /** `-f` was given without a file. */
  readonly isFileWanted: boolean;
}

/** `-n`, `-f`, `--context`, `--kubeconfig`, `-c`: the same for every command that asks a cluster. */
export const withPlaceFlags = (command: Command): Command =>
  command
    .option("-n, --target-namespace <name>", "the namespace", as("namespace"))
    .addOption(hidden("--namespace <name>").argParser(as("namespace")))
    .option(
      "-f, --config-file [file]",
      "configuration (.inpod/inpod.json, .mirrord/mirrord.json; .yaml, .toml)",
    )
    .option("--context <name>", "context of the kubeconfig", as("context"))
    .option("--kubeconfig <file>", "kubeconfig to use", as("kubeconfig"))
    .option("-c, --accept-invalid-certificates", "do not verify the API server's certificate")
    // Commander has no boolean whose value is written with "=": the whole word is the flag.
    .addOption(hidden("--accept-invalid-certificates=true"))
    .addOption(hidden("--accept-invalid-certificates=false"));

export function readPlaceFlags(options: Record<string, unknown>): PlaceArguments {
  const configFile = options.configFile as string | true | undefined;
  // Where Commander's name for an option is ours, its reader has given it our type.
  const said = options as Overrides;
  return {
    isFileWanted: configFile === true,
    flags: {
      configFile: configFile === true ? undefined : configFile,
      namespace: (options.targetNamespace as string | undefined) ?? said.namespace,
      context: said.context,
      kubeconfig: said.kubeconfig,
      acceptInvalidCertificates:
        options["acceptInvalidCertificates=false"] === true
          ? false
          : options["acceptInvalidCertificates=true"] === true || said.acceptInvalidCertificates,
    },
  };
}

/** What the agent is, and where. */
export const withAgentFlags = (command: Command): Command =>
  command
    .option("-i, --agent-image <image>", "image of the agent", as("agentImage"))
    .option(
      "--agent-startup-timeout <seconds>",
      "how long the agent may take to start",
      as("agentStartupTimeoutS"),
    )
    .option(
      "-a, --agent-namespace <name>",
      "the agent's, where not the target's",
      as("agentNamespace"),
    )
    .option(
      "-e, --ephemeral-container",
      "the agent may be a container in the pod itself (it stays in the pod's spec)",
    );
