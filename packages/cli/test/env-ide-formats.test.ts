/** Variables for editors and IDEs, read as they read them; and what `inpod env` wants to be told for them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEnv } from "node:util";
import { parseArguments } from "../src/arguments.ts";
import { write } from "../src/env/evaluated.ts";
import type { Variable } from "../src/env/formats.ts";
import { vscodeFragment } from "../src/env/ide-formats.ts";

const VALUES = [
  ...[
    "",
    "plain",
    "two words",
    "a=b",
    "a;b",
    ";",
    "a\\;b",
    "a\\b",
    "ends\\",
    "it's",
    '"q"',
    "#x",
    "$X",
  ],
  ...["a\nb", 'a\n"b"', "a\r\nb", "`a`", "`'\"", "caf\u00c3\u00a9", "\u00ff"],
];
const variables: Variable[] = VALUES.map((value, index) => ({
  name: `V${index}`,
  value,
  from: "pod",
}));
const leftOut = (left: readonly { readonly name: string }[]): string[] =>
  left.map(({ name }) => VALUES[Number(name.slice(1))] ?? "");

/** As EnvVariablesTable of IntelliJ: at a ; without a backslash before it; \\; is one. */
function readByIntellij(line: string): Map<string, string> {
  assert.ok(!line.includes("\n"), "it would be read in the older way, by lines");
  return new Map(
    line.split(/(?<!\\);/).map((part) => {
      const [name = "", ...value] = part.replaceAll("\\;", ";").split("=");
      return [name, value.join("=")];
    }),
  );
}

test("IntelliJ reads each value that jetbrains has, and what it could not read is left out", () => {
  const { bytes, left } = write("jetbrains", variables, []);
  const read = readByIntellij(bytes.replace(/\n$/, ""));
  assert.deepEqual(leftOut(left), ["ends\\", "a\nb", 'a\n"b"', "a\r\nb", "\u00ff"]);
  for (const { name, value } of variables)
    if (!left.some((each) => each.name === name)) assert.equal(read.get(name), value);
  assert.equal(read.size, variables.length - left.length);
});

/** As the readers of the debuggers for Node and Go: line after line; of " the \n; then the quotes. */
const readByLines = (text: string): Map<string, string> =>
  new Map(
    text.split("\n").flatMap((line) => {
      const [, name, given = ""] = /^\s*([\w.-]+)\s*=\s*(.*)?\s*$/.exec(line) ?? [];
      if (name === undefined) return [];
      const value = /^".*"$/.test(given)
        ? given.replaceAll("\\n", "\n").replaceAll("\\r", "\r")
        : given;
      return [[name, value.replace(/^(['"])([\s\S]*)\1$/, "$2")]];
    }),
  );

test("readers of one line after the other, and Node's own, read each value of vscode", () => {
  const { bytes, left } = write("vscode", variables, []);
  const text = Buffer.from(bytes, "latin1").toString("utf8");
  const lines = readByLines(text);
  const node = parseEnv(text.replaceAll("\\r", "")); // it does not know \r
  assert.deepEqual(leftOut(left), ["ends\\", 'a\n"b"', "`'\"", "\u00ff"]);
  for (const { name, value } of variables) {
    if (left.some((each) => each.name === name)) continue;
    const wanted = Buffer.from(value, "latin1").toString("utf8");
    assert.equal(lines.get(name), wanted);
    assert.equal(node[name], wanted.replaceAll("\r", ""));
  }
});

test("the fragment for VS Code has the file and the words, and no secret", () => {
  const words = ["env", "--keep-open", "-t", "pod/x"];
  const read = JSON.parse(vscodeFragment("/p/session.env", words));
  assert.equal(read["launch.json"].envFile, "/p/session.env");
  assert.deepEqual(read["tasks.json"].tasks[0].args, words);
  const once = JSON.parse(vscodeFragment("/p/session.env", undefined));
  assert.deepEqual(once, { "launch.json": { envFile: "/p/session.env" } });
});

test("what a session that is kept open lacks is said before anything is made", () => {
  const refused = (line: string): string => {
    try {
      parseArguments(["env", ...line.split(" ")]);
    } catch (error) {
      return `${(error as Error).message} | ${(error as { hints: string[] }).hints.join(" ")}`;
    }
    return "";
  };
  assert.match(refused("--keep-open"), /format table starts no program.* \| .*vscode or jetbrains/);
  assert.match(refused("--keep-open --format docker --show-values"), /format docker starts no/);
  assert.match(refused("--keep-open --format json"), /nothing without values \| .*--output FILE/);
  assert.match(refused("--format jetbrains"), /nothing without values/);
  assert.match(refused("--format vscode --show-values"), /needs a file for the variables/);
  assert.match(refused("--end-with-stdin"), /of a session that stays \| add --keep-open/);
  assert.equal(refused("--keep-open --format shell --output x.sh --steal -y"), "");
});
