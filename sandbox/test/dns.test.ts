import assert from "node:assert/strict";
import { test } from "node:test";
// @ts-expect-error: plain JavaScript, because it runs in the sandbox without a compiler
import { answer as untyped } from "../services/dns.js";

type Answer = (
  q: Buffer,
  r: Readonly<Record<string, readonly string[]>>,
  limit: number,
) => Buffer | undefined;
const answer: Answer = untyped;

const RECORDS = {
  "a.b": ["198.18.0.1", "198.18.0.2"],
  "many.b": Array.from({ length: 40 }, (_, index) => `198.18.1.${index}`),
};

function query(name: string, type = 1): Buffer {
  const labels = name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const header = Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, type, 0, 1])]);
}
const rcode = (reply: Buffer | undefined): number => (reply?.[3] ?? 255) & 15;
const count = (reply: Buffer | undefined): number => reply?.readUInt16BE(6) ?? -1;

test("a known name gets its addresses, whatever its case, under the query's id", () => {
  const reply = answer(query("A.b"), RECORDS, 512);
  assert.deepEqual([rcode(reply), count(reply), reply?.readUInt16BE(0)], [0, 2, 0x1234]);
  assert.deepEqual([...(reply?.subarray(-4) ?? [])], [198, 18, 0, 2]);
});

test("AAAA of a known name is empty, an unknown name is NXDOMAIN", () => {
  const AAAA = 28;
  assert.deepEqual(
    [
      rcode(answer(query("a.b", AAAA), RECORDS, 512)),
      count(answer(query("a.b", AAAA), RECORDS, 512)),
    ],
    [0, 0],
  );
  assert.equal(rcode(answer(query("constructor"), RECORDS, 512)), 3);
});

test("beyond the limit the answer is truncated and says so", () => {
  const reply = answer(query("many.b"), RECORDS, 512);
  assert.ok(reply !== undefined && reply.length <= 512 && count(reply) < 40);
  assert.equal((reply?.[2] ?? 0) & 2, 2);
  assert.equal(count(answer(query("many.b"), RECORDS, 0xffff)), 40);
});

test("what is cut short or garbled gets a format error, what is no query gets nothing", () => {
  const whole = query("a.b");
  for (let length = 0; length < 12; length++)
    assert.equal(answer(whole.subarray(0, length), RECORDS, 512), undefined);
  for (let length = 12; length < whole.length; length++)
    assert.equal(rcode(answer(whole.subarray(0, length), RECORDS, 512)), 1);
  const pointer = Buffer.concat([whole.subarray(0, 12), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])]);
  assert.equal(rcode(answer(pointer, RECORDS, 512)), 1);
  const response = Buffer.from(whole);
  response[2] = 0x80;
  assert.equal(answer(response, RECORDS, 512), undefined);
});
