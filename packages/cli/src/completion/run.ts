/** `inpod completion SHELL`, and `inpod __complete`: what could come next, or silently nothing. */
import type { Command } from "commander";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { CompleteArguments, CompletionArguments } from "./arguments.ts";
import { broken, splitLine } from "./bash-line.ts";
import { SCRIPTS } from "./scripts.ts";
import { type Candidate, wanted } from "./wanted.ts";

/** Nobody waits longer for a Tab. */
const DEADLINE_MS = 2_000;

export function runCompletion({ shell }: CompletionArguments, io: Io): CommandResult {
  io.stdout.write(SCRIPTS[shell]);
  return { code: 0 };
}

/** Never fails: there is a prompt on the terminal, and no room for an error. */
export async function runComplete(
  { words }: CompleteArguments,
  commands: readonly Command[],
  io: Io,
): Promise<CommandResult> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(""), DEADLINE_MS);
  });
  const [shell, ...rest] = words.filter((word, at) => !(at === 1 && word === "--"));
  const answer = await Promise.race([answerOf(shell, rest, commands, io).catch(() => ""), late]);
  clearTimeout(timer);
  io.stdout.write(answer);
  return { code: 0 };
}

async function answerOf(
  shell: string | undefined,
  sent: readonly string[],
  commands: readonly Command[],
  io: Io,
): Promise<string> {
  // bash sends its line as it is, because it would break words where we do not.
  const words = shell === "bash" ? splitLine(sent[0] ?? "").slice(1) : sent;
  const current = words.at(-1) ?? "";
  const cut = shell === "bash" ? broken(current, sent[1] ?? "") : 0;
  const what = wanted(words.length === 0 ? [""] : words, commands);
  switch (what.kind) {
    case "files":
    case "command":
      return `${what.kind}\n`;
    case "words":
      return lines(what.candidates, cut);
    case "lookup": {
      const { lookUp } = await import("./look-up.ts");
      const candidates = await lookUp(what, io);
      return lines(
        candidates
          .filter((text) => text.startsWith(what.value))
          .map((text) => ({ text: `${what.before}${text}` })),
        cut,
      );
    }
  }
}

/** A name with a line feed or a tab in it would be two candidates, and no name in a cluster has one. */
const lines = (candidates: readonly Candidate[], cut: number): string =>
  [
    "words",
    ...candidates.map(({ text, about }) =>
      [text.slice(cut), ...(about === undefined ? [] : [about])]
        .map((part) => part.replace(/\p{Cc}+/gu, " "))
        .join("\t"),
    ),
    "",
  ].join("\n");
