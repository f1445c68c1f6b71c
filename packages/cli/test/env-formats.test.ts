/** What `inpod env` writes is read again by what it is for: real shells, dotenv libraries, podman. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { parseEnv } from "node:util";
import type { ByteString } from "@inpod/protocol";
import { PODMAN_IMAGE, type Podman, podmanMissing, startPodman } from "@inpod/sandbox";
import { parseEnvFile } from "@inpod/session";
import dotenv from "dotenv";
import { type Evaluated, write } from "../src/env/evaluated.ts";
import { json, type Variable } from "../src/env/formats.ts";

const utf8 = (text: string): ByteString => Buffer.from(text, "utf8").toString("latin1");

/** What each format's own rules make hard. */
const HARD: readonly ByteString[] = [
  ...[
    "",
    "plain",
    "two words",
    " around ",
    "it's",
    '"q"',
    "'",
    "''",
    "a=b",
    "#x",
    "a #b",
    "-n",
    "~",
  ],
  ...[
    "a\\b",
    "a\\\\b",
    "\\",
    "ends\\",
    "\\'",
    "'\\",
    '\\"',
    "a\\nb",
    "\\n",
    "\\$",
    "%s",
    "*",
    "(a)",
    "{a,b}",
  ],
  ...[
    "a\nb",
    "\n",
    "a\n\n",
    "\na",
    "a\r\nb",
    "\r",
    "a\r",
    "\t",
    "a\n#b\nA1='x'\n",
    "'\n\"",
    "`\n'",
  ],
  ...[
    `$HOME \`id\` $(id) $${"{X}"}`,
    "!x",
    "!!",
    "'; exit 9; '",
    '"; exit 9; "',
    "`'\"",
    "`'\\",
    "&;|<>",
    "$'\\n'",
  ],
  ...[
    "-----BEGIN KEY-----\nMII+/=\n-----END KEY-----\n",
    '{"a": ["b\\"c"]}',
    "export A=1",
    "\u0001\u001b[31m\u007f",
  ],
  ...[utf8("café ☃ 𝄞"), utf8("\u00a0x\u00a0"), utf8("\u2028"), "\xff\xfe", "caf\xe9", "\xc3"],
];

/** Numbers that are the same in every run (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
const next = numbers(1);
const PIECES = [
  "'",
  '"',
  "\\",
  "\n",
  "\r",
  "`",
  "$",
  "#",
  " ",
  "=",
  "a",
  "n",
  "(",
  ")",
  "!",
  "\t",
  "A1=",
  "é",
];
const random = Array.from({ length: 400 }, () =>
  Array.from({ length: 1 + next(8) }, () => utf8(PIECES[next(PIECES.length)] ?? "")).join(""),
);
const variables: readonly Variable[] = [...HARD, ...random, "x".repeat(50_000)].map(
  (value, at) => ({
    name: `A${at}`,
    value,
    from: "pod",
  }),
);

const folder = mkdtempSync(join(tmpdir(), "inpod-env-"));
after(() => rmSync(folder, { recursive: true, force: true }));
/** Written as it goes to stdout. */
function fileOf(format: Evaluated, removed: readonly string[] = []) {
  const { bytes, left } = write(format, variables, removed);
  const path = join(folder, format);
  writeFileSync(path, Buffer.from(bytes, "latin1"));
  return { path, bytes, left };
}
const wanted = (without: readonly { readonly name: string }[]): Record<string, ByteString> => {
  const gone = new Set(without.map(({ name }) => name));
  return Object.fromEntries(
    variables.filter(({ name }) => !gone.has(name)).map(({ name, value }) => [name, value]),
  );
};
const ours = (pairs: Iterable<readonly [string, string | undefined]>): Record<string, string> =>
  Object.fromEntries([...pairs].filter(([name]) => /^A\d+$/.test(name)) as [string, string][]);
const pairsOf = (environ: string): [string, string][] =>
  environ
    .split("\0")
    .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]);

