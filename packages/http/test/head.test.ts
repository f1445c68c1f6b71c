import assert from "node:assert/strict";
import { test } from "node:test";
import {
  fromLatin1,
  HeadScanner,
  type Malformed,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  responseBody,
} from "../src/index.ts";

function request(text: string): RequestHead | Malformed {
  const bytes = fromLatin1(text);
  const length = new HeadScanner().scan(bytes);
  if (typeof length === "object") return length;
  assert.equal(length, bytes.length, "the head is complete");
  return parseRequestHead(bytes);
}

function requestHead(text: string): RequestHead {
  const head = request(text);
  assert.ok(head.kind === "request", head.kind === "malformed" ? head.why : "");
  return head;
}

const whyNot = (text: string): string | undefined => {
  const head = request(text);
  return head.kind === "malformed" ? head.why : undefined;
};

const get = (...headers: string[]): string =>
  `${["GET / HTTP/1.1", "Host: a", ...headers].join("\r\n")}\r\n\r\n`;

test("a request's head has its line and headers, names in lower case, values without the space around", () => {
  const text =
    "PATCH /a?b=c HTTP/1.1\r\nHost: shop\r\nX-User:\t me \t\r\nX-Empty:\r\nX-User: caf\xe9\r\n\r\n";
  const { method, target, minor, headers } = requestHead(text);
  assert.deepEqual([method, target, minor], ["PATCH", "/a?b=c", 1]);
  assert.deepEqual(
    headers.map(({ name, value }) => [name, value]),
    [
      ["host", "shop"],
      ["x-user", "me"],
      ["x-empty", ""],
      ["x-user", "caf\xe9"],
    ],
  );
});

test("the end of a head is found one byte at a time", () => {
  const bytes = fromLatin1(`${get("A: b")}body`);
  const scanner = new HeadScanner();
  for (let length = 0; length < bytes.length - 4; length++) {
    assert.equal(scanner.scan(bytes.subarray(0, length)), undefined);
  }
  assert.equal(scanner.scan(bytes), bytes.length - 4);
});

test("a body's end is told by the headers", () => {
  assert.deepEqual(requestHead(get()).body, { kind: "none" });
  assert.deepEqual(requestHead(get("Content-Length: 0")).body, { kind: "none" });
  assert.deepEqual(requestHead(get("Content-Length: 12")).body, { kind: "length", length: 12 });
  assert.deepEqual(requestHead(get("Transfer-Encoding: Chunked")).body, { kind: "chunked" });
  assert.deepEqual(requestHead(get("Transfer-Encoding: gzip, chunked")).body, { kind: "chunked" });
});

