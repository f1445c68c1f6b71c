/** What the layer reports while the command runs: decisions for --verbose, notices for everybody, each once. */
import type { Decision, Notice, Reporter, TraceSink } from "@inpod/layer";
import pc from "picocolors";
import { hasColor, type Io, printable } from "../io.ts";

/** Keys contain ports and names of the user's program: without a limit they could grow for ever. */
const MAX_NOTICES = 1000;

/** `decision connect tcp 10.0.0.5:5432 → remote  because …` */
export const decisionLine = ({ call, subject, verdict, why }: Decision): string =>
  oneLine(`decision ${call} ${subject} → ${verdict}  because ${why}`);

/** @param say writes one line to stderr, for instance `Progress.say` */
export function createReporter(
  io: Io,
  isVerbose: boolean,
  say: (line: string) => void,
  trace?: TraceSink,
): Reporter {
  const { dim, yellow } = pc.createColors(hasColor(io.stderr, io.env));
  const said = new Set<string>();
  return {
    wantsDecisions: isVerbose,
    ...(trace ? { trace } : {}),
    decision: (decision) => {
      if (isVerbose) say(dim(decisionLine(decision)));
    },
    notice: ({ key, text }: Notice) => {
      if (said.has(key) || said.size >= MAX_NOTICES) return;
      said.add(key);
      say(`${yellow("inpod:")} ${oneLine(text)}`);
    },
  };
}

const oneLine = (text: string): string => printable(text).replace(/[\n\t]/g, " ");
