/** A question on the user's terminal, whatever stdin is: the command's input is not ours to read. */
import { openSync } from "node:fs";
import { ReadStream } from "node:tty";
import pc from "picocolors";
import { hasColor, type Io, printable } from "../io.ts";

/** Bytes; a terminal's line is at most 4096. */
const MAX_ANSWER = 4096;

export type Ask = (question: string) => Promise<boolean>;

/**
 * The default is no: an empty line, the terminal's end and everything that does not begin with "y".
 *
 * @param signal ends the waiting: the answer is its reason then, which is thrown
 * @returns undefined where nobody can be asked
 */
export function createAsk({ stderr, env }: Io, signal: AbortSignal): Ask | undefined {
  if (stderr.isTTY !== true) return undefined;
  const { yellow } = pc.createColors(hasColor(stderr, env));
  return async (question) => {
    const terminal = openTerminal();
    if (terminal === undefined) return false;
    stderr.write(`\n${yellow("inpod:")} ${printable(question)} [y/N] `);
    try {
      const answer = await firstLine(terminal, signal);
      signal.throwIfAborted();
      return /^\s*y(es)?\s*$/i.test(answer);
    } finally {
      terminal.destroy();
    }
  };
}

function openTerminal(): ReadStream | undefined {
  try {
    return new ReadStream(openSync("/dev/tty", "r"));
  } catch {
    return undefined;
  }
}

function firstLine(terminal: ReadStream, signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const end = (): void => {
      signal.removeEventListener("abort", end);
      resolve(text);
    };
    signal.addEventListener("abort", end);
    terminal.setEncoding("utf8").on("data", (chunk) => {
      text += String(chunk);
      if (text.includes("\n") || text.length > MAX_ANSWER) end();
    });
    terminal.once("end", end);
    terminal.once("error", end);
    if (signal.aborted) end();
  });
}
