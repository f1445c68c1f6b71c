/** What --help says of the tables. Pure. */
import { ALL } from "./translate.ts";

/** Of a command of ours: flags of others' that are written anew. Undefined: there are none. */
export function alsoUnderstood(command: string): string | undefined {
  const names = ALL.filter(({ answer }) => answer.kind === "ours" && answer.words[0] === command)
    .flatMap(({ flags }) => flags)
    .filter(
      ({ names: [name = ""], answer }) =>
        answer.kind === "is" && answer.ours.split(" ")[0] !== name,
    )
    .map(({ names: [name = ""] }) => name);
  const each = [...new Set(names)].sort();
  if (each.length === 0) return undefined;
  const [line = "", ...more] = wrapped(each, 90);
  return `\nAlso understood, for who knows them from other tools:\n${[line, ...more].map((text) => `  ${text}`).join("\n")}`;
}

function wrapped(words: readonly string[], width: number): string[] {
  const lines: string[] = [""];
  for (const word of words) {
    const last = lines.at(-1) ?? "";
    if (last !== "" && last.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines;
}
