import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { lineOf } from "../src/explain/origin.ts";
import { parseSubject } from "../src/explain/subject.ts";

const place = {
  directory: "/work/p",
  home: "/home/u",
  exists: (path: string) => path === "/work/p/server.js",
};

/** `kind` and the rest of it, in one line. */
const read = (text: string): string => Object.values(parseSubject(text, place)).join(" ");

for (const [text, expected] of [
  ["/etc/hosts", "path /etc/hosts"],
  ["/a/../b//c/", "path /b/c"],
  ["./x", "path /work/p/x"],
  ["..", "path /work"],
  ["conf/app.yaml", "path /work/p/conf/app.yaml"],
  ["server.js", "path /work/p/server.js"],
  ["client.js", "host client.js false  "],
  ["path:client.js", "path /work/p/client.js"],
  ["~/.kube/config", "path /home/u/.kube/config"],
  ["api", "host api false  "],
  ["API.Shop.:8080", "host api.shop false 8080 "],
  ["10.0.0.1", "host 10.0.0.1 true  "],
  ["10.0.0.1:443", "host 10.0.0.1 true 443 "],
  ["udp://10.0.0.1:53", "host 10.0.0.1 true 53 udp"],
  ["fd00::1", "host fd00::1 true  "],
  ["[fd00::1]:80", "host fd00::1 true 80 "],
  ["https://u:p@api.shop/x?token=1", "host api.shop false 443 tcp"],
  ["http://api:8080/", "host api false 8080 tcp"],
  [":8080", "listen 0.0.0.0 8080 "],
  ["udp://:53", "listen 0.0.0.0 53 udp"],
  ["0.0.0.0:80", "listen 0.0.0.0 80 "],
  ["[::]:80", "listen :: 80 "],
  ["127.0.0.1:80", "host 127.0.0.1 true 80 "],
  ["bind:127.0.0.1:80", "listen 127.0.0.1 80 "],
  ["bind:80", "listen 0.0.0.0 80 "],
  ["DB_URL", "variable DB_URL"],
  ["db_url=", "variable db_url"],
  ["DB_URL=postgres://u:hunter2@h/", "variable DB_URL"],
  ["env:dotted.name", "variable dotted.name"],
  ["program:go", "program go"],
  ["unix:/run/x.sock", "unix /run/x.sock"],
  ["unix:x.sock", "unix /work/p/x.sock"],
  ["unix:@abstract", "unix @abstract"],
] as const) {
  test(`${text} is: ${expected}`, () => assert.equal(read(text), expected));
}

for (const text of ["", "10.0.0.256", "a b", "api:0", "api:99999", ":99999", "a..b", "-x"]) {
  test(`${JSON.stringify(text)} is nothing that can be explained, and that is said`, () => {
    assert.throws(
      () => parseSubject(text, place),
      (error: UserError) => error.code === "USAGE_INVALID" && error.hints.length > 0,
    );
  });
}

test("whatever is typed, it is understood or refused, and a value is never kept", () => {
  const letters = [
    "/",
    ":",
    "=",
    "[",
    "]",
    ".",
    "-",
    "~",
    "%",
    "@",
    "a",
    "Z",
    "0",
    "65536",
    "é",
    "\0",
    " ",
  ];
  let seed = 7;
  const random = (): number => {
    seed = (seed * 48271) % 0x7fffffff;
    return seed;
  };
  for (let round = 0; round < 20_000; round++) {
    const text = Array.from(
      { length: random() % 9 },
      () => letters[random() % letters.length],
    ).join("");
    try {
      const subject = parseSubject(text, place);
      if (subject.kind === "variable") assert.ok(!subject.name.includes("="), text);
    } catch (error) {
      assert.ok(error instanceof UserError, text);
    }
  }
});

test("a key's line is found in JSON with comments and in YAML, also below its short form", () => {
  const json =
    '{\n  // one\n  "feature": {\n    "fs": "write",\n    "env": {\n "unset": ["A",\n"B"]}}}';
  const at = (path: readonly (string | number)[]) => lineOf("x.json", json, path);
  assert.equal(at(["feature", "fs", "mode"]), 4);
  assert.equal(at(["feature", "env", "unset", 1]), 7);
  assert.equal(at(["agent"]), undefined);
  const yaml = "feature:\n  fs:\n    local:\n      - ^/a\n      - ^/b\n";
  assert.equal(lineOf("x.yaml", yaml, ["feature", "fs", "local", 1]), 5);
  assert.equal(lineOf("x.toml", "[feature]", ["feature"]), undefined);
  assert.equal(lineOf("x.json", "{{ broken", ["feature"]), undefined);
});
