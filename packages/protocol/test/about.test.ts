import assert from "node:assert/strict";
import { test } from "node:test";
import {
  encodeJson,
  FrameType,
  HEADER_BYTES,
  MAX_HELLO,
  parseSessionHello,
  sessionAbout,
} from "../src/index.ts";

const HELLO = {
  role: "session",
  version: 1,
  build: "b",
  sessionId: "0123456789",
  nonce: Buffer.alloc(32).toString("base64"),
  signature: "s".repeat(88),
  features: ["tls", "leave"],
};

test("a greeting says what the session is, or as an older one nothing", () => {
  const about = { mode: "exec", target: "pod/web", machine: "desk" };
  assert.deepEqual(parseSessionHello({ ...HELLO, about }).about, about);
  assert.equal("about" in parseSessionHello(HELLO), false);
  for (const wrong of [
    {},
    { ...about, mode: 1 },
    { ...about, machine: "x".repeat(65) },
    [],
    "exec",
  ])
    assert.throws(() => parseSessionHello({ ...HELLO, about: wrong }), /not what was expected/);
});

test("whatever it is to say, the greeting stays within its limit, and is understood", () => {
  for (const text of ["\u0000", "\ud800", '"', "\u{1f600}", "€"]) {
    const long = text.repeat(500);
    const about = sessionAbout({ mode: long, target: long, machine: long, detail: long });
    const frame = encodeJson(FrameType.hello, 0, { ...HELLO, about });
    assert.ok(frame.length - HEADER_BYTES < MAX_HELLO, text);
    assert.deepEqual(parseSessionHello({ ...HELLO, about }).about, about);
  }
});
