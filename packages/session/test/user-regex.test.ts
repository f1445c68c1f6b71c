import assert from "node:assert/strict";
import { test } from "node:test";
import { compileUserRegex } from "../src/user-regex.ts";

const compile = (source: string) => compileUserRegex(source, "k[0]", { ignoreCase: true });

test("ordinary expressions are compiled as they are", () => {
  for (const [source, text] of [
    ["^/etc/.+\\.conf$", "/ETC/x.conf"],
    ["(?i)^/srv", "/SRV/x"],
    ["a{2,3}b", "xaab"],
    ["(foo|bar)?/x", "bar/x"],
    ["[\\]\\-a/]+x", "]-/x"],
    ["^(?!/tmp/).*x$", "/var/x"],
    ["(?:ab)+c", "ababc"],
    ["(?<dir>^/d)/e", "/d/e"],
    ["^/a/.*/b/.*/c$", "/a/1/b/2\n/c"],
  ] as const) {
    assert.ok(compile(source).test(text), source);
  }
});

test("what JavaScript would read as something else, and what is no expression, is refused with its key and position", () => {
  for (const [source, position] of [
    ["(/a", 1],
    ["/a)", 3],
    ["[a", 1],
    ["a\\", 2],
    ["*a", 1],
    ["a**", 3],
    ["a(+b)", 3],
    ["a|*", 3],
    ["^*", 2],
    ["\\Aa", 1],
    ["a\\z", 2],
    ["\\p{L}", 1],
    ["\\x{41}", 1],
    ["(a)\\1", 4],
    ["[[:alpha:]]", 2],
    ["[a&&b]", 3],
    ["[]a]", 1],
    ["(?P<n>a)", 1],
    ["(?i)(?x)a", 5],
    ["[z-a]", 1],
  ] as const) {
    assert.throws(
      () => compile(source),
      (error: Error) =>
        error.message.startsWith("k[0]: ") && error.message.endsWith(`(character ${position})`),
      source,
    );
  }
});

test("expressions that can take exponential time are refused, and those left answer at once", () => {
  for (const source of [
    "(a+)+$",
    "(a|a)*b",
    "(a?a?)*b",
    "((a*)b)*c",
    "(x+x+){9}y",
    "(?:(?:a|b)c)+",
  ]) {
    assert.throws(() => compile(source), /exponential/, source);
  }
  assert.throws(() => compile("a*".repeat(9)), /more than 8 repetitions/);
  assert.throws(() => compile("a".repeat(1025)), /longer than 1024/);
  assert.equal(compile(".*a.*b$").test("/".repeat(4095)), false);
});

test("case is folded only on request", () => {
  assert.ok(!compileUserRegex("PORT", "k", { ignoreCase: false }).test("port"));
  assert.throws(() => compileUserRegex("(?i)PORT", "k", { ignoreCase: false }), /not supported/);
});
