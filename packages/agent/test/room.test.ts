import assert from "node:assert/strict";
import { test } from "node:test";
import { Room } from "../src/files/room.ts";

test("a part has no more than its share, and all together no more than there is", () => {
  const all = new Room(10);
  const [one, other] = [new Room(7, all), new Room(7, all)];
  assert.equal(one.take(7), true);
  assert.equal(one.take(1), false);
  assert.equal(other.take(3), true);
  assert.equal(other.take(1), false);
  one.give(7);
  assert.equal(other.take(4), true);
  assert.equal(one.take(3), true);
});

test("what is larger than all there is comes when it is alone", () => {
  const all = new Room(10);
  const one = new Room(7, all);
  assert.equal(one.take(100), true);
  assert.equal(one.take(1), false);
  assert.equal(new Room(7, all).take(1), false);
  one.give(100);
  assert.equal(one.take(1), true);
  assert.equal(one.take(100), false);
});

test("who waits is told once that something was given back, here or by somebody else", () => {
  const all = new Room(10);
  const [one, other] = [new Room(10, all), new Room(10, all)];
  const told: string[] = [];
  one.take(5);
  other.take(5);
  one.whenGiven(() => told.push("a"));
  const forgotten = (): void => void told.push("forgotten");
  one.whenGiven(forgotten);
  one.forget(forgotten);
  other.give(2);
  assert.deepEqual(told, ["a"]);
  other.add(20);
  other.give(2);
  assert.equal(one.take(1), false);
  other.give(21);
  one.give(5);
  assert.equal(one.take(10), true);
});
