/** The command line, read and not yet acted on. A command's own flags stand in its folder. */
import { nearest, UserError } from "@inpod/protocol";
import { Command, CommanderError } from "commander";
import { type CleanArguments, cleanSyntax } from "./clean/arguments.ts";
import {
  type CompleteArguments,
  type CompletionArguments,
  completeSyntax,
  completionSyntax,
} from "./completion/arguments.ts";
import { isPassing } from "./completion/wanted.ts";
import { type ConnectArguments, connectSyntax } from "./connect/arguments.ts";
import { type DoctorArguments, doctorSyntax } from "./doctor/arguments.ts";
import { type DumpArguments, dumpSyntax } from "./dump/arguments.ts";
import { type EnvArguments, envSyntax } from "./env/arguments.ts";
import { type ExchangeArguments, exchangeSyntax } from "./exchange/arguments.ts";
import { type ExecArguments, execSyntax } from "./exec/arguments.ts";
import { type ExplainArguments, explainSyntax } from "./explain/arguments.ts";
import { alsoUnderstood } from "./familiar/help.ts";
import { type OwnFlags, translate } from "./familiar/translate.ts";
import { type ForwardArguments, forwardSyntax } from "./forward/arguments.ts";
import { type InitArguments, initSyntax } from "./init/arguments.ts";
import { type LeaveArguments, leaveSyntax } from "./leave/arguments.ts";
import { type LsArguments, lsSyntax } from "./ls/arguments.ts";
import { type MeshArguments, meshSyntax } from "./mesh/arguments.ts";
import { type MirrorArguments, mirrorSyntax } from "./mirror/arguments.ts";
import { type PreviewArguments, previewSyntax } from "./preview/arguments.ts";
import { type RecoverArguments, recoverSyntax } from "./recover/arguments.ts";
import { type StatusArguments, statusSyntax } from "./status/arguments.ts";
import { MAIN_EXAMPLES, WHAT } from "./text/help.ts";
import { type TraceArguments, traceSyntax } from "./trace/arguments.ts";
import { type UpArguments, type UpPartArguments, upPartSyntax, upSyntax } from "./up/arguments.ts";
import { type VerifyArguments, verifySyntax } from "./verify/arguments.ts";
import { type VerifyConfigArguments, verifyConfigSyntax } from "./verify-config/arguments.ts";
import { VERSION } from "./version.ts";

export type Arguments =
  | { readonly kind: "print"; readonly text: string }
  | ExecArguments
  | CleanArguments
  | CompleteArguments
  | CompletionArguments
  | ConnectArguments
  | DoctorArguments
  | DumpArguments
  | EnvArguments
  | ExchangeArguments
  | ExplainArguments
  | ForwardArguments
  | InitArguments
  | LeaveArguments
  | LsArguments
  | MeshArguments
  | MirrorArguments
  | PreviewArguments
  | RecoverArguments
  | StatusArguments
  | TraceArguments
  | UpArguments
  | UpPartArguments
  | VerifyArguments
  | VerifyConfigArguments;

/** What a command's words are. */
export interface CommandSyntax<Read extends { readonly kind: string }> {
  /** Its name, flags and help, with `[name...]` or the like for its operands. */
  define(): Command;
  /** @param options by Commander's names. @throws UserError USAGE_* */
  read(options: Record<string, unknown>, operands: readonly string[]): Read;
  /** What people get wrong with its flags. */
  readonly usageHint?: string;
  /** Not in --help. */
  readonly isHidden?: boolean;
}

const SYNTAXES: readonly CommandSyntax<Exclude<Arguments, { kind: "print" }>>[] = [
  execSyntax,
  envSyntax,
  explainSyntax,
  traceSyntax,
  exchangeSyntax,
  meshSyntax,
  mirrorSyntax,
  dumpSyntax,
  forwardSyntax,
  connectSyntax,
  upSyntax,
  previewSyntax,
  lsSyntax,
  statusSyntax,
  leaveSyntax,
  cleanSyntax,
  recoverSyntax,
  doctorSyntax,
  verifySyntax,
  initSyntax,
  verifyConfigSyntax,
  completionSyntax,
  completeSyntax,
  upPartSyntax,
];

