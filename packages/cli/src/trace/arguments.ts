/** The words of `inpod trace`. */
import { UserError } from "@inpod/protocol";
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { TRACE_EXAMPLES, TRACE_WHAT } from "../text/help.ts";

export interface TraceArguments {
  readonly kind: "trace";
  readonly file: string;
  readonly output: "text" | "json";
}

export const traceSyntax: CommandSyntax<TraceArguments> = {
  define: () =>
    new Command("trace")
      .summary("sum up what exec --trace has written")
      .description(TRACE_WHAT)
      .usage("[flags] FILE")
      .argument("[file]")
      .addOption(new Option("-o, --output <form>").choices(["text", "json"]).default("text"))
      .addHelpText("after", TRACE_EXAMPLES),
  read: (options, [file, ...others]) => {
    if (file === undefined || others.length > 0) throw noFile();
    return { kind: "trace", file, output: options.output as TraceArguments["output"] };
  },
};

const noFile = (): UserError =>
  new UserError("USAGE_INVALID", "which trace? One file", {
    hints: ["one is made by: inpod exec --trace FILE -- COMMAND"],
  });
