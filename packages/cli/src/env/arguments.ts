/** The flags of `inpod env`. */
import { UserError } from "@inpod/protocol";
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { readSessionFlags, type SessionArguments, withSessionFlags } from "../exec/arguments.ts";
import { ENV_EXAMPLES, ENV_WHAT } from "../text/help.ts";
import { EVALUATED, type Evaluated } from "./evaluated.ts";

export interface EnvArguments extends SessionArguments {
  readonly kind: "env";
  readonly format: "table" | "json" | Evaluated;
  readonly areValuesShown: boolean;
  /** The developer's own variables as well. */
  readonly isAllWanted: boolean;
  readonly isExplained: boolean;
  /** The variables, values included, go there and not to stdout. */
  readonly output?: string;
  /** The session stays, and programs with its variables come into it. */
  readonly isKeptOpen: boolean;
  /** It ends when stdin does. */
  readonly endsWithStdin: boolean;
  readonly hasSaidYes: boolean;
}

export const envSyntax: CommandSyntax<EnvArguments> = {
  define: () =>
    withSessionFlags(
      new Command("env")
        .summary("print the variables that a command would get")
        .description(ENV_WHAT)
        .usage("[flags]")
        .addOption(
          new Option("--format <format>", "for people a table; else as what is to be read again")
            .choices(["table", "json", ...EVALUATED])
            .default("table"),
        )
        .option("--show-values", "print the values: they are secrets")
        .option("--output <file>", "write them, with values, to a file that only you can read")
        .option(
          "--keep-open",
          "the session stays, and programs started with these variables are in the pod's place",
        )
        .option("--end-with-stdin", "of --keep-open: it ends when stdin does, as with Ctrl-C")
        .option(
          "-y, --yes",
          "of --keep-open: take traffic in a protected context without being asked",
        )
        .option("--all", "your own variables, too")
        .option("--explain", "say on stderr where each variable comes from, and what is left out"),
    ).addHelpText("after", ENV_EXAMPLES),
  read: (options) => {
    const format = options.format as EnvArguments["format"];
    const output = options.output as string | undefined;
    const areValuesShown = options.showValues === true || output !== undefined;
    const isKeptOpen = options.keepOpen === true;
    if (isKeptOpen && (format === "table" || format === "docker")) throw notForPrograms(format);
    if (format === "vscode" && output === undefined) throw noFile();
    if (!areValuesShown && (isKeptOpen || (EVALUATED as readonly string[]).includes(format)))
      throw valuesHidden(format, isKeptOpen);
    if (!isKeptOpen && options.endWithStdin === true) throw notKeptOpen("--end-with-stdin");
    return {
      kind: "env",
      ...readSessionFlags(options),
      format,
      areValuesShown,
      isAllWanted: options.all === true,
      isExplained: options.explain === true,
      ...(output === undefined ? {} : { output }),
      isKeptOpen,
      endsWithStdin: options.endWithStdin === true,
      hasSaidYes: options.yes === true,
    };
  },
};

/** Before anything is made: what is printed in the place of a value would be taken for one. */
const valuesHidden = (format: string, isKeptOpen: boolean): UserError =>
  new UserError("USAGE_VALUES_HIDDEN", `--format ${format} is nothing without values`, {
    hints: [
      isKeptOpen
        ? `in a file that only you can read: --output FILE; or on stdout: --show-values`
        : format === "shell"
          ? 'to set them in your shell: eval "$(inpod env --format shell --show-values)"'
          : format === "fish"
            ? "to set them in fish: inpod env --format fish --show-values | source"
            : `if they may be written down: inpod env --format ${format} --show-values`,
      "to see only names, and where they come from: inpod env",
    ],
  });

const notForPrograms = (format: string): UserError =>
  new UserError(
    "USAGE_INVALID",
    `--format ${format} starts no program in a session that is kept open`,
    {
      hints: [
        "name what is to read the variables: --format shell, fish, json, dotenv, vscode or jetbrains",
        ...(format === "docker"
          ? ["a container has a network of its own: docs/dev-containers.md"]
          : []),
      ],
    },
  );

const noFile = (): UserError =>
  new UserError("USAGE_INVALID", "--format vscode needs a file for the variables", {
    hints: ["launch.json then has its name and no secret: --output .inpod/session.env"],
  });

const notKeptOpen = (flag: string): UserError =>
  new UserError("USAGE_INVALID", `${flag} is of a session that stays`, {
    hints: ["add --keep-open"],
  });
