/** The flags of `inpod env`. */
import { UserError } from "@inpod/protocol";
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { readSessionFlags, type SessionArguments, withSessionFlags } from "../exec/arguments.ts";
import { ENV_EXAMPLES, ENV_WHAT } from "../text/help.ts";
import { EVALUATED, type Evaluated } from "./formats.ts";

export interface EnvArguments extends SessionArguments {
  readonly kind: "env";
  readonly format: "table" | "json" | Evaluated;
  readonly areValuesShown: boolean;
  /** The developer's own variables as well. */
  readonly isAllWanted: boolean;
  readonly isExplained: boolean;
}

/** What a session has for its program alone: understood, so that exec's line can be kept, and not in --help. */
const OF_THE_PROGRAM = new Set(
  [
    "--steal --allow-host-network --fs-mode --no-remote-dns --skip-processes",
    "--no-outgoing --no-tcp-outgoing --no-udp-outgoing",
  ]
    .join(" ")
    .split(" "),
);

function withoutProgram(command: Command): Command {
  for (const option of command.options)
    if (OF_THE_PROGRAM.has(option.long ?? "")) option.hideHelp();
  return command;
}

export const envSyntax: CommandSyntax<EnvArguments> = {
  define: () =>
    withoutProgram(
      withSessionFlags(
        new Command("env")
          .summary("print the variables that a command would get")
          .description(ENV_WHAT)
          .usage("[flags]")
          .addOption(
            new Option("--format <format>", "for people a table; else as what is to be read again")
              .choices(["table", "shell", "fish", "json", "dotenv", "docker"])
              .default("table"),
          )
          .option("--show-values", "print the values: they are secrets")
          .option("--all", "your own variables, too")
          .option(
            "--explain",
            "say on stderr where each variable comes from, and what is left out",
          ),
      ),
    ).addHelpText("after", ENV_EXAMPLES),
  read: (options) => {
    const format = options.format as EnvArguments["format"];
    const areValuesShown = options.showValues === true;
    if (!areValuesShown && (EVALUATED as readonly string[]).includes(format))
      throw valuesHidden(format);
    return {
      kind: "env",
      ...readSessionFlags(options),
      format,
      areValuesShown,
      isAllWanted: options.all === true,
      isExplained: options.explain === true,
    };
  },
};

/** Before anything is made: what is printed in the place of a value would be taken for one. */
const valuesHidden = (format: string): UserError =>
  new UserError("USAGE_VALUES_HIDDEN", `--format ${format} is nothing without values`, {
    hints: [
      format === "shell"
        ? 'to set them in your shell: eval "$(inpod env --format shell --show-values)"'
        : format === "fish"
          ? "to set them in fish: inpod env --format fish --show-values | source"
          : `if they may be written down: inpod env --format ${format} --show-values`,
      "to see only names, and where they come from: inpod env",
    ],
  });
