/** The flags of `inpod status`. */
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { as, type PlaceArguments, readPlaceFlags, withPlaceFlags } from "../flags.ts";
import { STATUS_EXAMPLES, STATUS_WHAT } from "../text/help.ts";

export interface StatusArguments extends PlaceArguments {
  readonly kind: "status";
  readonly isEverywhere: boolean;
  readonly output: "table" | "json";
}

export const statusSyntax: CommandSyntax<StatusArguments> = {
  define: () =>
    withPlaceFlags(
      new Command("status")
        .summary("who has a session where, and which ports and requests are whose")
        .description(STATUS_WHAT)
        .option(
          "-t, --target <target>",
          "only of this one: KIND/NAME (else of all in the namespace)",
          as("target"),
        ),
    )
      .option("-A, --all-namespaces", "in every namespace")
      .addOption(new Option("-o, --output <form>").choices(["table", "json"]).default("table"))
      .addHelpText("after", STATUS_EXAMPLES),
  read: (options) => {
    const place = readPlaceFlags(options);
    return {
      kind: "status",
      ...place,
      flags: { ...place.flags, target: options.target as string | undefined },
      isEverywhere: options.allNamespaces === true,
      output: options.output as StatusArguments["output"],
    };
  },
};
