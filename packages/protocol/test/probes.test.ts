import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtocolError } from "@inpod/protocol";
import { parseRequest } from "../src/parse.ts";

const parse = (params: unknown) => parseRequest({ method: "incoming.probes", params });

test("probes are read, and nothing else of what is said with them", () => {
  const probes = [
    { port: 80, kind: "http", path: "/healthz?x=1", userAgent: "" },
    { port: 443, kind: "https", path: "/" },
    { port: 5432, kind: "tcp" },
    { port: 9000, kind: "grpc" },
  ];
  const said = { from: ["192.0.2.1", "2001:db8::1"], probes };
  const more = { ...said, probes: probes.map((each) => ({ ...each, headers: { a: "secret" } })) };
  assert.deepEqual(parse({ ...more, more: 1 }).params, said);
});

for (const [what, params] of [
  ["no list", { from: [], probes: {} }],
  ["no addresses", { probes: [] }],
  ["a name for an address", { from: ["localhost"], probes: [] }],
  ["a kind that nobody knows", { from: [], probes: [{ port: 80, kind: "exec" }] }],
  ["port 0", { from: [], probes: [{ port: 0, kind: "tcp" }] }],
  ["no number", { from: [], probes: [{ port: "http", kind: "http" }] }],
  ["a path that is none", { from: [], probes: [{ port: 80, kind: "http", path: 1 }] }],
  [
    "a path without an end",
    { from: [], probes: [{ port: 80, kind: "http", path: "/".repeat(5000) }] },
  ],
  ["too many", { from: [], probes: Array(257).fill({ port: 80, kind: "tcp" }) }],
  ["too many addresses", { from: Array(17).fill("192.0.2.1"), probes: [] }],
] as const) {
  test(`refused: ${what}`, () => {
    assert.throws(() => parse(params), ProtocolError);
  });
}
