/** Variables in a format whose reader takes every value for one. Pure. */
import type { ByteString } from "@inpod/protocol";
import {
  dockerLine,
  dotenvLine,
  type Line,
  shellLine,
  shellName,
  type Variable,
} from "./formats.ts";
import { envFileLine, jetbrainsPart } from "./ide-formats.ts";

export interface Written {
  /** What goes to stdout, each char a byte. */
  readonly bytes: ByteString;
  /** What the format cannot say. Names are as they come. */
  readonly left: readonly { readonly name: ByteString; readonly why: string }[];
}

/** Formats that something evaluates or sets, so that nothing may stand where a value belongs. */
export const EVALUATED = ["shell", "fish", "dotenv", "docker", "vscode", "jetbrains"] as const;
export type Evaluated = (typeof EVALUATED)[number];

/** @param removed names that the developer has and the program has not */
export function write(
  format: Evaluated,
  variables: readonly Variable[],
  removed: readonly ByteString[],
): Written {
  const lines: ByteString[] = [];
  const left: { name: ByteString; why: string }[] = [];
  const takeAway = { shell: "unset ", fish: "set -e " }[format as string];
  if (takeAway !== undefined)
    for (const name of removed) if (shellName(name) === undefined) lines.push(takeAway + name);
  for (const variable of variables) {
    const line = lineOf(format, variable);
    if ("text" in line) lines.push(line.text);
    else left.push({ name: variable.name, why: line.why });
  }
  const bytes =
    format === "jetbrains" ? `${lines.join(";")}\n` : lines.map((line) => `${line}\n`).join("");
  return { bytes, left };
}

function lineOf(format: Evaluated, variable: Variable): Line {
  switch (format) {
    case "shell":
      return shellLine(variable, (name) => `export ${name}=`);
    case "fish":
      return shellLine(variable, (name) => `set -gx ${name} `);
    case "dotenv":
      return dotenvLine(variable);
    case "docker":
      return dockerLine(variable);
    case "vscode":
      return envFileLine(variable);
    case "jetbrains":
      return jetbrainsPart(variable);
  }
}
