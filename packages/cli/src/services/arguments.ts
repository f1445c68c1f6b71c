/**
 * The flags that commands of service modes share: where to look and as whom, and what the agent is. A command adds its own
 * to `withServiceFlags(new Command(…))`, and reads these with `readServiceFlags(options)`.
 */
import { UserError } from "@inpod/protocol";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Overrides } from "../config/overrides.ts";
import {
  as,
  type PlaceArguments,
  readPlaceFlags,
  withAgentFlags,
  withPlaceFlags,
} from "../flags.ts";
import { type ExposeWish, readExpose } from "./expose.ts";

export interface ServiceArguments extends PlaceArguments {
  readonly isVerbose: boolean;
  readonly hasSaidYes: boolean;
}

export const withServiceFlags = (command: Command): Command =>
  withAgentFlags(withPlaceFlags(command))
    .option("-k, --key <key>", "name of the session, in labels and templates", as("key"))
    .option("-v, --verbose", "tell each decision and its reason");

export const withReplicas = (command: Command): Command =>
  command
    .option(
      "--replicas <number>",
      'from how many ready pods the traffic comes, or "all" (the default)',
      as("replicas"),
    )
    .option("--no-canary", "do not try whether what is sent to the Service arrives");

/** Of commands whose operand is the target: `exec` has a flag for it. */
export const withTarget = (command: Command): Command =>
  command.argument("[target]").option("-t, --target <target>", "the same as TARGET", as("target"));

/** @throws UserError USAGE_INVALID */
export function readTarget(
  command: string,
  options: Record<string, unknown>,
  operand: string | undefined,
): string | undefined {
  const flag = options.target as string | undefined;
  if (flag === undefined || operand === undefined || flag === operand) return operand ?? flag;
  throw new UserError("USAGE_INVALID", `two targets: "${operand}" and -t "${flag}"`, {
    hints: [`one ${command} is of one target: start another one beside it`],
  });
}

/** Of commands that take traffic. */
export const withTakingFlags = (command: Command): Command =>
  withReplicas(command)
    .addOption(
      new Option(
        "--mode <way>",
        "selector: through a relay pod, to which the Service's selector leads meanwhile; ephemeral: -e",
      ).argParser(readMode),
    )
    .option(
      "--allow-host-network",
      "take it from a pod in its node's network, and so from the node",
    )
    .option("-y, --yes", "in a protected context too, without being asked");

/** As ktctl has it. */
function readMode(text: string): string {
  // "auto" is what ktctl's mesh calls its own way, and what happens here without a word.
  if (text === "selector" || text === "ephemeral" || text === "auto") return text;
  throw new InvalidArgumentError(
    text === "scale"
      ? "inpod never scales a workload: leave --mode out, and the pods go on beside you"
      : "selector, ephemeral",
  );
}

/** `--expose`, of commands whose local end is a port that listens already. */
export const withExpose = (command: Command): Command =>
  command.option(
    "--expose <local[:remote],…>",
    "your port, and the one for which it stands: a number or a name; /udp behind it",
    readExpose,
  );

export function readServiceFlags(options: Record<string, unknown>): ServiceArguments {
  const place = readPlaceFlags(options);
  // Where Commander's name for an option is ours, its reader has given it our type.
  const said = options as Overrides;
  return {
    isFileWanted: place.isFileWanted,
    isVerbose: options.verbose === true,
    hasSaidYes: options.yes === true,
    flags: {
      ...place.flags,
      agentImage: said.agentImage,
      agentStartupTimeoutS: options.agentStartupTimeout as number | undefined,
      agentNamespace: said.agentNamespace,
      ephemeral:
        options.mode === "ephemeral" ? true : (options.ephemeralContainer as true | undefined),
      relayPod: options.mode === "selector" ? "always" : undefined,
      key: said.key,
      allowHostNetwork: said.allowHostNetwork,
      replicas: said.replicas,
      canary: options.canary === false ? false : undefined,
    },
  };
}

export const readExposeFlag = (
  options: Record<string, unknown>,
): readonly ExposeWish[] | undefined => options.expose as readonly ExposeWish[] | undefined;
