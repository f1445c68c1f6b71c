/** The flags of `inpod doctor`. */
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import type { Overrides } from "../config/overrides.ts";
import { as, hidden, type PlaceArguments, readPlaceFlags, withPlaceFlags } from "../flags.ts";
import { DOCTOR_EXAMPLES, DOCTOR_WHAT } from "./help.ts";
import { PROBE_FLAG } from "./machine/probe.ts";

export interface DoctorArguments extends PlaceArguments {
  readonly kind: "doctor";
  readonly output: "text" | "json";
  /** No cluster is asked. */
  readonly isMachineOnly: boolean;
  readonly task: "examine" | "print-role" | "print-policy" | "probe-tap";
  /** Empty: no program is looked at. */
  readonly command: readonly string[];
}

export const doctorSyntax: CommandSyntax<DoctorArguments> = {
  define: defineDoctor,
  read: (options, command) => {
    const said = options as Overrides;
    const place = readPlaceFlags(options);
    return {
      kind: "doctor",
      isFileWanted: place.isFileWanted,
      isMachineOnly: options.machine === true,
      output: options.output as DoctorArguments["output"],
      task:
        options.probeTap === true
          ? "probe-tap"
          : options.printRole === true
            ? "print-role"
            : options.printPolicy === true
              ? "print-policy"
              : "examine",
      command,
      flags: {
        ...place.flags,
        target: said.target,
        agentImage: said.agentImage,
        agentNamespace: said.agentNamespace,
        ephemeral: options.ephemeralContainer as boolean | undefined,
        allowHostNetwork: said.allowHostNetwork,
        steal: said.steal,
      },
    };
  },
  usageHint: "a flag of your command comes after it: inpod doctor [flags] -- COMMAND --its-flag",
};

function defineDoctor(): Command {
  return withPlaceFlags(
    new Command("doctor")
      .summary("find out what would keep a session from working, without changing anything")
      .description(DOCTOR_WHAT)
      .usage("[flags] [-- COMMAND [ARGUMENT…]]")
      .argument("[command...]")
      .passThroughOptions()
      .option("-t, --target <target>", "look at this target too, as for exec", as("target")),
  )
    .option("--steal", "the session would take the pod's traffic")
    .option("-a, --agent-namespace <name>", "the agent's namespace", as("agentNamespace"))
    .option("-e, --ephemeral-container", "the agent would be a container of the target's pod")
    .option("--allow-host-network", "a port of the whole node may be taken")
    .option("-i, --agent-image <image>", "image of the agent", as("agentImage"))
    .addOption(
      new Option("-o, --output <form>", "text or json").choices(["text", "json"]).default("text"),
    )
    .option("--machine", "look at this machine and the program only, and ask no cluster")
    .option("--print-role", "print the smallest Role for such a session, and nothing else")
    .option(
      "--print-policy",
      "print an admission policy by which no-steal and no-mirror are a wall, and nothing else",
    )
    .addOption(hidden(PROBE_FLAG))
    .addHelpText("after", DOCTOR_EXAMPLES);
}
