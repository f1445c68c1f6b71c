/** The words of `inpod explain`. */
import { UserError } from "@inpod/protocol";
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { readSessionFlags, type SessionArguments, withSessionFlags } from "../exec/arguments.ts";
import { EXPLAIN_EXAMPLES, EXPLAIN_WHAT } from "../text/help.ts";

export interface ExplainArguments extends SessionArguments {
  readonly kind: "explain";
  readonly subjects: readonly [string, ...string[]];
  readonly output: "text" | "json";
  /** Of the command that would be run, its words. */
  readonly command: readonly string[] | undefined;
}

export const explainSyntax: CommandSyntax<ExplainArguments> = {
  define: () =>
    withSessionFlags(
      new Command("explain")
        .summary("say whose a path, host, port, variable or program is, and why")
        .description(EXPLAIN_WHAT)
        .usage("[flags] PATH|HOST[:PORT]|:PORT|NAME=|program:NAME …")
        .argument("<subject...>"),
    )
      .option("--command <line>", "the command that you would run: its own files are always yours")
      .addOption(new Option("-o, --output <form>").choices(["text", "json"]).default("text"))
      .addHelpText("after", EXPLAIN_EXAMPLES),
  read: (options, [first, ...rest]) => {
    if (first === undefined) throw noSubject();
    const line = typeof options.command === "string" ? options.command.trim() : "";
    return {
      kind: "explain",
      ...readSessionFlags(options),
      subjects: [first, ...rest],
      output: options.output as ExplainArguments["output"],
      command: line === "" ? undefined : line.split(/\s+/),
    };
  },
};

const noSubject = (): UserError =>
  new UserError("USAGE_INVALID", "what is to be explained?", {
    hints: ["inpod explain /etc/hosts api:8080 :3000 DB_URL="],
  });
