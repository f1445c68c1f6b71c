/** A command line in a neighbouring tool's words → one in ours, or the answer to it. Pure. */
import { UserError } from "@inpod/protocol";
import { globalHasValue, isGlobal, KTCTL } from "./ktctl.ts";
import { MIRRORD, NHCTL } from "./others.ts";
import { TELEPRESENCE } from "./telepresence.ts";
import type { CommandAnswer, FlagAnswer, Said, TheirCommand, TheirFlag } from "./words.ts";

/** The first that has a word counts. */
export const ALL: readonly TheirCommand[] = [...KTCTL, ...TELEPRESENCE, ...MIRRORD, ...NHCTL];

export interface Translated {
  readonly argv: readonly string[];
  /** For people: what was left out, and why nothing is missed. */
  readonly lines: readonly string[];
}

/** What a command of ours knows of its own words. */
export interface OwnFlags {
  /** From its first operand on they are another program's. */
  readonly isPassing: boolean;
  takesValue(flag: string): boolean;
}

/**
 * @param own of a command of ours by its name; undefined: there is none
 * @param isFile whether a word names a file of this machine: of `-c FILE`, which is a kubeconfig for ktctl
 * @throws UserError USAGE_ELSEWHERE with what to type
 */
export function translate(
  argv: readonly string[],
  isFile: (path: string) => boolean = () => false,
  own: (command: string) => OwnFlags | undefined = () => undefined,
): Translated {
  const moved = withCommandFirst(argv);
  const commands = matching(moved);
  const [command] = commands;
  if (command === undefined) return { argv, lines: [] };
  const count = command.words.split(" ").length;
  const ours = command.answer.kind === "ours" ? own(command.answer.words[0] ?? "") : undefined;
  const read = readLine(moved.slice(count), commands, isFile, ours);
  const answer = answerFor(command, read.said);
  if (answer.kind === "instead") throw elsewhere(command, answer, read.said);
  const lines: string[] = [];
  const words = read.words.flatMap((word) =>
    typeof word === "string"
      ? [word]
      : wordsFor(word, { typed: moved[0] ?? "", ours: answer.words[0] ?? "" }, lines),
  );
  return { argv: [...answer.words, ...words], lines };
}

/** ktctl and Telepresence take their global flags before the command, too. */
function withCommandFirst(argv: readonly string[]): readonly string[] {
  let at = 0;
  while (at < argv.length && isGlobal((argv[at] ?? "").replace(/=.*$/s, ""))) {
    const flag = argv[at] ?? "";
    at += flag.includes("=") || !globalHasValue(flag) ? 1 : 2;
  }
  const command = argv[at];
  if (at === 0 || command === undefined || command.startsWith("-")) return argv;
  const words = ALL.map(({ words: each }) => each.split(" "))
    .filter((each) => each.every((word, index) => argv[at + index] === word))
    .reduce((most, each) => Math.max(most, each.length), 1);
  return [...argv.slice(at, at + words), ...argv.slice(0, at), ...argv.slice(at + words)];
}

/** Of all tools, those with the most of its words first; among them the order of ALL. */
function matching(argv: readonly string[]): TheirCommand[] {
  const found = ALL.map((command) => ({ command, own: command.words.split(" ") })).filter(
    ({ own }) => own.every((word, at) => argv[at] === word),
  );
  const most = Math.max(0, ...found.map(({ own }) => own.length));
  return found.filter(({ own }) => own.length === most).map(({ command }) => command);
}

interface Flagged {
  readonly flag: TheirFlag;
  /** As it was typed. */
  readonly typed: readonly string[];
  readonly value: string;
}

interface Line {
  readonly words: readonly (string | Flagged)[];
  readonly said: Said;
}

