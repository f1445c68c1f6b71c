/** The words of `inpod recover`. */
import { UserError } from "@inpod/protocol";
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { type PlaceArguments, readPlaceFlags, withPlaceFlags } from "../flags.ts";

export interface RecoverArguments extends PlaceArguments {
  readonly kind: "recover";
  /** Undefined: every one in the namespace. */
  readonly service: string | undefined;
  /** This machine only: no cluster is asked. */
  readonly isMachineOnly: boolean;
  readonly hasSaidYes: boolean;
  readonly output: "text" | "json";
}

const WHAT =
  "Gives Services back whose traffic a relay pod has for a session that is gone: the selector that inpod wrote down in the " +
  "Service before it changed it. A session gives them back at its end, and its relay pod when the session is lost: this is " +
  "for what neither could do.";

const EXAMPLES = `
Without a name: all in the namespace whose session is dead. One whose session lives is named, and left alone.

Examples:
  inpod recover
  inpod recover orders -n shop
  inpod recover --machine
  inpod recover orders -n shop --yes    # although somebody uses it`;

export const recoverSyntax: CommandSyntax<RecoverArguments> = {
  define: () =>
    withPlaceFlags(
      new Command("recover")
        .summary("give back the Services of dead sessions")
        .description(WHAT)
        .usage("[flags] [SERVICE]")
        .argument("[service]"),
    )
      .option("--machine", "only what connect by routes has left on this machine")
      .option("-y, --yes", "also of a session that lives: its developer gets no requests any more")
      .addOption(new Option("--force").hideHelp())
      .addOption(new Option("-o, --output <form>").choices(["text", "json"]).default("text"))
      .addHelpText("after", EXAMPLES),
  read: (options, [service]) => ({
    kind: "recover",
    ...readPlaceFlags(options),
    service: service === undefined ? undefined : serviceName(service),
    isMachineOnly: options.machine === true,
    hasSaidYes: options.yes === true || options.force === true,
    output: options.output as RecoverArguments["output"],
  }),
};

/** @throws UserError USAGE_INVALID */
function serviceName(text: string): string {
  const name = text.replace(/^(service|svc|services)\//, "");
  if (name !== "" && !name.includes("/")) return name;
  throw new UserError("USAGE_INVALID", `"${text}" is no name of a Service`, {
    hints: ["inpod recover orders", "which there are: inpod status --services"],
  });
}
