import assert from "node:assert/strict";
import { test } from "node:test";
import { type Detection, Detector, fromLatin1, HTTP2_PREFACE } from "../src/index.ts";
import { Random } from "./support/random.ts";

/** The verdict, and after how many bytes it was known when each came alone. */
function byteByByte(text: string | Uint8Array): [Detection["kind"], number] {
  const bytes = typeof text === "string" ? fromLatin1(text) : text;
  const whole = new Detector().push(bytes).kind;
  const detector = new Detector();
  for (let at = 0; at < bytes.length; at++) {
    const { kind } = detector.push(bytes.subarray(at, at + 1));
    if (kind === "undecided") continue;
    assert.equal(kind, whole, "in one piece and in many");
    return [kind, at + 1];
  }
  assert.equal(whole, "undecided");
  return ["undecided", bytes.length];
}

test("HTTP/1 is known at the end of its request line", () => {
  for (const line of [
    "GET / HTTP/1.1\r\n",
    "POST /orders?id=1 HTTP/1.0\r\n",
    "M-SEARCH * HTTP/1.1\r\n",
    "CONNECT db:5432 HTTP/1.1\r\n",
    "GET http://shop/ HTTP/1.1\r\n",
    "GET /caf\xe9 HTTP/1.1\r\n",
    "PRI /x HTTP/1.1\r\n",
    "PRI * HTTP/1.1\r\n",
  ]) {
    assert.deepEqual(byteByByte(`${line}Host: a\r\n`), ["http1", line.length], line);
  }
});

test("HTTP/2 by prior knowledge is known at the end of its preface", () => {
  assert.deepEqual(byteByByte(HTTP2_PREFACE), ["http2", 24]);
  assert.deepEqual(byteByByte("PRI * HTTP/2.0\r\n\r\nSM\r\nx"), ["other", 23]);
});

test("TLS is known by its ClientHello, and another record is not one", () => {
  assert.deepEqual(byteByByte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc"), ["tls", 6]);
  assert.deepEqual(byteByByte("\x16\x03\x01\x02\x00\x02"), ["other", 6]);
  assert.deepEqual(byteByByte("\x16\x02"), ["other", 2]);
  assert.deepEqual(byteByByte("\x15\x03"), ["other", 1]);
});

test("what is not HTTP is known at the first byte that cannot belong to it", () => {
  for (const [text, bytes] of [
    ["\x00\x00\x00\x08\x04\xd2\x16\x2f", 1], // Postgres asks for TLS
    ["*1\r\n$4\r\nPING\r\n", 3], // Redis
    ["PING\r\n", 5],
    ["SSH-2.0-OpenSSH_9.2\r\n", 20],
    ["get a b\r\n", 7], // memcached
    ["GET / HTTP/2.0\r\n", 12],
    ["GET / HTTP/1.2\r\n", 14],
    ["GET / HTTP/1.1\n", 15],
    ["GET  / HTTP/1.1\r\n", 5],
    [" GET / HTTP/1.1\r\n", 1],
    ["\r\nGET / HTTP/1.1\r\n", 1],
    ["GET /a b HTTP/1.1\r\n", 8],
    ["GET /\x00 HTTP/1.1\r\n", 6],
  ] as const) {
    assert.deepEqual(byteByByte(text), ["other", bytes], JSON.stringify(text));
  }
});

test("what can still become anything is undecided, for 16 KiB at most", () => {
  assert.deepEqual(byteByByte(""), ["undecided", 0]);
  assert.deepEqual(byteByByte("P"), ["undecided", 1]);
  assert.deepEqual(byteByByte("GET / HTTP/1.1\r"), ["undecided", 15]);
  assert.deepEqual(byteByByte("A".repeat(100)), ["other", 33]);
  assert.deepEqual(byteByByte(`GET /${"a".repeat(20000)}`), ["other", 16 * 1024 + 1]);
});

test("a verdict stays, whatever follows", () => {
  const detector = new Detector();
  assert.equal(detector.push(fromLatin1("GET / HTTP/1.1\r\n")).kind, "http1");
  assert.equal(detector.push(fromLatin1("\x00\x01\x02")).kind, "http1");
});

test("foreign bytes give the same verdict in all pieces", () => {
  const random = new Random(1);
  const starts = [
    "GET / HTTP/1.1\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01",
  ];
  for (let i = 0; i < 2000; i++) {
    const bytes = fromLatin1(random.pick(starts));
    for (let n = random.below(3); n > 0; n--) bytes[random.below(bytes.length)] = random.below(256);
    const detector = new Detector();
    let last: Detection = { kind: "undecided" };
    for (const piece of random.pieces(bytes, 5)) last = detector.push(piece);
    assert.deepEqual(last, new Detector().push(bytes));
  }
});