const EVAL = 'eval "$(cat "$FILE")"; env -0';
for (const [shell, format, script] of [
  [["sh", "-euc"], "shell", EVAL],
  [["dash", "-euc"], "shell", EVAL],
  [["bash", "-euc"], "shell", EVAL],
  [["bash", "--posix", "-euc"], "shell", EVAL],
  [["bash", "-ic"], "shell", EVAL],
  [["zsh", "-fc"], "shell", EVAL],
  [["zsh", "-fic"], "shell", EVAL],
  [["ksh", "-c"], "shell", EVAL],
  [["mksh", "-c"], "shell", EVAL],
  [["busybox", "sh", "-c"], "shell", EVAL],
  [["fish", "--no-config", "-c"], "shell", EVAL],
  [["fish", "--no-config", "-c"], "fish", EVAL],
  [["fish", "--no-config", "-c"], "fish", "cat $FILE | source; env -0"],
] as const)
  test(`${shell.join(" ")} evaluates ${format}: every value arrives byte for byte`, (t) => {
    const [program, ...flags] = shell;
    if (spawnSync(program, ["--help"]).error !== undefined) return t.skip(`needs ${program}`);
    const { path, left } = fileOf(format, program === "fish" && format === "shell" ? [] : ["GONE"]);
    assert.deepEqual(left, []);
    const { stdout, stderr, status } = spawnSync(program, [...flags, script], {
      env: { PATH: process.env.PATH, HOME: folder, LANG: "C.UTF-8", FILE: path, GONE: "mine" },
      timeout: 120_000,
      maxBuffer: 16 * 1024 * 1024,
    });
    assert.equal(status, 0, stderr.toString());
    const seen = pairsOf(stdout.toString("latin1"));
    assert.deepEqual(ours(seen), wanted([]));
    if (format === "fish" || program !== "fish")
      assert.ok(!seen.some(([name]) => name === "GONE"), "what the program has not is unset");
  });

test("a shell's own names, and what it cannot have, are left out and named; nothing of a name is ever written", () => {
  const names = [
    "UID",
    "path",
    "BASH_FUNC_x%%",
    "a.b",
    "x;exit 9",
    "x\nexit 9",
    "PS1",
    "1A",
    "TMOUT",
    "ENV",
  ];
  for (const format of ["shell", "fish"] as const) {
    const { bytes, left } = write(
      format,
      names.map((name) => ({ name, value: "v", from: "pod" as const })),
      ["a;exit 9", "UID", "AWS_PROFILE"],
    );
    const set = format === "shell" ? "export ENV='v'" : "set -gx ENV 'v'";
    const unset = format === "shell" ? "unset" : "set -e";
    assert.equal(bytes, `${unset} AWS_PROFILE\n${set}\n`);
    assert.deepEqual(
      left.map(({ name }) => name),
      names.slice(0, -1),
    );
  }
});

const unquotable = ({ value }: Variable): boolean => {
  const isText = Buffer.from(value, "latin1").toString("utf8") !== "" || value === "";
  const isUtf8 = isText && utf8(Buffer.from(value, "latin1").toString("utf8")) === value;
  const noRaw = value.includes("\r") || value.endsWith("\\");
  const has = (char: string) => value.includes(char);
  return !isUtf8 || ((has("'") || noRaw) && (has('"') || has("\\")) && (has("`") || noRaw));
};

test("dotenv is read by feature.env.env_file, the dotenv package (both parsers) and Node; the rest is named", () => {
  const { bytes, left } = fileOf("dotenv");
  const expected = wanted(left);
  assert.deepEqual(
    left.map(({ name }) => name),
    variables.filter(unquotable).map(({ name }) => name),
  );
  assert.ok(Object.keys(expected).length > 300, `${Object.keys(expected).length}`);
  assert.deepEqual(Object.fromEntries(parseEnvFile(bytes)), expected);
  const text = Buffer.from(bytes, "latin1").toString("utf8");
  const asBytes = (read: Record<string, string | undefined>) =>
    Object.fromEntries(Object.entries(read).map(([name, value]) => [name, utf8(value ?? "")]));
  assert.deepEqual(asBytes(dotenv.parse(text)), expected);
  assert.deepEqual(asBytes(dotenv.parse(text, { fast: true } as object)), expected);
  // Node reads \n between ", and leaves \r as it stands.
  const ofNode = asBytes(parseEnv(text) as Record<string, string>);
  for (const [name, value] of Object.entries(expected))
    assert.equal(ofNode[name], value.includes("\r") ? value.replaceAll("\r", "\\r") : value);
});

