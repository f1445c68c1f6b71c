/** The flags of `inpod init`. */
import { Command } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import type { Overrides } from "../config/overrides.ts";
import { as, hidden } from "../flags.ts";

export interface InitArguments {
  readonly kind: "init";
  /** Undefined: it is asked for. */
  readonly target: string | undefined;
  readonly namespace: string | undefined;
  readonly isSteal: boolean;
  /** Whose targets are offered. */
  readonly context: string | undefined;
  readonly kubeconfig: string | undefined;
  readonly output: string;
  readonly isForced: boolean;
}

const WHAT =
  "Writes a first configuration, with comments that explain it: then a session is inpod exec -- COMMAND. " +
  "On a terminal it asks for what no flag says; elsewhere --target is needed. " +
  "Nothing is made in a cluster.";

const EXAMPLES = `
Examples:
  By asking:
    inpod init

  By flags, as a script would:
    inpod init --target deployment/orders --namespace shop --steal`;

export const initSyntax: CommandSyntax<InitArguments> = {
  define: () =>
    new Command("init")
      .summary("write a first configuration")
      .description(WHAT)
      .option("-t, --target <target>", "whose place programs are to take", as("target"))
      .option("-n, --namespace <name>", "its namespace", as("namespace"))
      .addOption(hidden("--target-namespace <name>").argParser(as("namespace")))
      .option(
        "--steal",
        "the program answers the pod's clients (else it gets copies of what they send)",
      )
      .option("--context <name>", "context of the kubeconfig", as("context"))
      .option("--kubeconfig <file>", "kubeconfig to use", as("kubeconfig"))
      .option("-o, --output <file>", "where it is written", ".inpod/inpod.json")
      .option("--force", "even if the file is there already")
      .addHelpText("after", EXAMPLES),
  read: (options) => {
    const said = options as Overrides & { readonly targetNamespace?: string };
    return {
      kind: "init",
      target: said.target,
      namespace: said.namespace ?? said.targetNamespace,
      isSteal: said.steal === true,
      context: said.context,
      kubeconfig: said.kubeconfig,
      output: options.output as string,
      isForced: options.force === true,
    };
  },
};
