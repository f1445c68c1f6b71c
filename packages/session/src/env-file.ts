/** feature.env.env_file: a small, strict dotenv. */
import type { ByteString } from "@inpod/protocol";
import { ConfigValueError } from "./config-value-error.ts";

/** Bytes of a file, and variables in it. execve(2) takes far less. */
const MAX_FILE = 1024 * 1024;
const MAX_VARIABLES = 4096;

const KEY = "feature.env.env_file";
const UNCLOSED = "a quote that is not closed, or text after it";

/**
 * Lines are `NAME=value`, with `export ` before it if one likes; empty lines and lines that
 * start with "#" are nothing. A value is bare, up to " #", with the blanks around it removed; or
 * in quotes, where it may have several lines: 'as it stands', `as it stands`, or "with \n \r \t
 * \" \\ \$". Nothing is interpolated: a `$` stays.
 *
 * @param content the file's bytes
 * @throws ConfigValueError with the line's number, never with its text
 */
export function parseEnvFile(content: ByteString): (readonly [name: string, value: ByteString])[] {
  if (content.length > MAX_FILE) throw new ConfigValueError(KEY, `longer than ${MAX_FILE} bytes`);
  const variables: (readonly [string, ByteString])[] = [];
  const lines = content
    .replace(/^\u00ef\u00bb\u00bf/, "")
    .replaceAll("\r\n", "\n")
    .split("\n");
  for (let index = 0; index < lines.length; index++) {
    const line = (lines[index] ?? "").replace(/\r$/, "").trim();
    if (line === "" || line.startsWith("#")) continue;
    const fail = (problem: string) => new ConfigValueError(KEY, `line ${index + 1}: ${problem}`);
    const found = /^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*(.*)$/s.exec(line);
    if (found === null) throw fail("not NAME=value");
    const [, name = "", text = ""] = found;
    // Only a value in quotes goes on; its line is taken as it stands, blanks at its end included.
    const start = /^[^=]*=[ \t]*/.exec(lines[index] ?? "")?.[0].length ?? 0;
    const value = /^['"`]/.test(text)
      ? quotedValue(lines, index, start)
      : { text: bareValue(text), lines: 1 };
    if (value === undefined) throw fail(UNCLOSED);
    if (value.text.includes("\0")) throw fail("a value contains no NUL");
    if (variables.length === MAX_VARIABLES) throw fail(`more than ${MAX_VARIABLES} variables`);
    variables.push([name, value.text]);
    index += value.lines - 1;
  }
  return variables;
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

const bareValue = (text: string): string =>
  text.startsWith("#") ? "" : text.replace(/[ \t]+#.*$/s, "").trimEnd();

/** @returns undefined when it is not closed, or when something else than a comment follows */
function quotedValue(
  lines: readonly string[],
  index: number,
  start: number,
): { readonly text: ByteString; readonly lines: number } | undefined {
  const quote = (lines[index] ?? "").charAt(start);
  const parts: string[] = [];
  for (let at = index, from = start + 1; at < lines.length; at++, from = 0) {
    const line = lines[at] ?? "";
    const end = closing(line, from, quote);
    if (end === undefined) {
      parts.push(line.slice(from));
      continue;
    }
    parts.push(line.slice(from, end));
    if (!/^[ \t\r]*(?:[ \t]#.*)?$/s.test(line.slice(end + 1))) return undefined;
    const text = parts.join("\n");
    // What is no escape keeps its backslash: "C:\dir" is a path.
    const unescaped =
      quote === '"'
        ? text.replace(/\\([nrt"\\$])/g, (_, char: string) => ESCAPES[char] ?? char)
        : text;
    return { text: unescaped, lines: at - index + 1 };
  }
  return undefined;
}

/** Where the quote is closed in this line. */
function closing(line: string, from: number, quote: string): number | undefined {
  for (let at = from; at < line.length; at++) {
    if (quote === '"' && line[at] === "\\") at += 1;
    else if (line[at] === quote) return at;
  }
  return undefined;
}