/** As https://github.com/docker/cli/blob/master/pkg/kvfile reads it. */
function asDockerReads(file: Buffer): Record<string, string> {
  const read: Record<string, string> = {};
  const lines = file.toString("latin1").split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const raw of lines) {
    assert.ok(raw.length < 64 * 1024, "bufio.Scanner: token too long");
    const line = raw.replace(/\r$/, "").replace(/^[ \t]+/, "");
    new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(line, "latin1"));
    if (line === "" || line.startsWith("#")) continue;
    const at = line.indexOf("=");
    const name = at < 0 ? line : line.slice(0, at);
    assert.ok(name !== "" && !/[ \t]/.test(name), "variable contains whitespaces");
    if (at >= 0) read[name] = line.slice(at + 1);
  }
  return read;
}

test("docker's rules give back every value of one line that is text; the others are named", () => {
  const { path, bytes, left } = fileOf("docker");
  const expected = wanted(left);
  assert.ok(Object.keys(expected).length > 200);
  for (const { name } of left) {
    const value = variables.find((each) => each.name === name)?.value ?? "";
    assert.ok(/\n|\r$|[\x80-\xff]/.test(value), JSON.stringify(value));
  }
  assert.deepEqual(asDockerReads(Buffer.from(bytes, "latin1")), expected);
  assert.ok(path);
  const names = ["a b", "#c", "d", "e\n"].map((name) => ({
    name,
    value: "",
    from: "pod" as const,
  }));
  assert.equal(write("docker", names, []).bytes, "d=\n");
  const long = { name: "L", value: "x".repeat(70_000), from: "pod" as const };
  assert.equal(write("docker", [long], []).left.length, 1);
});

describe("podman", { skip: podmanMissing(), timeout: 280_000 }, () => {
  let podman: Podman | undefined;
  after(() => podman?.stop());
  test("podman run --env-file sets what docker's format says", async () => {
    podman = await startPodman();
    const { path, left } = fileOf("docker");
    const seen = await podman.run(
      ...["run", "--rm", "--network", "none", "--env-file", path],
      ...[PODMAN_IMAGE, "/bin/sh", "-c", "cat /proc/self/environ | base64"],
    );
    const environ = Buffer.from(seen, "base64").toString("latin1");
    assert.deepEqual(ours(pairsOf(environ)), wanted(left));
  });
});

test("JSON has every value, what is not text in base64, and nothing that a terminal would obey", () => {
  const target = "pod/a";
  const removed = [{ name: "GONE", why: "feature.env.unset" }];
  const bytes = json({ target, areValuesShown: true, variables, removed });
  const text = Buffer.from(bytes, "latin1").toString("utf8");
  assert.doesNotMatch(text, /[^\P{Cc}\n]/u);
  const read = JSON.parse(text) as {
    variables: { name: string; from: string; value?: string; valueBase64?: string }[];
  };
  const back = read.variables.map(({ name, value, valueBase64 }) => [
    name,
    value === undefined ? Buffer.from(valueBase64 ?? "", "base64").toString("latin1") : utf8(value),
  ]);
  assert.deepEqual(Object.fromEntries(back), wanted([]));
  const hidden = JSON.parse(json({ target, areValuesShown: false, variables, removed })) as {
    values: string;
    variables: object[];
    removed: object[];
  };
  assert.equal(hidden.values, "hidden");
  assert.deepEqual(hidden.variables[1], { name: "A1", from: "pod" });
  assert.deepEqual(hidden.removed, removed);
});
