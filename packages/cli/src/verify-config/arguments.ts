/** The flags of `inpod verify-config`. */
import { Command } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { readSessionFlags, type SessionArguments, withSessionFlags } from "../exec/arguments.ts";

export interface VerifyConfigArguments extends SessionArguments {
  readonly kind: "verify-config";
  readonly task: "check" | "print-resolved" | "print-schema";
}

const WHAT =
  "Says whether a configuration is good, before a session needs it: every problem at once, each with its path and what is allowed there, and what is accepted without effect. " +
  "Nothing is asked of a cluster. Exit code 0: it is good; 2: it is not.";

const EXAMPLES = `
Examples:
  The file of this directory, or another:
    inpod verify-config
    inpod verify-config -f other.yaml

  What counts for a session with these flags, and who said it (file, flag, variable, default):
    inpod verify-config --resolved --steal

  The schema for an editor, which finds it by "$schema": "./schema.json" in .inpod/inpod.json:
    inpod verify-config --schema > .inpod/schema.json`;

export const verifyConfigSyntax: CommandSyntax<VerifyConfigArguments> = {
  define: () =>
    withSessionFlags(
      new Command("verify-config")
        .summary("say whether a configuration is good, and what counts")
        .description(WHAT)
        .usage("[flags] [FILE]")
        .argument("[file]"),
    )
      .option("--resolved", "print what counts for each key, and who said it, as JSON")
      .option("--schema", "print the JSON Schema of configuration files")
      .addHelpText("after", EXAMPLES),
  read: (options, [file]) => {
    const session = readSessionFlags(options);
    const flags = file === undefined ? session.flags : { ...session.flags, configFile: file };
    const task =
      options.schema === true
        ? "print-schema"
        : options.resolved === true
          ? "print-resolved"
          : "check";
    return { kind: "verify-config", ...session, flags, task };
  },
};
