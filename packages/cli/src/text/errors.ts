/** The one place that turns an error into text for a person. */
import { UserError } from "@inpod/protocol";
import pc from "picocolors";
import { printable } from "../io.ts";

/** Causes of causes: `fetch failed` says nothing, the one below it does. */
const MAX_CAUSES = 3;

/** Ends with a line feed. */
export function renderError(error: unknown, color: boolean): string {
  const { red, cyan, dim } = pc.createColors(color);
  if (!(error instanceof UserError)) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `${red("bug:")} ${printable(stack)}\n  ${cyan("hint:")} this is a mistake of inpod, not yours; please report it with the lines above\n`;
  }
  return [
    `${red("error:")} ${printable(error.message)}`,
    ...causesOf(error).map((cause) => `  ${dim("because:")} ${indented(cause)}`),
    ...error.hints.map((hint) => `  ${cyan("hint:")} ${indented(hint)}`),
    "",
  ].join("\n");
}

function causesOf(error: UserError): string[] {
  const causes: string[] = [];
  let next = error.cause;
  while (next !== undefined && next !== null && causes.length < MAX_CAUSES) {
    const text = next instanceof Error ? next.message || next.name : String(next);
    if (!causes.includes(text)) causes.push(text);
    next =
      next instanceof AggregateError
        ? next.errors[0]
        : next instanceof Error
          ? next.cause
          : undefined;
  }
  return causes;
}

/** The lines below the first are to be pasted, or belong to it. */
const indented = (text: string): string => printable(text).trimEnd().replaceAll("\n", "\n    ");
