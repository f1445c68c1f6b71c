/** The flags of `inpod clean`. */
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { type PlaceArguments, readPlaceFlags, withPlaceFlags } from "../flags.ts";
import { CLEAN_WHAT } from "../text/help.ts";

export interface CleanArguments extends PlaceArguments {
  readonly kind: "clean";
  readonly isDryRun: boolean;
  readonly isEverywhere: boolean;
  readonly output: "text" | "json";
}

export const cleanSyntax: CommandSyntax<CleanArguments> = {
  define: () =>
    withPlaceFlags(
      new Command("clean").summary("remove what ended sessions left").description(CLEAN_WHAT),
    )
      .option("-A, --all-namespaces", "in every namespace")
      .option("--dry-run", "say what would be removed, and remove nothing")
      .addOption(new Option("-o, --output <form>").choices(["text", "json"]).default("text")),
  read: (options) => ({
    kind: "clean",
    ...readPlaceFlags(options),
    isDryRun: options.dryRun === true,
    isEverywhere: options.allNamespaces === true,
    output: options.output as CleanArguments["output"],
  }),
};
