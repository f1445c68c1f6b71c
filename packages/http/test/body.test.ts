import assert from "node:assert/strict";
import { test } from "node:test";
import { type Body, BodyReader, fromLatin1, latin1 } from "../src/index.ts";
import { Random } from "./support/random.ts";

interface Outcome {
  /** Bytes of `text` that belong to the body. */
  readonly length: number;
  readonly payload: string;
  readonly state: "done" | "more" | "malformed";
}

function read(body: Body, pieces: readonly Uint8Array[]): Outcome {
  let payload = "";
  const reader = new BodyReader(body, (bytes, from, to) => {
    payload += latin1(bytes.subarray(from, to));
  });
  let length = 0;
  for (const piece of pieces) {
    const end = reader.read(piece, 0);
    length += end;
    if (end < piece.length) break;
  }
  const open = reader.malformed === undefined ? "more" : "malformed";
  return { length, payload, state: reader.isDone ? "done" : open };
}

/** In one piece, checked to be the same byte by byte. */
function outcome(body: Body, text: string): Outcome {
  const bytes = fromLatin1(text);
  const whole = read(body, [bytes]);
  const single = read(
    body,
    Array.from(bytes, (byte) => Uint8Array.of(byte)),
  );
  assert.deepEqual(single, whole);
  return whole;
}

const CHUNKED: Body = { kind: "chunked" };

test("a body of a known length ends there", () => {
  const five: Body = { kind: "length", length: 5 };
  assert.deepEqual(outcome(five, "abcdeGET /"), { length: 5, payload: "abcde", state: "done" });
  assert.deepEqual(outcome(five, "abc"), { length: 3, payload: "abc", state: "more" });
  assert.deepEqual(outcome({ kind: "none" }, "GET /"), { length: 0, payload: "", state: "done" });
});

test("a body until the close of the connection has no end", () => {
  assert.deepEqual(outcome({ kind: "until-close" }, "abc"), {
    length: 3,
    payload: "abc",
    state: "more",
  });
});

test("chunks end with the empty line after the last one, and the payload is what is between", () => {
  for (const [text, payload] of [
    ["0\r\n\r\n", ""],
    ["5\r\nhello\r\n0\r\n\r\n", "hello"],
    ['5\r\nhello\r\n00a;x="y;z"\r\n0123456789\r\n000\r\n\r\n', "hello0123456789"],
    ["1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", "\r\n"],
    ["3\r\nabc\r\n0\r\nX-Sum: 1\r\nDate: a b\r\n\r\n", "abc"],
  ] as const) {
    assert.deepEqual(outcome(CHUNKED, `${text}GET /`), {
      length: text.length,
      payload,
      state: "done",
    });
  }
});

for (const [what, text] of [
  ["no size", "\r\n\r\n"],
  ["a sign", "+5\r\nhello\r\n0\r\n\r\n"],
  ["0x", "0x5\r\nhello\r\n0\r\n\r\n"],
  ["a space after the size", "5 \r\nhello\r\n0\r\n\r\n"],
  ["a size beyond 2^53", "123456789abcdef0\r\n"],
  ["LF alone after the size", "5\nhello\r\n0\r\n\r\n"],
  ["LF alone in an extension", "5;a\nhello\r\n0\r\n\r\n"],
  ["CR alone in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"],
  ["an endless extension", `5;${"a".repeat(5000)}`],
  ["a chunk longer than said", "5\r\nhello!\r\n0\r\n\r\n"],
  ["LF alone after a chunk", "5\r\nhello\n0\r\n\r\n"],
  ["LF alone at the end", "0\r\n\n"],
  ["a trailer without a colon", "0\r\nabc\r\n\r\n"],
  ["a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"],
  ["LF alone in a trailer", "0\r\nA: b\n\r\n"],
  ["endless trailers", `0\r\n${"A: b\r\n".repeat(12000)}`],
] as const) {
  test(`malformed chunks: ${what}`, () => {
    assert.equal(outcome(CHUNKED, text).state, "malformed");
  });
}

test("random chunks in random pieces give back their payload", () => {
  const random = new Random(2);
  for (let i = 0; i < 500; i++) {
    let text = "";
    let payload = "";
    for (let n = random.below(5); n > 0; n--) {
      const data = Array.from({ length: 1 + random.below(40) }, () =>
        String.fromCharCode(random.below(256)),
      ).join("");
      const extension = random.pick(["", ";a", ";a=b;c"]);
      text += `${data.length.toString(16)}${extension}\r\n${data}\r\n`;
      payload += data;
    }
    text += `0\r\n${random.pick(["", "A: b\r\n", "A: b\r\nC:\r\n"])}\r\n`;
    const pieces = random.pieces(fromLatin1(text), 9);
    assert.deepEqual(read(CHUNKED, pieces), { length: text.length, payload, state: "done" });
  }
});
