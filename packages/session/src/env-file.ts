/** feature.env.env_file: a small, strict dotenv. */
import type { ByteString } from "@inpod/protocol";
import { ConfigValueError } from "./config-value-error.ts";

/** Bytes of a file, and variables in it. execve(2) takes far less. */
const MAX_FILE = 1024 * 1024;
const MAX_VARIABLES = 4096;

const KEY = "feature.env.env_file";

/**
 * Lines are `NAME=value`, with `export ` before it if one likes; empty lines and lines that
 * start with "#" are nothing. A value ends with its line: 'as it stands', "with \n \r \t \" \\ \$",
 * or bare, up to " #", with the blanks around it removed. Nothing is interpolated: a `$` stays.
 *
 * @param content the file's bytes
 * @throws ConfigValueError with the line's number, never with its text
 */
export function parseEnvFile(content: ByteString): (readonly [name: string, value: ByteString])[] {
  if (content.length > MAX_FILE) throw new ConfigValueError(KEY, `longer than ${MAX_FILE} bytes`);
  const variables: (readonly [string, ByteString])[] = [];
  const lines = content.replace(/^\u00ef\u00bb\u00bf/, "").split("\n");
  for (const [index, raw] of lines.entries()) {
    const line = raw.replace(/\r$/, "").trim();
    if (line === "" || line.startsWith("#")) continue;
    const fail = (problem: string) => new ConfigValueError(KEY, `line ${index + 1}: ${problem}`);
    const found = /^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*(.*)$/s.exec(line);
    if (found === null) throw fail("not NAME=value");
    const [, name = "", text = ""] = found;
    if (text.includes("\0")) throw fail("a value contains no NUL");
    const value = parseValue(text);
    if (value === undefined) throw fail("a quote that is not closed, or text after it");
    if (variables.length === MAX_VARIABLES) throw fail(`more than ${MAX_VARIABLES} variables`);
    variables.push([name, value]);
  }
  return variables;
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

function parseValue(text: string): string | undefined {
  if (text.startsWith("'")) return /^'([^']*)'(?:[ \t]+#.*)?$/s.exec(text)?.[1];
  if (text.startsWith('"')) {
    const quoted = /^"((?:[^"\\]|\\.)*)"(?:[ \t]+#.*)?$/s.exec(text)?.[1];
    // What is no escape keeps its backslash: "C:\dir" is a path.
    return quoted?.replace(/\\([nrt"\\$])/g, (_, char: string) => ESCAPES[char] ?? char);
  }
  return text.startsWith("#") ? "" : text.replace(/[ \t]+#.*$/s, "").trimEnd();
}
