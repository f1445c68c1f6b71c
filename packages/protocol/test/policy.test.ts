import assert from "node:assert/strict";
import { test } from "node:test";
import { ALLOWS_ALL, hides, parsePolicy, renderPolicy, stricter } from "../src/policy.ts";

test("a policy is a list of statements, in one line or several", () => {
  assert.deepEqual(parsePolicy(""), ALLOWS_ALL);
  assert.deepEqual(parsePolicy("no-steal; read-only-files"), {
    steal: "forbidden",
    mirror: "allowed",
    files: "read-only",
    hiddenVariables: [],
  });
  assert.deepEqual(parsePolicy("steal-with-filter-only\ndeny-env = DB_*, API_TOKEN\n"), {
    steal: "filtered",
    mirror: "allowed",
    files: "writable",
    hiddenVariables: ["DB_*", "API_TOKEN"],
  });
});

test("what is not understood is refused: nobody may do what an unknown statement forbids", () => {
  for (const text of [
    "no-stealing",
    "no-steal=yes",
    "deny-env",
    "deny-env=",
    "deny-env=A=B",
    "deny-env=$(x)",
    "read-only-files; x",
    "x".repeat(20_000),
  ])
    assert.throws(() => parsePolicy(text), Error, text);
});

test("of several policies the stricter holds, statement by statement", () => {
  const namespace = parsePolicy("steal-with-filter-only; no-mirror; deny-env=A");
  const workload = parsePolicy("no-steal; deny-env=A,B");
  for (const both of [stricter(namespace, workload), stricter(workload, namespace)])
    assert.deepEqual(
      { ...both, hiddenVariables: [...both.hiddenVariables].sort() },
      { steal: "forbidden", mirror: "forbidden", files: "writable", hiddenVariables: ["A", "B"] },
    );
});

test("what is written is read back", () => {
  for (const text of [
    "",
    "no-steal;no-mirror;read-only-files;deny-env=A,B_*",
    "steal-with-filter-only",
  ])
    assert.equal(renderPolicy(parsePolicy(text)), text);
});

test("a hidden variable is named exactly or by wildcards, and nothing in a pattern is a regular expression", () => {
  const policy = parsePolicy("deny-env=DB_*,TOKEN_?,a.b");
  const isHidden = (name: string): boolean => hides(policy, name);
  assert.deepEqual(
    ["DB_HOST", "DB_", "TOKEN_1", "a.b"].filter((name) => !isHidden(name)),
    [],
  );
  assert.deepEqual(["MYDB_HOST", "TOKEN_12", "db_host", "axb"].filter(isHidden), []);
});
