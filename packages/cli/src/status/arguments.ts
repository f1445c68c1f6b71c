/** The flags of `inpod status`. */
import { Command, InvalidArgumentError, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { as, type PlaceArguments, readPlaceFlags, withPlaceFlags } from "../flags.ts";
import { STATUS_EXAMPLES, STATUS_WHAT } from "../text/help.ts";
import { SORTS, type Sort } from "./rows.ts";

export interface StatusArguments extends PlaceArguments {
  readonly kind: "status";
  readonly isEverywhere: boolean;
  readonly output: "table" | "json";
  /** Of Services, not of targets. */
  readonly ofServices: boolean;
  /** Only Services that somebody has. */
  readonly isHeldOnly: boolean;
  readonly sort: Sort;
}

/** What `ktctl birdseye --sortBy` takes. */
const KTCTL_SORTS: Readonly<Record<string, string>> = { status: "mode", name: "target" };

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
      .option("--services", "the Services, and who has which")
      .option("--held", "of the Services only those that somebody has")
      .addOption(
        new Option("--sort-by <what>", `${SORTS.join(", ")}`)
          .argParser((text: string): Sort => {
            const sort = SORTS.find((each) => each === (KTCTL_SORTS[text] ?? text));
            if (sort === undefined) throw new InvalidArgumentError(SORTS.join(", "));
            return sort;
          })
          .default("target"),
      )
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
      ofServices: options.services === true || options.held === true,
      isHeldOnly: options.held === true,
      sort: options.sortBy as Sort,
    };
  },
};