export interface Surroundings {
  /** What is said of flags that are not needed here; left out: nobody is told. */
  readonly tell?: (line: string) => void;
  /** Whether a word names a file of this machine. */
  readonly isFile?: (path: string) => boolean;
}

/**
 * @param typed without node and the script; in our words, or those of tools that people come from (familiar/)
 * @throws UserError USAGE_*
 */
export function parseArguments(
  typed: readonly string[],
  { tell = () => {}, isFile }: Surroundings = {},
): Arguments {
  const { argv, lines } = translate(typed, isFile, ownFlags);
  for (const line of lines) tell(line);
  let result: Arguments | undefined;
  let printed = "";
  const program = new Command("inpod");
  const output = {
    writeOut: (text: string) => {
      printed += text;
    },
    writeErr: () => {},
  };
  program
    .description(WHAT)
    .version(VERSION, "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand(false)
    .addHelpText("after", MAIN_EXAMPLES)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput(output)
    .showSuggestionAfterError(false)
    .argument("[command...]")
    // What follows an unknown command is its own: the command is the mistake.
    .passThroughOptions()
    .action(([name]: string[]) => {
      throw name === undefined
        ? noCommandOfOurs()
        : unknownCommand(
            name,
            visibleCommands().map((each) => each.name()),
          );
    });
  for (const syntax of SYNTAXES) {
    const command = syntax.define().copyInheritedSettings(program);
    const familiar = alsoUnderstood(command.name());
    if (familiar !== undefined) command.addHelpText("after", familiar);
    command.helpOption("-h, --help", "print this help").action(() => {
      result = syntax.read(command.opts(), command.args);
    });
    program.addCommand(command, { hidden: syntax.isHidden ?? false });
  }
  try {
    program.parse([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: "print", text: printed };
    const at = program.commands.findIndex(
      (each) => each.name() === argv[0] || each.aliases().includes(argv[0] ?? ""),
    );
    throw usage(error, program.commands[at] ?? program, SYNTAXES[at]?.usageHint);
  }
  if (result === undefined) throw noCommandOfOurs();
  return result;
}

/** As --help has them, for a shell's completion. */
export const visibleCommands = (): Command[] =>
  SYNTAXES.filter(({ isHidden }) => !isHidden).map((syntax) => syntax.define());

function ownFlags(name: string): OwnFlags | undefined {
  const command = allCommands().find((each) => each.name() === name);
  return (
    command && {
      isPassing: isPassing(command),
      takesValue: (flag) =>
        command.options.some(
          ({ long, short, required }) => required && (long === flag || short === flag),
        ),
    }
  );
}

/** The hidden ones, too. */
export const allCommands = (): Command[] => SYNTAXES.map((syntax) => syntax.define());

/** Commander's own message, and for an unknown flag the nearest one. */
function usage(
  { code, message }: CommanderError,
  command: Command,
  hint: string | undefined,
): UserError {
  const what = message.replace(/^error: /, "").replaceAll("option '", "flag '");
  const flag = /^commander\.unknownOption$/.test(code) ? /'([^'=]+)/.exec(message)?.[1] : undefined;
  const known = command.options.flatMap(({ long, hidden }) => (long && !hidden ? [long] : []));
  const meant = flag === undefined ? undefined : nearest(flag, known);
  const name = command.name() === "inpod" ? "inpod" : `inpod ${command.name()}`;
  return new UserError("USAGE_INVALID", what, {
    hints: [
      ...(meant === undefined ? [] : [`did you mean ${meant}?`]),
      ...(flag === undefined || hint === undefined ? [] : [hint]),
      `see all: ${name} --help`,
    ],
  });
}

const noCommandOfOurs = (): UserError =>
  new UserError("USAGE_NO_COMMAND", "what is inpod to do?", {
    hints: [
      "run a program as a pod: inpod exec --target pod/NAME -- COMMAND",
      "see all: inpod --help",
    ],
  });

function unknownCommand(name: string, known: readonly string[]): UserError {
  const meant = nearest(name, known);
  return new UserError("USAGE_INVALID", `inpod has no command "${name}"`, {
    hints: [
      meant === undefined
        ? `to run it as a pod: inpod exec --target pod/NAME -- ${name}`
        : `did you mean inpod ${meant}?`,
    ],
  });
}
