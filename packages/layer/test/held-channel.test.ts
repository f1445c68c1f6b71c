/** What comes before the channel's other end is there is told to that, in its order; then the end hears for itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Channel } from "@inpod/session";
import { holdChannel } from "../src/incoming/held-channel.ts";

const listen = (channel: Channel, heard: string[]): void => {
  channel.onData = (bytes) => heard.push(Buffer.from(bytes).toString());
  channel.onEnd = () => heard.push("end");
  channel.onReset = (errno, detail) => heard.push(`${errno} ${detail}`);
};

test("what has come is told in its order, what comes later goes past", () => {
  const channel = {} as Channel;
  const heard: string[] = [];
  const tell = holdChannel(channel);
  channel.onData?.(Buffer.from("one"));
  channel.onData?.(Buffer.from("two"));
  channel.onEnd?.();
  channel.onReset?.("ECONNRESET", "gone");
  listen(channel, heard);
  assert.deepEqual(heard, []);
  tell();
  channel.onData?.(Buffer.from("three"));
  assert.deepEqual(heard, ["one", "two", "end", "ECONNRESET gone", "three"]);
});

test("of a channel that nobody took nothing is told", () => {
  const channel = {} as Channel;
  const tell = holdChannel(channel);
  channel.onData?.(Buffer.from("one"));
  tell();
});
