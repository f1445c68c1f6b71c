import assert from "node:assert/strict";
import { test } from "node:test";
import {
  encodeHeader,
  type FrameEvent,
  FrameParser,
  masked,
  OPCODE,
  WebSocketError,
} from "../src/kubernetes/reach/websocket-frames.ts";

/** As a server writes it: unmasked. */
function serverFrame(opcode: number, payload: Uint8Array, isFinal = true): Uint8Array {
  const header = encodeHeader(opcode, payload.length, new Uint8Array(4)).subarray(0, -4);
  header[0] = (isFinal ? 0x80 : 0) | opcode;
  header[1] = (header[1] ?? 0) & 0x7f;
  return Buffer.concat([header, payload]);
}
const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

/** Messages put together again, control frames as they are. */
function summary(events: readonly FrameEvent[]): string[] {
  const result: string[] = [];
  let message = "";
  for (const event of events) {
    if (event.kind === "data") {
      message = (event.first ? "" : message) + Buffer.from(event.bytes).toString("latin1");
      if (event.last) result.push(`message ${message}`);
    } else if (event.kind === "close") result.push(`close ${event.code} ${event.reason}`);
    else result.push(`${event.kind} ${Buffer.from(event.payload).toString("latin1")}`);
  }
  return result;
}

const dialogue = Buffer.concat([
  serverFrame(OPCODE.binary, bytes("hello")),
  serverFrame(OPCODE.binary, bytes("")),
  serverFrame(OPCODE.binary, bytes("in "), false),
  serverFrame(OPCODE.ping, bytes("p")),
  serverFrame(OPCODE.continuation, bytes("pieces")),
  serverFrame(OPCODE.binary, bytes("x".repeat(126))),
  serverFrame(OPCODE.binary, bytes("y".repeat(70_000))),
  serverFrame(OPCODE.pong, bytes("")),
  serverFrame(OPCODE.close, Buffer.from([0x03, 0xe9, ...bytes("bye")])),
  bytes("after the end"),
]);
const expected = [
  "message hello",
  "message ",
  "ping p",
  "message in pieces",
  `message ${"x".repeat(126)}`,
  `message ${"y".repeat(70_000)}`,
  "pong ",
  "close 1001 bye",
];

test("messages, pieces and control frames between them are told apart", () => {
  assert.deepEqual(summary(new FrameParser().push(dialogue)), expected);
});

test("one byte at a time gives the same", () => {
  const parser = new FrameParser();
  const events = [...dialogue].flatMap((byte) => parser.push(Uint8Array.of(byte)));
  assert.deepEqual(summary(events), expected);
});

for (const [name, frame] of [
  ["a reserved bit", [0xc2, 0]],
  ["a mask of the server's", [0x82, 0x81, 0, 0, 0, 0, 65]],
  ["text", [0x81, 0]],
  ["an unknown opcode", [0x83, 0]],
  ["a continuation of nothing", [0x80, 0]],
  ["a message inside a message", [0x02, 0, 0x82, 0]],
  ["a control frame in pieces", [0x09, 0]],
  ["a control frame of 126 bytes", [0x89, 126, 0, 126]],
  ["a length that is longer than needed", [0x82, 126, 0, 125]],
  ["a length beyond 2^53", [0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255]],
  ["half a close code", [0x88, 1, 3]],
] as const)
  test(`${name} ends the connection`, () => {
    assert.throws(() => new FrameParser().push(Uint8Array.from(frame)), WebSocketError);
  });

test("random bytes are either frames or a WebSocketError, and never held", () => {
  // A fixed seed (mulberry32), so that a failure comes back.
  let seed = 7;
  const random = (): number => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  let refused = 0;
  for (let round = 0; round < 5_000; round++) {
    const input = Uint8Array.from(dialogue.subarray(0, 200));
    for (let change = 0; change < 3; change++)
      input[Math.floor(random() * 30)] = Math.floor(random() * 256);
    const parser = new FrameParser();
    try {
      let given = 0;
      for (let at = 0; at < input.length; ) {
        const size = 1 + Math.floor(random() * 40);
        for (const event of parser.push(input.subarray(at, at + size)))
          if (event.kind === "data") given += event.bytes.length;
        at += size;
      }
      assert.ok(given <= input.length);
    } catch (error) {
      assert.ok(error instanceof WebSocketError, String(error));
      refused++;
    }
  }
  assert.ok(refused > 500 && refused < 5_000, `${refused} refused`);
});

test("a client's frame is masked as RFC 6455 section 5.7 has it", () => {
  const mask = Uint8Array.of(0x37, 0xfa, 0x21, 0x3d);
  const frame = Buffer.concat([encodeHeader(OPCODE.text, 5, mask), masked(bytes("Hello"), mask)]);
  assert.equal(frame.toString("hex"), "818537fa213d7f9f4d5158");
  // In two parts, as port-forward does it.
  const parts = Buffer.concat([masked(bytes("H"), mask), masked(bytes("ello"), mask, 1)]);
  assert.equal(parts.toString("hex"), "7f9f4d5158");
});
