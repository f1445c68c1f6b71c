/** The flags of `inpod leave`. */
import { Command } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { type PlaceArguments, readPlaceFlags, withPlaceFlags } from "../flags.ts";
import { LEAVE_EXAMPLES, LEAVE_WHAT } from "./help.ts";

export interface LeaveArguments extends PlaceArguments {
  readonly kind: "leave";
  /** Ids of sessions, targets or names of those; none: the only one. */
  readonly sessions: readonly string[];
  readonly isAll: boolean;
  /** Through the cluster, where they run on another machine. */
  readonly isForced: boolean;
}

export const leaveSyntax: CommandSyntax<LeaveArguments> = {
  define: () =>
    withPlaceFlags(
      new Command("leave")
        .summary("end sessions of yours that run in other terminals")
        .description(LEAVE_WHAT)
        .usage("[flags] [SESSION|TARGET|SERVICE…]")
        .argument("[session...]"),
    )
      .option("--all", "all of yours on this machine")
      .option("--force", "also of yours that run on another machine, through the cluster")
      .addHelpText("after", LEAVE_EXAMPLES),
  read: (options, sessions) => ({
    kind: "leave",
    ...readPlaceFlags(options),
    sessions,
    isAll: options.all === true,
    isForced: options.force === true,
  }),
};
