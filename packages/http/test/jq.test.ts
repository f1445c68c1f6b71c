import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { parseJq } from "../src/filter/jq.ts";

const HEADER = "x-user: Me And You";

/** With what jq says: `jq -n '"…" | PROGRAM'`. */
const PROGRAMS: readonly (readonly [program: string, isMatch: boolean])[] = [
  ["true", true],
  ["false", false],
  [".", false],
  ['. == "x-user: Me And You"', true],
  ['. != "a"', true],
  ['startswith("x-user: ")', true],
  ['startswith("x-user: ") and endswith("You")', true],
  ['startswith("a") or endswith("b")', false],
  ['contains("me")', false],
  ['ascii_downcase | contains("me and")', true],
  ['ascii_upcase == "X-USER: ME AND YOU"', true],
  ['test("me")', false],
  ['test("me"; "i")', true],
  ['test("^x-user: [A-Z][a-z]( .*)?$")', true],
  ['ltrimstr("x-user: ") == "Me And You"', true],
  ['rtrimstr(" You") | endswith("And")', true],
  ['split(": ") | .[0] == "x-user"', true],
  ['split(": ") | .[1] | split(" ") | length == 3', true],
  ['split(": ") | .[-1] == "Me And You"', true],
  ['split(": ")[1] == "Me And You"', true],
  ["length > 10", true],
  ["length >= 18 and length <= 18", true],
  ["length < 18", false],
  ['(contains("Me"), contains("x")) | not', false],
  ['contains("a"), contains("Me")', true],
  ['select(startswith("x-user")) | endswith("You")', true],
  ["select(false) | true", false],
  ["empty", false],
  ["tonumber", false],
  ['ltrimstr("x-user: Me And You") == ""', true],
  ['"12" | tonumber == 12', true],
  ['(null, false, true, 1, "a") < ("b", 0) | not', true],
  ["not", false],
  ["true and (false or true) # a comment", true],
  ['"a" == "a" and 1 == 1.0', true],
  ["-1 < 0", true],
  ["(true, false) and (true, true)", true],
  [". | . | true", true],
  ['split("") | length == 18', true],
  [".[0]", false],
  [".x", false],
  ["null | .x.y == null", true],
  ['split(": ").x, true', false],
];

test("programs say what jq says", () => {
  for (const [program, isMatch] of PROGRAMS) {
    assert.equal(parseJq(program)(HEADER), isMatch, program);
  }
});

const hasJq = spawnSync("jq", ["--version"]).status === 0;

test("and jq says so", { skip: hasJq ? false : "needs jq" }, () => {
  for (const [program, isMatch] of PROGRAMS) {
    const source = `${JSON.stringify(HEADER)} | ${program}`;
    const { stdout } = spawnSync("jq", ["-nc", source], { encoding: "utf8" });
    assert.equal(stdout.split("\n").includes("true"), isMatch, program);
  }
});

for (const program of [
  "",
  "|",
  "a",
  "(true",
  "true)",
  "test(.)",
  'test("("; "i")',
  'test("a"; "x")',
  'startswith "a"',
  "env",
  "$__loc__",
  "input",
  '"a\\(1)"',
  "if true then true else false end",
  "constructor",
  "true true",
  '"a',
  `${"(".repeat(100)}true${")".repeat(100)}`,
]) {
  test(`refused: ${program.slice(0, 30)}`, () => {
    assert.throws(() => parseJq(program), SyntaxError);
  });
}

test("a program of very many outputs ends, without a match", () => {
  const many = `(${Array.from({ length: 40 }, () => "true").join(", ")})`;
  assert.equal(parseJq(`${many} | ${many} | ${many} | false, true`)(HEADER), false);
});
