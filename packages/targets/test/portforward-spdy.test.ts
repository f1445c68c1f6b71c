import assert from "node:assert/strict";
import { test } from "node:test";
import { type ChannelEvent, ChannelWire } from "../src/kubernetes/reach/portforward-channels.ts";
import { SpdyWire } from "../src/kubernetes/reach/portforward-spdy.ts";
import { dataHeader, SpdyReader } from "../src/kubernetes/reach/spdy-frames.ts";
import { WebSocketError } from "../src/kubernetes/reach/websocket-frames.ts";

const ERROR = 1;
const DATA = 3;
const frame = (stream: number, text: string, isEnd = false): Buffer =>
  Buffer.concat([dataHeader(stream, text.length, isEnd), Buffer.from(text)]);
const reset = (stream: number): Buffer =>
  Buffer.from([0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, stream, 0, 0, 0, 6]);
/** As one message, and once more with a message for each byte. */
function told(...frames: readonly Buffer[]): string[] {
  const words = (events: readonly ChannelEvent[]): string =>
    events
      .map((event) => {
        if (event.kind === "data") return Buffer.from(event.bytes).toString();
        return event.kind === "error" ? `<error: ${event.text}>` : `<${event.kind}>`;
      })
      .join("");
  const message = (bytes: Uint8Array) =>
    ({ kind: "data", bytes, first: true, last: true }) as const;
  const bytes = Buffer.concat(frames);
  const whole = words(new SpdyWire(61337).push(message(bytes)));
  const wire = new SpdyWire(61337);
  const cut = words([...bytes].flatMap((byte) => wire.push(message(Uint8Array.of(byte)))));
  assert.equal(cut, whole);
  return [whole];
}

test("both streams are asked for, and no error of ours will come", () => {
  const bytes = Buffer.from(new SpdyWire(61337).opening);
  assert.match(bytes.toString("latin1"), /streamtype.{4}error.*streamtype.{4}data/s);
  assert.equal(bytes.toString("latin1").split("61337").length - 1, 2);
  assert.deepEqual(new SpdyReader().push(bytes), [{ kind: "end", stream: ERROR }]);
});

test("the pod's bytes are told, and its end when no error can come any more", () => {
  assert.deepEqual(told(frame(DATA, "hel"), frame(DATA, "lo")), ["hello"]);
  assert.deepEqual(told(frame(DATA, "hello"), frame(DATA, "", true)), ["hello"]);
  assert.deepEqual(told(frame(DATA, "hello", true), frame(ERROR, "", true)), ["hello<end>"]);
  assert.deepEqual(told(frame(ERROR, "", true), frame(DATA, "hello", true)), ["hello<end>"]);
});

test("an error is told with its text, before the data's end and after it", () => {
  const text = [frame(ERROR, "connection "), frame(ERROR, "refused"), frame(ERROR, "", true)];
  assert.deepEqual(told(...text), ["<error: connection refused>"]);
  assert.deepEqual(told(frame(DATA, "", true), ...text), ["<error: connection refused>"]);
  assert.deepEqual(told(reset(DATA)), ["<error: reset (6)>"]);
});

test("a stream that was not opened, and bytes after an end, break the protocol", () => {
  for (const frames of [
    [frame(5, "x")],
    [frame(DATA, "", true), frame(DATA, "x")],
    [Buffer.from([0x80, 9, 0, 1, 0, 0, 0, 0])],
  ])
    assert.throws(() => told(...frames), WebSocketError);
});

test("no more than 8 KiB of an error's text are kept", () => {
  const long = [frame(ERROR, "x".repeat(7000)), frame(ERROR, "y".repeat(7000), true)];
  const [text = ""] = told(...long);
  assert.equal(text.length, "<error: >".length + 8 * 1024);
});

test("a frame up is what the container runtime has a buffer ready for, or what it collects", () => {
  const spdy = new SpdyWire(61337);
  assert.equal(spdy.maxFrame, 32 * 1024);
  assert.deepEqual(Buffer.from(spdy.before(5)), Buffer.from([0, 0, 0, DATA, 0, 0, 0, 5]));
  assert.deepEqual(new ChannelWire(61337).before(), Uint8Array.of(0));
});
