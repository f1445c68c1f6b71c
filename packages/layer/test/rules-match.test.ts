import assert from "node:assert/strict";
import { test } from "node:test";
import { compileRegex, MAX_PATH_LENGTH, matches } from "../src/rules/match.ts";

const KEY = "feature.fs.local[0]";

for (const [source, expected] of [
  ["^/etc/x$", { kind: "exact", path: "/etc/x" }],
  ["^/etc/resolv\\.conf$", { kind: "exact", path: "/etc/resolv.conf" }],
  ["^/usr(/|$)", { kind: "tree", path: "/usr" }],
  ["^/usr(?:/|$)", { kind: "tree", path: "/usr" }],
  ["^/srv/app(/.*)?$", { kind: "tree", path: "/srv/app" }],
  ["^/foo", { kind: "prefix", text: "/foo" }],
  ["^/foo/.*$", { kind: "prefix", text: "/foo/" }],
  ["^/foo/.+", { kind: "prefix", text: "/foo/" }],
  [".\\.so$", { kind: "suffix", text: ".so" }],
  ["^.*\\.py$", { kind: "suffix", text: ".py" }],
  [".*(^|/)jvm\\.cfg$", { kind: "suffix", text: "/jvm.cfg" }],
  ["/node_modules", { kind: "contains", text: "/node_modules" }],
  [".+\\.asdf/.+", { kind: "contains", text: ".asdf/" }],
  ["(?i)^/Data\\-1$", { kind: "exact", path: "/Data-1" }],
  ["/a\\$", { kind: "contains", text: "/a$" }],
  ["", { kind: "contains", text: "" }],
] as const) {
  test(`${source} is ${expected.kind}`, () => {
    assert.deepEqual(compileRegex(source, KEY), expected);
  });
}

test("what no cheap kind says exactly stays an expression", () => {
  for (const source of [
    "^/etc/resolv.conf$", // an unescaped dot is a wildcard
    "node_modules(/|$)",
    "./foo$", // the path /foo has no character before it
    "^/.+",
    "^/(/|$)",
    "a|b",
    "[ab]",
    "^/a.*b",
    "/x\\d",
    "/caf\u00e9",
    "a+$",
  ]) {
    assert.equal(compileRegex(source, KEY).kind, "regex", source);
  }
});

test("names are bytes: UTF-8 matches what the user wrote, and ASCII case is all that is folded", () => {
  const bytes = Buffer.from("/Caf\u00e9/x").toString("latin1");
  assert.ok(matches(compileRegex("^/caf\u00e9/", KEY), bytes));
  assert.ok(matches(compileRegex("^/caf./", KEY), bytes));
  assert.ok(matches({ kind: "prefix", text: bytes.toLowerCase().slice(0, 4) }, bytes));
  assert.ok(!matches({ kind: "exact", path: "/\u00e9" }, "/\u00c9"));
});

test("shared objects are known by their suffix, with any version", () => {
  for (const path of ["/app/libx.so", "/l/libstdc++.so.6.0.30", "/l/LIBC.SO.6"]) {
    assert.ok(matches({ kind: "shared-object" }, path), path);
  }
  for (const path of ["/app/libx.so.txt", "/app/also", "/l/x.so.", "/l/x.so.6a", "/l/x.sox"]) {
    assert.ok(!matches({ kind: "shared-object" }, path), path);
  }
});

test("a path longer than the kernel takes matches nothing", () => {
  const everything = compileRegex("", KEY);
  assert.ok(matches(everything, `/${"a".repeat(MAX_PATH_LENGTH - 1)}`));
  assert.ok(!matches(everything, `/${"a".repeat(MAX_PATH_LENGTH)}`));
});

/** xorshift32: the same paths in every run, and the seed in a failure's message. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

test("a translated expression and JavaScript's own agree on every path", () => {
  const random = generator(20_241_124);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const heads = ["", "^", ".", ".*", ".+", "^.*", "^.+", "(^|/)", ".*(^|/)"];
  const tails = [
    "",
    "$",
    "(/|$)",
    "(?:/|$)",
    "($|/)",
    "(/.*)?$",
    ".*",
    ".*$",
    ".+",
    ".+$",
    ".",
    "|$",
  ];
  const pieces = [
    "/",
    "a",
    "B",
    "\\.",
    ".",
    "\\/",
    "so",
    "\\$",
    "-",
    "\\-",
    " ",
    "\\\\",
    "a/",
    "/b",
    "[ab]",
  ];
  const parts = [
    "a",
    "b",
    "A",
    ".so",
    "so",
    ".",
    "-",
    "$",
    " ",
    "\\",
    "\n",
    "\u00c3\u00a9",
    "\u00ff",
    "ab",
  ];
  const paths = ["/", "/a", "/B", "/a/b"];
  while (paths.length < 400) {
    let path = "";
    for (let depth = random(4) + 1; depth > 0; depth--) {
      let name = "";
      for (let n = random(3) + 1; n > 0; n--) name += pick(parts);
      path += /^\.\.?$/.test(name) ? "/x" : `/${name}`;
    }
    paths.push(path);
  }
  let translated = 0;
  for (let round = 0; round < 5_000; round++) {
    let body = "";
    for (let n = random(4); n > 0; n--) body += pick(pieces);
    const source = pick(heads) + body + pick(tails);
    const match = compileRegex(source, KEY);
    if (match.kind === "regex") continue;
    translated += 1;
    const reference = new RegExp(source, "is");
    for (let n = 0; n < 60; n++) {
      const path = pick(paths);
      assert.equal(
        matches(match, path),
        reference.test(Buffer.from(path, "latin1").toString("utf8")),
        `${source} as ${JSON.stringify(match)} on ${JSON.stringify(path)}`,
      );
    }
  }
  assert.ok(translated > 1_000, `only ${translated} expressions were translated`);
});
