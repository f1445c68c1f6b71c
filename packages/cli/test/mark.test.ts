import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { describeFilter } from "@inpod/session";
import { parseArguments } from "../src/arguments.ts";
import { loadConfig } from "../src/config/load.ts";
import type { MeshArguments } from "../src/mesh/arguments.ts";
import { curlLine, defaultMark, markWords, withMark } from "../src/services/mark.ts";

const mesh = (...words: string[]): MeshArguments =>
  parseArguments(["mesh", "web", "--expose", "8080:80", ...words]) as MeshArguments;
const mark = (...words: string[]) => mesh(...words).mark ?? assert.fail("no mark");
const config = loadConfig({ flags: {}, env: {}, directory: "/nowhere" });
const filter = (...words: string[]): string => {
  const { httpFilter } = withMark(config, mark(...words)).layer.incoming;
  assert.ok(httpFilter);
  return describeFilter(httpFilter.filter);
};
const refusal = (...words: string[]): string => {
  try {
    mesh(...words);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    assert.equal(error.code, "USAGE_INVALID");
    return error.message;
  }
  return assert.fail("nothing was refused");
};

test("--version-mark is [KEY:]VALUE as ktctl has it, and its header VERSION where no KEY is said", () => {
  assert.equal(filter("--version-mark", "alice"), "header version = alice");
  assert.equal(filter("--version-mark", "x-tenant:acme"), "header x-tenant = acme");
  assert.equal(filter("--version-mark", "mark:http://a:80/"), "header mark = http://a:80/");
});

test("headers and a path's beginning must all match, by Telepresence's names as well", () => {
  assert.equal(filter("--header", "x-user=me"), "header x-user = me");
  assert.equal(
    filter("--header", "X-User=a=b", "--header=y: z", "--path-prefix", "/api"),
    "(header x-user = a=b and header y = z and path ^= /api)",
  );
  assert.equal(
    filter("--http-header", "x-user=me", "--http-path-prefix", "/api"),
    "(header x-user = me and path ^= /api)",
  );
  assert.equal(filter("--path-prefix", "/api"), "path ^= /api");
  assert.equal(
    filter("--version-mark", "alice", "--path-prefix", "/a"),
    "(header version = alice and path ^= /a)",
  );
});

test("what no header or path can be is refused", () => {
  for (const [flag, value, message] of [
    ["--version-mark", "", /has no value/],
    ["--version-mark", "a b:c", /names no header/],
    ["--version-mark", ":c", /names no header/],
    ["--version-mark", "k:é", /has no value/],
    ["--header", "x-user", /names no header/],
    ["--header", "x-user=", /has no value/],
    ["--header", "x=a\r\nb: c", /has no value/],
    ["--path-prefix", "api", /is no path/],
  ] as const)
    assert.match(refusal(flag, value), message, `${flag} ${value}`);
  assert.match(refusal("--expose", "53:53/udp"), /datagrams have no mark/);
});

test("the default mark is the same for a user whenever it is asked for, and safe in a header", () => {
  assert.deepEqual(defaultMark("alice", "laptop"), { name: "VERSION", value: "alice" });
  for (const [name, value] of [
    ["CORP\\Élodie Dupont", "elodie-dupont"],
    ["root", "root-laptop"],
    ["vscode", "vscode-laptop"],
    ["山田", "somebody-laptop"],
    ["..x", "x"],
  ] as const)
    assert.equal(defaultMark(name, "laptop").value, value);
  assert.ok(defaultMark("a".repeat(300), "laptop").value.length <= 40);
});

test("the mark is told in words, and as a line that a shell takes as it is", () => {
  const both = mark("--header", "x-user=o'hara", "--path-prefix", "/api");
  assert.equal(markWords(both), "x-user: o'hara and a path that begins with /api");
  assert.equal(
    curlLine(both, "web.shop:80"),
    `curl -H 'x-user: o'\\''hara' http://web.shop:80/api`,
  );
  assert.equal(
    curlLine(mark("--version-mark", "alice"), "web.shop:80"),
    "curl -H 'VERSION: alice' http://web.shop:80/",
  );
});
