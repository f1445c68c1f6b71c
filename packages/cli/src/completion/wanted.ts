/** What could stand at the end of a command line, from the commands' own definitions. Pure. */
import type { Command, Option } from "commander";
import { LS_KINDS } from "../ls/arguments.ts";

export interface Candidate {
  readonly text: string;
  readonly about?: string;
}

/**
 * What only the cluster, the kubeconfig or other sessions know. `services-and-targets`: a bare name is a Service;
 * `sessions`: of this user on this machine.
 */
export type Lookup =
  | "targets"
  | "services-and-targets"
  | "services"
  | "sessions"
  | "namespaces"
  | "contexts";

export type Wanted =
  | { readonly kind: "words"; readonly candidates: readonly Candidate[] }
  | {
      readonly kind: "lookup";
      readonly lookup: Lookup;
      /** Of the word what stands before the value: `--target=`. */
      readonly before: string;
      readonly value: string;
      /** What the line has said so far of where to look, by the long names of the flags. */
      readonly said: ReadonlyMap<string, string>;
    }
  | { readonly kind: "files" }
  /** A program of the user's machine. */
  | { readonly kind: "command" };

type ValueKind = Lookup | "files" | readonly string[];

/** By the flag's long name, the same in every command. Choices that a flag declares itself are not here. */
const VALUES: Readonly<Record<string, ValueKind>> = {
  "--target": "targets",
  "--target-namespace": "namespaces",
  "--namespace": "namespaces",
  "--agent-namespace": "namespaces",
  "--context": "contexts",
  "--config-file": "files",
  "--kubeconfig": "files",
  "--env-file": "files",
  "--trace": "files",
  "--output": "files",
  "--save": "files",
  "--since": "files",
  "--fs-mode": ["read", "write", "local", "local-with-overrides"],
  "--agent-log-level": ["off", "error", "warn", "info", "debug", "trace"],
};
const OPERANDS: Readonly<Record<string, readonly string[]>> = { ls: LS_KINDS };
/** Of the first operand, and of each where there may be several. A name that is to be new (preview) is nobody's to offer. */
const LOOKUPS: Readonly<Record<string, Lookup>> = {
  exchange: "services-and-targets",
  mesh: "services-and-targets",
  mirror: "services-and-targets",
  dump: "services-and-targets",
  forward: "services-and-targets",
  recover: "services",
  leave: "sessions",
};

/** @param words behind `inpod`; the last is to be completed, and may be empty */
export function wanted(words: readonly string[], commands: readonly Command[]): Wanted {
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const command = commands.find(
    (each) => each.name() === before[0] || each.aliases().includes(before[0] ?? ""),
  );
  if (command === undefined)
    return before.length > 0 ? NOTHING : startingWith(current, [...names(commands), ...COMMON]);
  const line = readLine(command, before.slice(1));
  if (line.isOther) return { kind: line.others === 0 ? "command" : "files" };
  const value = (option: Option, text: string, head: string): Wanted =>
    valuesOf(option, text, head, line.said);
  if (line.awaiting !== undefined && !(line.awaiting.optional && current.startsWith("-")))
    return value(line.awaiting, current, "");
  const [, flag, text] = /^(--[^=]+)=(.*)$/s.exec(current) ?? [];
  const option = command.options.find(({ long }) => long === flag);
  if (option !== undefined && text !== undefined) return value(option, text, `${flag}=`);
  if (current.startsWith("-")) return startingWith(current, flags(command));
  const isForeign = isPassing(command);
  if (isForeign && current !== "") return { kind: "command" };
  const next = command.registeredArguments[line.others];
  if (next?.name() === "file") return { kind: "files" };
  const lookup = LOOKUPS[command.name()];
  if (lookup !== undefined && (line.others === 0 || lookup === "sessions"))
    return { kind: "lookup", lookup, before: "", value: current, said: line.said };
  const operands = [
    ...(OPERANDS[command.name()] ?? []),
    ...command.registeredArguments.flatMap((argument) =>
      line.others === 0 || argument.variadic ? (argument.argChoices ?? []) : [],
    ),
  ].map((text) => ({ text }));
  return startingWith(current, operands.length > 0 ? operands : flags(command));
}

const NOTHING: Wanted = { kind: "words", candidates: [] };
const COMMON: readonly Candidate[] = [
  { text: "--help", about: "print this help" },
  { text: "--version", about: "print the version" },
];

const startingWith = (start: string, all: readonly Candidate[]): Wanted => ({
  kind: "words",
  candidates: all.filter(
    ({ text }) => text.startsWith(start) && (start !== "" || text !== "--version"),
  ),
});

const names = (commands: readonly Command[]): Candidate[] =>
  commands.map((each) => ({ text: each.name(), about: each.summary() }));

const flags = (command: Command): Candidate[] => [
  ...command.options
    .filter(({ hidden, long }) => !hidden && long !== undefined)
    .map(({ long, description }) => ({ text: long ?? "", about: description })),
  { text: "--help", about: "print this help" },
  ...(isPassing(command) ? [{ text: "--", about: "your command comes next" }] : []),
];

/** Whether its operands are somebody else's command line. Commander has no public name for it. */
export const isPassing = (command: Command): boolean =>
  (command as unknown as { _passThroughOptions?: boolean })._passThroughOptions === true;

interface Line {
  readonly said: ReadonlyMap<string, string>;
  /** The flag whose value comes next. */
  readonly awaiting: Option | undefined;
  /** What comes next is another program's. */
  readonly isOther: boolean;
  readonly others: number;
}

function readLine(command: Command, words: readonly string[]): Line {
  const said = new Map<string, string>();
  let awaiting: Option | undefined;
  let others = 0;
  for (const [at, word] of words.entries()) {
    if (awaiting !== undefined && !(awaiting.optional && word.startsWith("-"))) {
      said.set(awaiting.long ?? "", word);
      awaiting = undefined;
      continue;
    }
    awaiting = undefined;
    if (word === "--")
      return { said, awaiting, isOther: isPassing(command), others: words.length - at - 1 };
    if (!word.startsWith("-")) {
      if (isPassing(command)) return { said, awaiting, isOther: true, others: words.length - at };
      others++;
      continue;
    }
    const [name = "", ...rest] = word.startsWith("--") ? word.split("=") : [word.slice(0, 2)];
    const option = command.options.find(({ long, short }) => long === name || short === name);
    const attached = word.startsWith("--") ? rest.join("=") : word.slice(2);
    if (option === undefined || !(option.required || option.optional)) continue;
    if (attached !== "" || word.includes("=")) said.set(option.long ?? "", attached);
    else awaiting = option;
  }
  return { said, awaiting, isOther: false, others };
}

function valuesOf(
  option: Option,
  value: string,
  before: string,
  said: ReadonlyMap<string, string>,
): Wanted {
  const values: ValueKind = option.argChoices ?? VALUES[option.long ?? ""] ?? [];
  if (values === "files") return { kind: "files" };
  if (typeof values === "string") return { kind: "lookup", lookup: values, before, value, said };
  return startingWith(
    `${before}${value}`,
    values.map((text) => ({ text: `${before}${text}` })),
  );
}
