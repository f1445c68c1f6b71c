import assert from "node:assert/strict";
import { test } from "node:test";
import { type Command, Splitter } from "@inpod/http";
import { Silent } from "../src/incoming/silent.ts";

function silent(): { readonly passage: Silent<string>; readonly why: string[] } {
  const why: string[] = [];
  const route = () => "me";
  const passage = new Silent<string>({
    to: "pod",
    split: () =>
      new Splitter<string>({ fallback: "pod", route, routeWithBody: route, opened: "pod" }),
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
