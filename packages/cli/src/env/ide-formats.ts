/** Variables as editors and IDEs read them. Pure. */
import type { ByteString } from "@inpod/protocol";
import { dotenvLine, isUtf8, type Line, type Variable } from "./formats.ts";

/**
 * A line of a file that `envFile` of launch.json names. Each debugger has a reader of its own, and those of Node, Python
 * and Go take one line after the other: a value that has several stands between ", with \n.
 */
export function envFileLine(variable: Variable): Line {
  const line = dotenvLine(variable);
  if (!("text" in line) || !/\n|=`/.test(line.text)) return line;
  const { name, value } = variable;
  if (/["\\]/.test(value)) return { why: "debuggers cannot read its quotes" };
  return { text: `${name}="${value.replaceAll("\n", "\\n").replaceAll("\r", "\\r")}"` };
}

/**
 * A part of "Environment variables" of a run configuration. IntelliJ splits at each ; that has no backslash before it,
 * and takes \; for one; a line's end would make it read the whole text in another way.
 */
export function jetbrainsPart({ name, value }: Variable): Line {
  if (/[=;\\\n]/.test(name) || !isUtf8(name)) return { why: "the format has no such name" };
  if (/[\n\r]/.test(value)) return { why: "the format has no value of several lines" };
  if (value.endsWith("\\")) return { why: "the format has no value with a backslash at its end" };
  if (!isUtf8(value)) return { why: "its value is not UTF-8" };
  return { text: `${name}=${value.replaceAll(";", "\\;")}` };
}

/** @param argv the words of `inpod env`, without node and the script; undefined: no session is kept open */
export function vscodeFragment(envFile: string, argv: readonly string[] | undefined): ByteString {
  const launch = { envFile, ...(argv ? { preLaunchTask: "inpod" } : {}) };
  const task = {
    label: "inpod",
    type: "process",
    command: "inpod",
    args: argv,
    isBackground: true,
    problemMatcher: {
      pattern: { regexp: "^error: (.*)$", message: 1, file: 1 },
      background: {
        activeOnStart: true,
        beginsPattern: "^inpod: finding",
        endsPattern: "^inpod: ready",
      },
    },
  };
  const document = { "launch.json": launch, ...(argv ? { "tasks.json": { tasks: [task] } } : {}) };
  return Buffer.from(`${JSON.stringify(document, null, 2)}\n`, "utf8").toString("latin1");
}
