import assert from "node:assert/strict";
import { test } from "node:test";
import { type Command, HTTP2_PREFACE, Http2Splitter, Splitter } from "@inpod/http";
import { Silent } from "../src/incoming/silent.ts";

function silent(): { readonly passage: Silent<string>; readonly why: string[] } {
  const why: string[] = [];
  const route = () => "me";
  const passage = new Silent<string>({
    to: "pod",
    split: (spoken) =>
      spoken === "http2"
        ? new Http2Splitter<string>({
            ...{ rest: () => "pod", route, routeWithBody: route, now: () => 0 },
            opened: "pod",
          })
        : new Splitter<string>({ fallback: "pod", route, routeWithBody: route, opened: "pod" }),
    onRaw: (reason) => why.push(reason),
  });
  assert.deepEqual(lines(passage.clientBytes(Buffer.alloc(0))), ["open 1 pod"]);
  return { passage, why };
}

const lines = (commands: readonly Command<string>[]): string[] =>
  commands.map((command) =>
    [
      command.kind,
      ...("upstream" in command ? [command.upstream] : []),
      ...("to" in command ? [command.to] : []),
      ...("bytes" in command ? [Buffer.from(command.bytes).toString("latin1")] : []),
    ].join(" "),
  );

const REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

test("a server that speaks first is heard at once, and from then on all is its", () => {
  const { passage, why } = silent();
  assert.deepEqual(lines(passage.upstreamBytes(1, Buffer.from("220"))), ["reply 220"]);
  assert.deepEqual(lines(passage.clientBytes(Buffer.from(REQUEST))), [`send 1 ${REQUEST}`]);
  assert.deepEqual(why, ["the server speaks first"]);
});

test("a client that was only late with its request is split, byte by byte too", () => {
  const late = silent();
  assert.deepEqual(lines(late.passage.clientBytes(Buffer.from(REQUEST))), [
    "open 2 me",
    `send 2 ${REQUEST}`,
  ]);
  const slow = silent();
  const said = [...REQUEST].flatMap((char) => slow.passage.clientBytes(Buffer.from(char)));
  assert.deepEqual(lines(said), ["open 2 me", `send 2 ${REQUEST}`]);
  assert.deepEqual(slow.why, []);
});

test("what is no HTTP goes on as it came, and so does what stays undecided", () => {
  const { passage, why } = silent();
  assert.deepEqual(lines(passage.clientBytes(Buffer.from("PI"))), []);
  assert.equal(passage.isWaitingForBody, true);
  assert.deepEqual(lines(passage.clientBytes(Buffer.from("NG\r\n"))), ["send 1 PING\r\n"]);
  assert.equal(passage.isWaitingForBody, false);
  assert.equal(why.length, 1);
  const half = silent();
  half.passage.clientBytes(Buffer.from("PI"));
  assert.deepEqual(lines(half.passage.bodyDeadline()), ["send 1 PI"]);
  const both = silent();
  both.passage.clientBytes(Buffer.from("PI"));
  assert.deepEqual(lines(both.passage.upstreamBytes(1, Buffer.from("x"))), [
    "send 1 PI",
    "reply x",
  ]);
});

test("ends and resets pass both ways", () => {
  assert.deepEqual(lines(silent().passage.clientEnd()), ["end 1"]);
  assert.deepEqual(lines(silent().passage.clientReset()), ["reset 1"]);
  assert.deepEqual(lines(silent().passage.upstreamEnd(1)), ["end-client"]);
  const reset = silent();
  assert.deepEqual(lines(reset.passage.upstreamReset(1)), ["reset-client"]);
  assert.equal(reset.passage.isOver, true);
});

/** SETTINGS without any, and the header fields `GET / HTTP/2.0` with the host `a`. */
const SETTINGS = Buffer.from("000000040000000000", "hex");
const GET = Buffer.from("000006010500000001828684410161", "hex");

test("a server of HTTP/2 speaks first by its protocol: the client's streams are still each for itself", () => {
  for (const isBytewise of [false, true]) {
    for (const isServerFirst of [true, false]) {
      const { passage, why } = silent();
      const pieces = (bytes: Buffer): Buffer[] =>
        isBytewise ? [...bytes].map((byte) => Buffer.from([byte])) : [bytes];
      const said: string[] = [];
      const server = (): void => {
        for (const piece of pieces(SETTINGS)) said.push(...lines(passage.upstreamBytes(1, piece)));
      };
      if (isServerFirst) server();
      for (const piece of pieces(Buffer.concat([HTTP2_PREFACE, SETTINGS, GET]))) {
        said.push(...lines(passage.clientBytes(piece)));
      }
      if (!isServerFirst) server();
      assert.deepEqual(why, []);
      assert.ok(said.includes("open 2 me"), said.join());
      assert.equal(said.filter((line) => line.startsWith("send 1 PRI * HTTP/2.0")).length, 1);
      // Our SETTINGS, not the pod's.
      const reply = said.find((line) => line.startsWith("reply")) ?? "";
      assert.ok(reply.length > `reply ${SETTINGS.toString("latin1")}`.length, reply);
    }
  }
});

test("what only begins like SETTINGS is heard in time", () => {
  const { passage, why } = silent();
  assert.deepEqual(lines(passage.upstreamBytes(1, SETTINGS.subarray(0, 5))), []);
  assert.equal(passage.isWaitingForBody, true);
  assert.deepEqual(lines(passage.bodyDeadline()), [
    `reply ${SETTINGS.subarray(0, 5).toString("latin1")}`,
  ]);
  assert.deepEqual(why, ["undecided"]);
  const other = silent();
  other.passage.upstreamBytes(1, SETTINGS.subarray(0, 5));
  const rest = Buffer.from("x");
  assert.equal(lines(other.passage.upstreamBytes(1, rest))[0]?.endsWith("x"), true);
  assert.deepEqual(other.why, ["the server speaks first"]);
});
