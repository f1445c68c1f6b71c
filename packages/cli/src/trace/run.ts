/** `inpod trace FILE`: sums up a session that `exec --trace` has written down. */
import { resolve } from "node:path";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { TraceArguments } from "./arguments.ts";
import { readTrace } from "./read.ts";
import { renderJson, renderText } from "./render.ts";
import { summarise } from "./summary.ts";

/** @throws UserError TRACE_FILE, TRACE_FORMAT */
export async function runTrace({ file, output }: TraceArguments, io: Io): Promise<CommandResult> {
  const summary = await summarise(readTrace(resolve(io.directory, file)));
  io.stdout.write(output === "json" ? renderJson(summary) : renderText(summary, io));
  return { code: 0 };
}
