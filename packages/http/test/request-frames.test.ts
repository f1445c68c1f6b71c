import assert from "node:assert/strict";
import { test } from "node:test";
import { fromLatin1, HTTP2_PREFACE, RequestFrames } from "../src/index.ts";
import { Random } from "./support/random.ts";

function frame(type: number, flags: number, stream: number, payload = ""): Uint8Array {
  const { length } = payload;
  const header = [length >> 16, (length >> 8) & 255, length & 255, type, flags, 0, 0, 0, stream];
  return Uint8Array.from([...header, ...fromLatin1(payload)]);
}

const joined = (pieces: readonly Uint8Array[]): Uint8Array => Buffer.concat(pieces);
const DATA = 0;
const HEADERS = 1;
const PRIORITY = 2;
const RESET = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW = 8;
const CONTINUATION = 9;

/** What comes out of these pieces, and why nothing more does. */
function out(pieces: readonly Uint8Array[]): { bytes: Uint8Array; malformed: string | undefined } {
  const frames = new RequestFrames();
  const bytes = joined(pieces.flatMap((piece) => frames.push(piece)));
  return { bytes, malformed: frames.malformed };
}

const BEGIN = joined([HTTP2_PREFACE, frame(SETTINGS, 0, 0), frame(SETTINGS, 1, 0)]);

test("what makes requests stays, what answers the other end goes, in any pieces", () => {
  const one = frame(HEADERS, 4, 1, "abc");
  const two = frame(DATA, 0, 1, "x".repeat(70_000));
  const three = joined([frame(HEADERS, 0, 3, "d"), frame(CONTINUATION, 4, 3)]);
  const four = joined([frame(RESET, 0, 3, "\0\0\0\x08"), frame(DATA, 1, 1)]);
  const sent = joined([
    HTTP2_PREFACE,
    frame(SETTINGS, 0, 0, "\0\x04\0\0\xff\xff"),
    frame(WINDOW, 0, 0, "\0\0\xff\xff"),
    one,
    frame(SETTINGS, 1, 0),
    frame(SETTINGS, 0, 0, "\0\x04\0\0\0\0"),
    two,
    frame(PING, 1, 0, "12345678"),
    frame(PRIORITY, 0, 1, "12345"),
    three,
    frame(0xf0, 0, 0, "what nobody knows"),
    four,
    frame(GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0"),
  ]);
  const expected = { bytes: joined([BEGIN, one, two, three, four]), malformed: undefined };
  const random = new Random(1);
  assert.deepEqual(out([sent]), expected);
  for (const longest of [1, 2, 10, 1000])
    assert.deepEqual(out(random.pieces(sent, longest)), expected);
});

test("a client that does not begin with its SETTINGS speaks no HTTP/2", () => {
  for (const first of [
    frame(HEADERS, 5, 1, "a"),
    frame(SETTINGS, 1, 0),
    frame(PING, 0, 0, "12345678"),
  ]) {
    const { bytes, malformed } = out([HTTP2_PREFACE, first, frame(HEADERS, 5, 3, "b")]);
    assert.equal(bytes.length, 0);
    assert.equal(malformed, "no SETTINGS at the beginning");
  }
});

test("of arbitrary bytes nothing but whole kept frames comes out, and nothing waits", () => {
  const random = new Random(2);
  for (let i = 0; i < 300; i++) {
    const noise = Uint8Array.from({ length: random.below(3000) }, () => random.below(256));
    const sent = joined([HTTP2_PREFACE, frame(SETTINGS, 0, 0), noise]);
    const { bytes } = out([sent]);
    assert.deepEqual(out(random.pieces(sent, 20)).bytes, bytes);
    assert.ok(bytes.length <= sent.length + 9);
    for (let at = BEGIN.length; at + 9 <= bytes.length; ) {
      const [a = 0, b = 0, c = 0, type = -1] = bytes.subarray(at);
      assert.ok([DATA, HEADERS, RESET, CONTINUATION].includes(type));
      at += 9 + ((a << 16) | (b << 8) | c);
    }
  }
});
