/** The reader of usual heads, beside the exact one: whatever it answers, the exact one answers, too. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { quickRequest, quickResponse } from "../src/http1/quick-head.ts";
import {
  fromLatin1,
  HeadScanner,
  isPersistent,
  latin1,
  parseRequestHead,
  parseResponseHead,
  responseBody,
} from "../src/index.ts";
import { Random } from "./support/random.ts";

const ROUNDS = 40_000;

const NAMES = ["Host", "content-length", "Content-Length", "Transfer-Encoding", "Connection"];
const MORE_NAMES = ["X-User", "x_user", "Expect", "Upgrade", "Accept", "a", "X-User-Name"];
const VALUES = ["", "5", " 0 ", "12345", "chunked", "Chunked\t", "gzip, chunked", "close"];
const MORE_VALUES = ["Keep-Alive", "keep-alive, x", "upgrade", "me", "caf\xe9", "100-continue"];
const MORE_NUMBERS = ["+5", "5 5", "0x5", "999999999999999", "9999999999999999"];

/** Bytes that take a usual head a little or far away from what is usual. */
function mutated(random: Random, text: string): string {
  let [bytes, count] = [text, random.below(3)];
  for (; count > 0; count--) {
    const at = random.below(bytes.length);
    const byte = random.chance(0.5)
      ? random.pick(["\r", "\n", " ", ":", "\t", "\0", "\x7f", "\x80", "\r\n", ""])
      : String.fromCharCode(random.below(256));
    bytes = bytes.slice(0, at) + byte + bytes.slice(at + random.below(2));
  }
  return bytes;
}

function fields(random: Random): string {
  let text = "";
  for (let count = random.below(5); count > 0; count--) {
    const name = random.pick(random.chance(0.5) ? NAMES : MORE_NAMES);
    const value = random.pick([...VALUES, ...MORE_VALUES, ...MORE_NUMBERS]);
    text += `${name}:${random.pick(["", " ", "\t "])}${value}\r\n`;
  }
  return text;
}

test("a request that is read quickly is read as the exact reader reads it", () => {
  const random = new Random(7);
  let count = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const method = random.pick(["GET", "GET", "POST", "HEAD", "CONNECT", "G-T"]);
    const target = random.pick(["/", "/", "/a?b=c", "*", "http://a/b", "/caf\xe9"]);
    const version = random.pick(["1.1", "1.1", "1.1", "1.0", "2.0"]);
    const head = `${method} ${target} HTTP/${version}\r\n${fields(random)}\r\n`;
    const text = mutated(random, head) + random.pick(["", "body", "\r\n"]);
    const bytes = fromLatin1(text);
    const quick = quickRequest(bytes);
    if (quick === undefined) continue;
    count += 1;
    const length = new HeadScanner().scan(bytes);
    assert.equal(quick.length, length, JSON.stringify(text));
    const exact = parseRequestHead(bytes.subarray(0, quick.length));
    assert.ok(exact.kind === "request", JSON.stringify([text, exact]));
    for (const name of ["host", "x-user", "x_user", "a", "connection", "nobody"]) {
      const wanted: string[] = exact.headers
        .filter((each) => each.name === name)
        .map(({ value }) => value);
      assert.deepEqual(quick.request.valuesOf?.(name), wanted, JSON.stringify([name, text]));
    }
    const { method: m, target: t, minor, headers, body } = quick.request;
    const { isPersistent, mayLeaveHttp, expectsContinue } = quick.request;
    const read = { kind: "request", method: m, target: t, minor, headers, body };
    assert.deepEqual({ ...read, isPersistent, mayLeaveHttp, expectsContinue }, exact, text);
  }
  assert.ok(count > ROUNDS / 50, `${count} were read quickly`);
});

test("a response that is read quickly is read as the exact reader reads it", () => {
  const random = new Random(8);
  let count = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const status = random.pick(["200", "204", "304", "404", "999", "100", "101", "099", "20"]);
    const reason = random.pick(["", " ", " OK", " Not Found", " caf\xe9"]);
    const head = `HTTP/${random.pick(["1.1", "1.1", "1.0"])} ${status}${reason}\r\n${fields(random)}\r\n`;
    const text = mutated(random, head) + random.pick(["", "body", "\r\n"]);
    const bytes = fromLatin1(text);
    const method = random.pick(["GET", "HEAD", "CONNECT", "POST"]);
    const quick = quickResponse(bytes, method);
    if (quick === undefined) continue;
    count += 1;
    assert.equal(quick.length, new HeadScanner().scan(bytes), JSON.stringify(text));
    const exact = parseResponseHead(bytes.subarray(0, quick.length));
    assert.ok(exact.kind === "response" && exact.status >= 200, JSON.stringify([text, exact]));
    assert.deepEqual(quick.body, responseBody(exact, method), JSON.stringify([method, text]));
    assert.equal(quick.isPersistent, isPersistent(exact.minor, exact.headers), text);
  }
  assert.ok(count > ROUNDS / 50, `${count} were read quickly`);
});

test("what browsers, curl and servers send every day is read quickly", () => {
  const get =
    "GET /a?b=c HTTP/1.1\r\nHost: shop\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n";
  const post = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nbody";
  const chunks = "PUT / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  for (const text of [get, post, chunks]) assert.ok(quickRequest(fromLatin1(text)), text);
  const ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=5\r\n\r\nhello";
  const stream = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
  for (const text of [ok, stream]) assert.ok(quickResponse(fromLatin1(text), "GET"), text);
});

test("half a head, or one beyond a limit, is left to the exact reader", () => {
  const head = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
  for (let length = 0; length < head.length; length++) {
    assert.equal(quickRequest(fromLatin1(head.slice(0, length))), undefined);
  }
  assert.ok(quickRequest(fromLatin1(head)));
  const many = `GET / HTTP/1.1\r\n${"A: b\r\n".repeat(257)}\r\n`;
  const long = `GET / HTTP/1.1\r\nA: ${"b".repeat(64 * 1024)}\r\n\r\n`;
  const line = `GET /${"a".repeat(16 * 1024)} HTTP/1.1\r\n\r\n`;
  for (const text of [many, long, line]) assert.equal(quickRequest(fromLatin1(text)), undefined);
});

test("bytes become one char each, ASCII or not", () => {
  for (const text of [
    "",
    "abc",
    "\xef\xbb\xbfabc",
    "caf\xe9",
    "\xc3\xa9",
    "\xef\xbf\xbd",
    "\x80\x9f",
  ]) {
    assert.equal(latin1(fromLatin1(text)), text);
  }
});
