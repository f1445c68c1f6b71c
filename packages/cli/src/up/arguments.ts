/** The words of `inpod up`, and of what it starts for each part. */
import { Command, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import type { Overrides } from "../config/overrides.ts";
import { as } from "../flags.ts";
import { UP_EXAMPLES, UP_WHAT } from "./help.ts";
import type { Part, Said } from "./parts.ts";
import { TRAFFIC_MODES } from "./schema.ts";

interface FileArguments extends Omit<Said, "key"> {
  readonly file: string | undefined;
  readonly key: string | undefined;
}

export interface UpArguments extends FileArguments {
  readonly kind: "up";
  /** None: all of the file. */
  readonly services: readonly string[];
  readonly keepsGoing: boolean;
  readonly isDryRun: boolean;
}

/** One part of it, in a process of its own whose descriptor 3 ends with its parent. */
export interface UpPartArguments extends FileArguments {
  readonly kind: "up-part";
  readonly service: string;
  readonly part: Part["kind"];
}

const withFileFlags = (command: Command): Command =>
  command
    .option("-f, --config-file <file>", "the file (default: inpod-up.yaml, mirrord-up.yaml)")
    .option("-n, --target-namespace <name>", "the namespace of every service", as("namespace"))
    .option("--context <name>", "context of the kubeconfig, of every service", as("context"))
    .option("--kubeconfig <file>", "kubeconfig to use", as("kubeconfig"))
    .option("-k, --key <key>", "name of the sessions, in filters and templates", as("key"))
    .addOption(
      new Option("-m, --mode <mode>", "of every service with a command in a pod's place").choices(
        TRAFFIC_MODES,
      ),
    )
    .option("-y, --yes", "take traffic in a protected context without being asked")
    .option("-v, --verbose", "tell each decision and its reason");

function readFileFlags(options: Record<string, unknown>): FileArguments {
  const said = options as Overrides;
  return {
    file: said.configFile,
    namespace: options.targetNamespace as string | undefined,
    context: said.context,
    kubeconfig: said.kubeconfig,
    key: said.key,
    mode: options.mode as Said["mode"],
    hasSaidYes: options.yes === true,
    isVerbose: options.verbose === true,
  };
}

export const upSyntax: CommandSyntax<UpArguments> = {
  define: () =>
    withFileFlags(
      new Command("up")
        .summary("start the sessions of several services from one file")
        .description(UP_WHAT)
        .usage("[flags] [SERVICE…]")
        .argument("[service...]"),
    )
      .option("--keep-going", "when one fails, the others go on")
      .option("--dry-run", "say what would be started, and start nothing")
      .addHelpText("after", UP_EXAMPLES),
  read: (options, services) => ({
    kind: "up",
    ...readFileFlags(options),
    services,
    keepsGoing: options.keepGoing === true,
    isDryRun: options.dryRun === true,
  }),
};

export const upPartSyntax: CommandSyntax<UpPartArguments> = {
  define: () => withFileFlags(new Command("__up").argument("<service>").argument("<part>")),
  read: (options, [service = "", part]) => ({
    kind: "up-part",
    ...readFileFlags(options),
    service,
    part: part === "program" ? "program" : "session",
  }),
  isHidden: true,
};

/** What `__up` is started with for a part of the same file. */
export function partWords(part: Part, args: UpArguments, file: string, key: string): string[] {
  const value = (flag: string, text: string | undefined): string[] =>
    text === undefined ? [] : [flag, text];
  return [
    ...["__up", "-f", file, "-k", key],
    ...value("-n", args.namespace),
    ...value("--context", args.context),
    ...value("--kubeconfig", args.kubeconfig),
    ...value("-m", args.mode),
    ...(args.hasSaidYes ? ["-y"] : []),
    ...(args.isVerbose ? ["-v"] : []),
    ...["--", part.service, part.kind],
  ];
}