for (const [what, text] of [
  ["Content-Length with Transfer-Encoding", get("Content-Length: 1", "Transfer-Encoding: chunked")],
  ["differing lengths", get("Content-Length: 1", "Content-Length: 2")],
  ["a length said twice", get("Content-Length: 1", "Content-Length: 1")],
  ["a list of lengths", get("Content-Length: 1, 1")],
  ["a signed length", get("Content-Length: +1")],
  ["a hexadecimal length", get("Content-Length: 0x1")],
  ["an empty length", get("Content-Length:")],
  ["a length beyond 2^53", get("Content-Length: 9999999999999999")],
  ["chunked that is not the last coding", get("Transfer-Encoding: chunked, gzip")],
  ["chunked twice", get("Transfer-Encoding: chunked, chunked")],
  ["chunked in two headers", get("Transfer-Encoding: gzip", "Transfer-Encoding: chunked")],
  ["an unknown coding", get("Transfer-Encoding: xchunked")],
  ["identity", get("Transfer-Encoding: identity")],
  ["chunked in HTTP/1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["a folded header", get("A: b", " c")],
  ["a folded first header", "GET / HTTP/1.1\r\n A: b\r\n\r\n"],
  ["a space before the colon", get("Content-Length : 1")],
  ["a header without a name", get(": a")],
  ["a header without a colon", get("abc")],
  ["a NUL in a value", get("A: b\0c")],
  ["a CR in a value", get("A: b\rc")],
  ["a LF without CR after a header", get("A: b\nC: d")],
  ["a LF without CR at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n"],
  ["a name beyond ASCII", get("\xe9: a")],
  ["two hosts", get("Host: b")],
  ["CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nContent-Length: 1\r\n\r\n"],
  ["CONNECT to a path", "CONNECT /a HTTP/1.1\r\n\r\n"],
  ["a relative target", "GET a HTTP/1.1\r\n\r\n"],
  ["two spaces", "GET  / HTTP/1.1\r\n\r\n"],
  ["an empty line at the start", "\r\n"],
  ["too many headers", get(...Array.from({ length: 256 }, () => "A: b"))],
  ["a head beyond 64 KiB", get(`A: ${"b".repeat(64 * 1024)}`)],
] as const) {
  test(`malformed: ${what}`, () => {
    assert.ok(whyNot(text), "it was read");
  });
}

test("an endless head is malformed before it ends", () => {
  const scanner = new HeadScanner();
  const bytes = fromLatin1(`GET / HTTP/1.1\r\nA: ${"b".repeat(64 * 1024)}`);
  assert.equal(scanner.scan(bytes.subarray(0, 64 * 1024 - 1)), undefined);
  assert.equal((scanner.scan(bytes) as Malformed).kind, "malformed");
});

test("what the client says of the connection", () => {
  const of = (text: string) => {
    const { isPersistent, mayLeaveHttp, expectsContinue } = requestHead(text);
    return [isPersistent && "persistent", mayLeaveHttp && "may leave", expectsContinue && "expects"]
      .filter(Boolean)
      .join(", ");
  };
  assert.equal(of(get()), "persistent");
  assert.equal(of(get("Connection: x, Close")), "");
  assert.equal(of("GET / HTTP/1.0\r\n\r\n"), "");
  assert.equal(of("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), "persistent");
  assert.equal(of(get("Connection: Upgrade", "Upgrade: websocket")), "persistent, may leave");
  assert.equal(of(get("Upgrade: websocket")), "persistent");
  assert.equal(of("CONNECT a:443 HTTP/1.1\r\n\r\n"), "persistent, may leave");
  assert.equal(of(get("Expect: 100-Continue")), "persistent, expects");
});

test("where a response's body ends depends on the request, the status and the headers", () => {
  const body = (line: string, headers: readonly string[], method = "GET") => {
    const head = parseResponseHead(fromLatin1(`${[line, ...headers].join("\r\n")}\r\n\r\n`));
    assert.ok(head.kind === "response", head.kind === "malformed" ? head.why : "");
    const of = responseBody(head, method);
    return of.kind === "length" ? of.length : of.kind;
  };
  assert.equal(body("HTTP/1.1 200 OK", ["Content-Length: 5"]), 5);
  assert.equal(body("HTTP/1.1 200", ["Content-Length: 5"]), 5);
  assert.equal(body("HTTP/1.1 200 OK", ["Content-Length: 5"], "HEAD"), "none");
  assert.equal(body("HTTP/1.1 304 Not Modified", ["Content-Length: 5"]), "none");
  assert.equal(body("HTTP/1.1 204 No Content", []), "none");
  assert.equal(body("HTTP/1.1 103 Early Hints", []), "none");
  assert.equal(body("HTTP/1.1 200 OK", ["Transfer-Encoding: chunked"]), "chunked");
  assert.equal(body("HTTP/1.1 200 OK", []), "until-close");
  assert.equal(body("HTTP/1.0 200 OK", ["Transfer-Encoding: chunked"]), "until-close");
  assert.equal(body("HTTP/1.1 200 OK", ["Transfer-Encoding: gzip"]), "until-close");
  assert.equal(body("HTTP/1.1 200 OK", [], "CONNECT"), "none");
  assert.equal(body("HTTP/1.1 404 Not Found", ["Content-Length: 5"], "CONNECT"), 5);
  assert.equal(body("HTTP/1.1 200 OK", ["Content-Length: 5", "Content-Length: 5"]), "until-close");
  assert.equal(
    body("HTTP/1.1 200 OK", ["Content-Length: 5", "Transfer-Encoding: chunked"]),
    "until-close",
  );
});

test("a response's head is read as strictly", () => {
  for (const text of [
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/2 200\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
  ]) {
    assert.equal(parseResponseHead(fromLatin1(text)).kind, "malformed", text);
  }
});
