import assert from "node:assert/strict";
import { test } from "node:test";
import { errnoNumber, ProtocolError, parseResult } from "../src/index.ts";
import { parseNotice, parseRequest, parseStreamHeader } from "../src/parse.ts";

for (const [what, value] of [
  ["a name instead of an address", { kind: "tcp", host: "db.shop.svc", port: 1 }],
  ["a port beyond 65535", { kind: "tcp", host: "198.18.0.1", port: 65536 }],
  ["an address of five parts", { kind: "tcp", host: "1.2.3.4.5", port: 1 }],
  ["a kind that does not exist", { kind: "shell" }],
  ["an array", []],
  ["null", null],
] as const) {
  test(`a stream's header is refused: ${what}`, () => {
    assert.throws(() => parseStreamHeader(value), ProtocolError);
  });
}

test("what a newer peer says beyond the known keys is left out", () => {
  const header = { kind: "tcp", host: "2001:db8::1", port: 443, priority: 7 };
  assert.deepEqual(parseStreamHeader(header), { kind: "tcp", host: "2001:db8::1", port: 443 });
});

test("methods are known by name, and none comes from Object's prototype", () => {
  assert.throws(() => parseRequest({ method: "constructor", params: {} }), ProtocolError);
  assert.throws(
    () => parseRequest({ method: "incoming.steal", params: { port: 0 } }),
    ProtocolError,
  );
  assert.deepEqual(parseRequest({ method: "incoming.release", params: { port: 80 } }), {
    method: "incoming.release",
    params: { port: 80 },
  });
});

test("a port is TCP's unless it is said to be UDP's, and no other protocol's", () => {
  const asked = (protocol: unknown) =>
    parseRequest({ method: "incoming.steal", params: { port: 53, protocol } }).params;
  assert.deepEqual(asked("udp"), { port: 53, protocol: "udp" });
  assert.deepEqual(asked("tcp"), { port: 53 });
  assert.deepEqual(asked(undefined), { port: 53 });
  assert.throws(() => asked("sctp"), ProtocolError);
  const ends = { client: { address: "10.0.0.1", port: 1 }, local: { address: "::1", port: 53 } };
  const header = { kind: "incoming", protocol: "udp", ...ends };
  assert.deepEqual(parseStreamHeader(header), header);
  assert.deepEqual(parseNotice({ kind: "steal-lost", port: 53, protocol: "udp", detail: "" }), {
    kind: "steal-lost",
    port: 53,
    protocol: "udp",
    detail: "",
  });
});

test("a description keeps bytes that are no UTF-8, and refuses NUL in a value", () => {
  const description = {
    hostname: "orders-7d4f",
    addresses: ["198.18.200.2"],
    environment: [["NAME", "caf\u00e9"]],
    uid: 0,
    gid: 0,
    missing: {},
  };
  assert.deepEqual(parseResult("describe", description), description);
  const withNul = { ...description, environment: [["NAME", "a\0b"]] };
  assert.throws(() => parseResult("describe", withNul), ProtocolError);
});

test("an unknown notice is refused", () => {
  assert.throws(() => parseNotice({ kind: "reboot", detail: "" }), ProtocolError);
});

test("an errno that Linux does not have is EIO for the program", () => {
  assert.equal(errnoNumber("ECONNREFUSED"), 111);
  assert.equal(errnoNumber("EWHATEVER"), 5);
  assert.equal(errnoNumber("toString"), 5);
});
