import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, inflateRawSync } from "node:zlib";
import {
  dataHeader,
  openStream,
  SpdyError,
  type SpdyEvent,
  SpdyReader,
} from "../src/kubernetes/reach/spdy-frames.ts";

const control = (type: number, payload: readonly number[], flags = 0): Buffer =>
  Buffer.from([0x80, 3, 0, type, flags, 0, 0, payload.length, ...payload]);
const data = (stream: number, text: string, isEnd = false): Buffer =>
  Buffer.concat([dataHeader(stream, text.length, isEnd), Buffer.from(text)]);

/** Pieces of data put together again. */
function summary(events: readonly SpdyEvent[]): string[] {
  const result: string[] = [];
  for (const event of events) {
    if (event.kind === "data") {
      const piece = Buffer.from(event.bytes).toString();
      const last = result.at(-1);
      if (last?.startsWith(`${event.stream} `)) result[result.length - 1] = last + piece;
      else result.push(`${event.stream} ${piece}`);
    } else if (event.kind === "end") result.push(`end ${event.stream}`);
    else if (event.kind === "reset") result.push(`reset ${event.stream} ${event.status}`);
    else result.push(`ping ${Buffer.from(event.answer).toString("hex")}`);
  }
  return result;
}

const dialogue = Buffer.concat([
  control(2, [0, 0, 0, 1, 0x78, 0xbb, 1, 2, 3, 4, 5, 6]), // SYN_REPLY, whose headers are not read
  data(3, "hello"),
  control(4, [0, 0, 0, 1, 1, 0, 0, 4, 0, 0, 0, 100]), // SETTINGS
  data(1, ""),
  control(6, [0, 0, 0, 2]),
  data(1, "bye", true),
  control(9, [0, 0, 0, 3, 0, 1, 0, 0]), // WINDOW_UPDATE
  data(3, "", true),
  control(3, [0, 0, 0, 5, 0, 0, 0, 7]),
  control(7, [0, 0, 0, 3, 0, 0, 0, 0]), // GOAWAY
]);
const expected = [
  "3 hello",
  "ping 800300060000000400000002",
  "1 bye",
  "end 1",
  "end 3",
  "reset 5 7",
];

test("data, ends, resets and pings are told; what asks for nothing is passed over", () => {
  assert.deepEqual(summary(new SpdyReader().push(dialogue)), expected);
});

test("one byte at a time it is the same", () => {
  const reader = new SpdyReader();
  const events = [...dialogue].flatMap((byte) => reader.push(Uint8Array.of(byte)));
  assert.deepEqual(summary(events), expected);
});

test("another version, half a reset and half a ping are errors", () => {
  for (const bytes of [
    Buffer.from([0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]),
    control(3, [0, 0, 0, 1]),
    control(6, []),
  ])
    assert.throws(() => new SpdyReader().push(bytes), SpdyError);
});

test("headers of all streams are one zlib stream with SPDY's dictionary, each given out at once", () => {
  const frames = [
    openStream(1, { streamType: "error", port: "61337" }, true),
    openStream(3, { streamType: "data", port: "61337" }, false),
  ].map((frame) => Buffer.from(frame));
  for (const [at, frame] of frames.entries()) {
    assert.equal(frame.readUInt32BE(0), 0x80030001, "SYN_STREAM");
    assert.equal(frame.readUInt32BE(4), frame.length - 8, "no flag, and the length");
    assert.equal(frame.readUInt32BE(8), 2 * at + 1);
    assert.equal(frame.readUInt32BE(12), 0, "of no other stream");
  }
  const [first, second] = frames.map((frame) => frame.subarray(18));
  assert.ok(first && second);
  assert.equal(first.readUInt16BE(0) % 31, 0, "RFC 1950: the check bits");
  assert.ok((first.readUInt8(1) & 0x20) !== 0, "with a dictionary");
  assert.equal(first.readUInt32BE(2), 0xe3c6a7c2, "SPDY/3's");
  const options = { finishFlush: constants.Z_SYNC_FLUSH };
  const alone = inflateRawSync(first.subarray(6), options);
  const both = inflateRawSync(Buffer.concat([first.subarray(6), second]), options);
  const words = (block: Buffer): string[] => {
    const found: string[] = [];
    for (let at = 4; at < block.length; ) {
      const length = block.readUInt32BE(at);
      found.push(block.toString("latin1", at + 4, at + 4 + length));
      at += 4 + length;
    }
    assert.equal(found.length, 2 * block.readUInt32BE(0));
    return found;
  };
  assert.deepEqual(words(alone), ["streamtype", "error", "port", "61337"]);
  assert.deepEqual(words(both.subarray(alone.length)), ["streamtype", "data", "port", "61337"]);
});