function readLine(
  argv: readonly string[],
  commands: readonly TheirCommand[],
  isFile: (path: string) => boolean,
  own: OwnFlags | undefined,
): Line {
  const known = commands.flatMap(({ flags }) => flags);
  const words: (string | Flagged)[] = [];
  const operands: string[] = [];
  const flags = new Map<string, string[]>();
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "--") {
      const said = { operands, flags, program: argv.slice(at + 1) };
      return { words: [...words, ...argv.slice(at)], said };
    }
    const [name = "", ...rest] = word.startsWith("--") ? word.split("=") : [word];
    const flag = known.find(({ names }) => names.includes(name));
    if (flag === undefined && own?.isPassing && !word.startsWith("-")) {
      const said = { operands, flags, program: argv.slice(at) };
      return { words: [...words, ...argv.slice(at)], said };
    }
    if (flag === undefined) {
      if (!word.startsWith("-")) operands.push(word);
      words.push(word);
      const following = argv[at + 1];
      if (following !== undefined && own?.takesValue(word)) {
        words.push(following);
        at++;
      }
      continue;
    }
    const attached = word.includes("=") && word.startsWith("--") ? rest.join("=") : undefined;
    const next = argv[at + 1];
    const isKubeconfig = (each: string | undefined): boolean =>
      each !== undefined && (/^[~./]|\.(ya?ml|conf|config)$/.test(each) || isFile(each));
    // Ours, and mirrord's: whether the API server's certificate is checked.
    if (word === "-c" && commands[0]?.tool === "ktctl" && !isKubeconfig(next)) {
      words.push(word);
      continue;
    }
    const takesNext =
      flag.hasValue && attached === undefined && next !== undefined && next !== "--";
    if (takesNext) at++;
    const value = attached ?? (takesNext ? next : "");
    words.push({ flag, typed: takesNext ? [word, value] : [word], value });
    const first = flag.names[0] ?? name;
    flags.set(first, [...(flags.get(first) ?? []), value]);
  }
  return { words, said: { operands, flags, program: [] } };
}

const answerFor = ({ answer }: TheirCommand, said: Said): CommandAnswer =>
  answer.kind === "ours" ? (answer.when?.(said) ?? answer) : answer;

function wordsFor(
  { flag, typed, value }: Flagged,
  command: { readonly typed: string; readonly ours: string },
  lines: string[],
  answer: FlagAnswer = flag.answer,
): readonly string[] {
  const name = flag.names[0] ?? "";
  // A boolean flag of theirs that is switched off is not there.
  if (!flag.hasValue && value === "false") return [];
  switch (answer.kind) {
    case "same":
      return typed;
    case "is":
      return answer.words(flag.hasValue ? value : "");
    case "of": {
      const chosen = answer.command === command.ours ? answer.there : answer.otherwise;
      return wordsFor({ flag, typed, value }, command, lines, chosen);
    }
    case "idle":
      lines.push(`${typed.join(" ")} is not needed: ${answer.why}`);
      return [];
    case "no":
      throw new UserError("USAGE_ELSEWHERE", `inpod ${command.typed} has no ${name}`, {
        hints: [answer.why, `see all: inpod ${command.typed} --help`],
      });
    case "values": {
      const chosen = Object.hasOwn(answer.by, value) ? answer.by[value] : undefined;
      if (chosen !== undefined) return wordsFor({ flag, typed, value }, command, lines, chosen);
      const known = Object.keys(answer.by).filter((each) => answer.by[each]?.kind !== "idle");
      throw new UserError("USAGE_INVALID", `${name} ${value} is not known here`, {
        hints: [`there are: ${known.join(", ")}`, `see all: inpod ${command.typed} --help`],
      });
    }
  }
}

function elsewhere(
  { tool, words, answer: { kind } }: TheirCommand,
  answer: Extract<CommandAnswer, { kind: "instead" }>,
  said: Said,
): UserError {
  const what =
    kind === "ours"
      ? `inpod ${words} runs no program`
      : `inpod has no command "${words}", which is ${tool}'s`;
  return new UserError("USAGE_ELSEWHERE", what, {
    hints: [...answer.type(said), answer.why, "more: docs/coming-from.md"],
  });
}
