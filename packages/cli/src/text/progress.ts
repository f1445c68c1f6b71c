/**
 * The steps before the command runs. On a terminal a step's line is rewritten with a tick and
 * its time; elsewhere each step is one plain line when it begins.
 */
import pc from "picocolors";
import { hasColor, type Io, printable } from "../io.ts";

export interface Progress {
  /** The step before it is done. */
  begin(step: string): void;
  /** What the running step is at, for a long one: "image is being pulled". */
  detail(text: string): void;
  /** A line of its own, written as it is, that leaves the running step's line alone. */
  say(line: string): void;
  done(): void;
  failed(): void;
}

/** Columns, where the terminal does not tell. */
const DEFAULT_WIDTH = 80;
const ERASE_LINE = "\r\x1b[2K";

interface Step {
  readonly text: string;
  readonly since: number;
}

export function createProgress(
  { stderr, env }: Io,
  now: () => number = () => performance.now(),
): Progress {
  const isLive = stderr.isTTY === true && env.TERM !== "dumb";
  const { green, red, dim } = pc.createColors(hasColor(stderr, env));
  let step: Step | undefined;
  let shown = "";

  /** A line that wraps cannot be rewritten, so it is cut. Never ends at the last column. */
  const show = (text: string): void => {
    shown = [...text].slice(0, (stderr.columns || DEFAULT_WIDTH) - 3).join("");
    stderr.write(`${ERASE_LINE}${dim("…")} ${shown}`);
  };
  const end = (mark: string, isFailed: boolean): void => {
    if (step === undefined) return;
    const { text, since } = step;
    step = undefined;
    const time = `${((now() - since) / 1000).toFixed(1)} s`;
    if (isLive) stderr.write(`${ERASE_LINE}${mark} ${text} ${dim(time)}\n`);
    else if (isFailed) stderr.write(`inpod: ${text}: failed after ${time}\n`);
  };
  const done = (): void => end(green("✓"), false);

  return {
    begin(text) {
      done();
      step = { text: oneLine(text), since: now() };
      if (isLive) show(step.text);
      else stderr.write(`inpod: ${step.text}\n`);
    },
    detail(text) {
      if (step === undefined) return;
      if (isLive) show(`${step.text}: ${oneLine(text)}`);
      else stderr.write(`inpod:   ${oneLine(text)}\n`);
    },
    say(line) {
      const isOpen = isLive && step !== undefined;
      stderr.write(`${isOpen ? ERASE_LINE : ""}${line}\n`);
      if (isOpen) stderr.write(`${dim("…")} ${shown}`);
    },
    done,
    failed: () => end(red("✗"), true),
  };
}

const oneLine = (text: string): string => printable(text).replace(/\s+/g, " ").trim();
