/** The words of `inpod completion`, and of the hidden command that its scripts call. */
import { Argument, Command } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { COMPLETION_EXAMPLES, COMPLETION_WHAT } from "../text/help.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

export interface CompletionArguments {
  readonly kind: "completion";
  readonly shell: Shell;
}

export interface CompleteArguments {
  readonly kind: "complete";
  /** As the script of a shell sends them: see scripts.ts. */
  readonly words: readonly string[];
}

export const completionSyntax: CommandSyntax<CompletionArguments> = {
  define: () =>
    new Command("completion")
      .summary("print what makes the shell complete inpod's words")
      .description(COMPLETION_WHAT)
      .addArgument(new Argument("<shell>").choices(SHELLS))
      .addHelpText("after", COMPLETION_EXAMPLES),
  read: (_, [shell]) => ({ kind: "completion", shell: shell as Shell }),
};

export const completeSyntax: CommandSyntax<CompleteArguments> = {
  define: () => new Command("__complete").argument("[word...]").passThroughOptions(),
  read: (_, words) => ({ kind: "complete", words }),
  isHidden: true,
};
