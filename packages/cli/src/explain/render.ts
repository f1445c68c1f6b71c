/** Explanations as text and as JSON. Pure. */
import pc from "picocolors";
import { hasColor, type Io, printable } from "../io.ts";
import type { Change } from "./change.ts";
import type { Answer, Explanation } from "./explanation.ts";
import { originText } from "./origin.ts";

const INDENT = "  ";
const oneLine = (text: string): string => printable(text).replace(/[\n\t]/g, " ");

export function renderText(
  explanations: readonly Explanation[],
  target: string | undefined,
  io: Io,
): string {
  const { bold, dim } = pc.createColors(hasColor(io.stdout, io.env));
  const blocks = explanations.map((each) => {
    const labelled = (label: string, lines: readonly string[]): string[] =>
      lines.map((line) => `${INDENT}${dim(`${label}:`)} ${oneLine(line)}`);
    return [
      bold(oneLine(each.subject)),
      ...each.answers.flatMap((answer) => [
        `${INDENT}${answer.about}: ${bold(answer.words)}`,
        `${INDENT}${INDENT}${dim("because")} ${oneLine(answer.why)}`,
        ...keyLines(answer).map((line) => `${INDENT}${INDENT}${line}`),
      ]),
      ...labelled("note", each.notes),
      ...labelled("on this machine", each.here),
      ...labelled("in the pod", each.pod),
      ...labelled("depends on the target", each.depends),
    ].join("\n");
  });
  const end =
    target === undefined
      ? `${dim("without a target (-t) this is what the configuration and the defaults say")}\n`
      : "";
  return `${blocks.join("\n\n")}\n${end === "" ? "" : `\n${end}`}`;
}

function keyLines({ key, origin, changes }: Answer): string[] {
  if (key === undefined) return [];
  const set = origin === undefined ? "" : ` (${originText(origin)})`;
  return [`key ${key}${oneLine(set)}`, ...changes.map(changeLine)];
}

export const changeLine = ({ to, config, words }: Change): string =>
  config === undefined
    ? oneLine(`${to}: ${words ?? ""}`)
    : oneLine(`${to} with ${JSON.stringify(config)}`);

export const renderJson = (
  explanations: readonly Explanation[],
  target: string | undefined,
): string =>
  `${JSON.stringify(
    {
      target: target ?? null,
      explanations: explanations.map((each) => ({
        ...each,
        answers: each.answers.map(({ key, origin, ...rest }) => ({
          ...rest,
          key: key ?? null,
          setBy: origin ?? null,
        })),
      })),
    },
    undefined,
    2,
  )}\n`;
