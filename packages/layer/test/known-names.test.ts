import assert from "node:assert/strict";
import { test } from "node:test";
import { KnownNames } from "../src/outgoing/known-names.ts";

const A = 1;
const u16 = (value: number): number[] => [value >> 8, value & 0xff];
const name = (text: string): number[] => [
  ...text.split(".").flatMap((label) => [label.length, ...Buffer.from(label, "latin1")]),
  0,
];

/** An answer that gives one address to a name. */
const answer = (asked: string, address: readonly number[]): Uint8Array =>
  Uint8Array.from([
    ...[...u16(0x1234), ...u16(0x8180), ...u16(1), ...u16(1), 0, 0, 0, 0],
    ...[...name(asked), ...u16(A), ...u16(1)],
    ...[0xc0, 12, ...u16(A), ...u16(1), 0, 0, 0, 60, ...u16(4), ...address],
  ]);

test("an address knows its names, the latest first, each once", () => {
  const names = new KnownNames();
  for (const asked of ["a.example", "b.example", "a.example"]) {
    names.learn(answer(asked, [198, 18, 0, 1]));
  }
  assert.deepEqual(names.of("198.18.0.1"), ["a.example", "b.example"]);
  assert.deepEqual(names.of("198.18.0.2"), []);
});

test("names are bounded: 16 of an address, and 4096 addresses of which the oldest are forgotten", () => {
  const names = new KnownNames();
  for (let i = 0; i < 20; i++) {
    names.learn(answer(`n${i}.example`, [198, 18, 0, 1]));
  }
  assert.equal(names.of("198.18.0.1").length, 16);
  assert.equal(names.of("198.18.0.1")[0], "n19.example");
  for (let i = 0; i < 4096; i++) {
    names.learn(answer("orders.default", [198, 19, i >> 8, i & 0xff]));
  }
  assert.deepEqual(names.of("198.18.0.1"), []);
  assert.deepEqual(names.of("198.19.15.255"), ["orders.default"]);
});
