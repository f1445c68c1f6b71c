/** The flags of `inpod verify`. */
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { type PlaceArguments, readPlaceFlags, withPlaceFlags } from "../flags.ts";
import { VERIFY_WHAT } from "../text/help.ts";

export interface VerifyArguments extends PlaceArguments {
  readonly kind: "verify";
  readonly isEverywhere: boolean;
  /** This machine only: no cluster is asked. */
  readonly isMachineOnly: boolean;
  readonly save: string | undefined;
  readonly since: string | undefined;
  readonly output: "text" | "json";
}

export const verifySyntax: CommandSyntax<VerifyArguments> = {
  define: () =>
    withPlaceFlags(
      new Command("verify").summary("show that nothing was left behind").description(VERIFY_WHAT),
    )
      .option("-A, --all-namespaces", "in every namespace")
      .option("--machine", "look at this machine only")
      .option("--save <file>", "write down what there is now")
      .option("--since <file>", "compare with what was written down, and name what is new or gone")
      .addOption(new Option("-o, --output <form>").choices(["text", "json"]).default("text")),
  read: (options) => ({
    kind: "verify",
    ...readPlaceFlags(options),
    isEverywhere: options.allNamespaces === true,
    isMachineOnly: options.machine === true,
    save: options.save as string | undefined,
    since: options.since as string | undefined,
    output: options.output as VerifyArguments["output"],
  }),
};
