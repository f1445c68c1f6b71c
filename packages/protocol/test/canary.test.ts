import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtocolError } from "@inpod/protocol";
import { parseRequest, parseResult } from "../src/parse.ts";

const wish = {
  port: 3000,
  way: "steal",
  host: "10.96.0.7",
  servicePort: 80,
  attempts: 3,
  nonce: "0123456789abcdef0123456789abcdef",
  timeoutMs: 3000,
};
const parse = (params: unknown) => parseRequest({ method: "incoming.canary", params });

test("a try through a Service is read, and nothing else of what is said with it", () => {
  assert.deepEqual(parse({ ...wish, more: 1 }).params, wish);
});

for (const wrong of [
  { port: 0 },
  { way: "off" },
  { host: "web" },
  { servicePort: 70_000 },
  { attempts: 65 },
  { attempts: -1 },
  { nonce: "0123" },
  { nonce: `${wish.nonce.slice(1)}\n` },
  { timeoutMs: 60_000 },
]) {
  test(`refused: ${JSON.stringify(wrong)}`, () => {
    assert.throws(() => parse({ ...wish, ...wrong }), ProtocolError);
  });
}

test("its result is read", () => {
  const result = { isProved: false, ms: 7, attempts: 3, elsewhere: 1, staysInside: false };
  assert.deepEqual(parseResult("incoming.canary", { ...result, more: 1 }), result);
  const refused = { ...result, errno: "ECONNREFUSED" };
  assert.deepEqual(parseResult("incoming.canary", refused), refused);
  assert.throws(() => parseResult("incoming.canary", { ...result, ms: "7" }), ProtocolError);
});
