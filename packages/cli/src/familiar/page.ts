/** The tables as docs/coming-from.md has them; `npm run config-docs` writes them. Pure. */
import { between } from "../config/generated.ts";
import { ALL } from "./translate.ts";
import { type FlagAnswer, type TheirCommand, type TheirFlag, TOOLS, type Tool } from "./words.ts";

const code = (text: string): string => `\`${text.replaceAll("|", "\\|")}\``;

/** Rows of one tool: what its user types, and what here. */
export function commandTable(tool: Tool): string {
  const rows = ALL.filter((each) => each.tool === tool && each.example !== undefined).map(
    (command) => [
      code(command.example ?? command.words),
      typed(command),
      note(command).replaceAll("|", "\\|"),
    ],
  );
  return table([[`${tool}`, "inpod", "what differs"], ...rows]);
}

function typed({ answer }: TheirCommand): string {
  if (answer.kind === "ours")
    return `${code(["inpod", ...answer.words].join(" "))}, or the same words`;
  const lines = answer.type({ operands: [], flags: new Map(), program: [] });
  return lines.map(code).join("<br>");
}

const note = ({ answer, differs }: TheirCommand): string =>
  differs ?? (answer.kind === "instead" ? answer.why : "");

/** Each flag of a tool's commands that are ours. */
export function flagTable(tool: Tool): string {
  const rows = ALL.filter(
    (each) => each.tool === tool && each.answer.kind === "ours" && each.example !== undefined,
  ).flatMap(({ words, flags }) =>
    flags.map((flag) => ({ words, name: spelled(flag), answer: told(flag.answer) })),
  );
  // What every command has is told once.
  const merged = new Map<string, { name: string; answer: string; commands: string[] }>();
  for (const { words, name, answer } of rows) {
    const key = `${name} ${answer}`;
    const entry = merged.get(key) ?? { name, answer, commands: [] };
    merged.set(key, { ...entry, commands: [...entry.commands, words] });
  }
  return table([
    ["flag", "of", "here"],
    ...[...merged.values()].map(({ name, answer, commands }) => [
      name,
      commands.map(code).join(", "),
      answer,
    ]),
  ]);
}

const spelled = ({ names }: TheirFlag): string => names.map(code).join(", ");

function told(answer: FlagAnswer): string {
  switch (answer.kind) {
    case "same":
      return "the same";
    case "is":
      return code(answer.ours);
    case "idle":
      return `not needed: ${answer.why}`;
    case "no":
      return `refused: ${answer.why}`;
    case "of":
      return `of \`inpod ${answer.command}\` ${told(answer.there)}; else ${told(answer.otherwise)}`;
    case "values":
      return Object.entries(answer.by)
        .filter(([, each]) => each.kind !== "same")
        .map(([value, each]) => `${code(value)}: ${told(each)}`)
        .join("; ");
  }
}

/** docs/coming-from.md with its tables made anew, between marks that name them. */
export const withFamiliarTables = (document: string): string =>
  [
    ...TOOLS.map((tool) => [`${tool} commands`, commandTable(tool)] as const),
    ...(["ktctl", "Telepresence"] as const).map(
      (tool) => [`${tool} flags`, flagTable(tool)] as const,
    ),
  ].reduce((text, [name, made]) => between(text, name, made), document);

const table = ([head = [], ...rows]: readonly (readonly string[])[]): string => {
  const widths = head.map((_, at) =>
    Math.max(...[head, ...rows].map((row) => [...(row[at] ?? "")].length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => cell.padEnd((widths[at] ?? 0) + cell.length - [...cell].length)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
};
