import assert from "node:assert/strict";
import { test } from "node:test";
import { addressesIn, canBeAsked, query, questionIn } from "../src/names/message.ts";

const A = 1;
const CNAME = 5;
const TXT = 16;
const AAAA = 28;

const u16 = (value: number): number[] => [value >> 8, value & 0xff];
/** A name without compression. */
const name = (text: string): number[] => [
  ...text.split(".").flatMap((label) => [label.length, ...Buffer.from(label, "latin1")]),
  0,
];
const pointer = (to: number): number[] => u16(0xc000 | to);
/** The question's name, to which answers point: it stands right behind the header. */
const ASKED = pointer(12);

const record = (owner: readonly number[], type: number, data: readonly number[]): number[] => [
  ...owner,
  ...u16(type),
  ...u16(1),
  ...[0, 0, 0, 60],
  ...u16(data.length),
  ...data,
];

interface Parts {
  readonly question?: readonly number[];
  readonly answers?: readonly number[][];
  readonly flags?: number;
  readonly questions?: number;
  /** What the header says; default: as many as there are. */
  readonly count?: number;
}

function message({
  question = name("orders.default"),
  answers = [],
  ...header
}: Parts): Uint8Array {
  return Uint8Array.from([
    ...u16(0x1234),
    ...u16(header.flags ?? 0x8180),
    ...u16(header.questions ?? 1),
    ...u16(header.count ?? answers.length),
    ...[0, 0, 0, 0],
    ...question,
    ...u16(A),
    ...u16(1),
    ...answers.flat(),
  ]);
}

const V4 = record(ASKED, A, [198, 18, 0, 1]);
const V6_DATA = [0x20, 0x01, 0x0d, 0xb8, ...new Array<number>(11).fill(0), 0x2a];

test("A and AAAA records are addresses of the name that was asked for", () => {
  const found = addressesIn(message({ answers: [V4, record(ASKED, AAAA, V6_DATA)] }));
  assert.deepEqual(found, [
    { name: "orders.default", address: "198.18.0.1", ttlSeconds: 60 },
    { name: "orders.default", address: "2001:db8:0:0:0:0:0:2a", ttlSeconds: 60 },
  ]);
});

test("a name is told in lower case, however it was asked: resolvers mix the case against forgery", () => {
  const found = addressesIn(message({ question: name("oRdErS.DEFAULT"), answers: [V4] }));
  assert.equal(found[0]?.name, "orders.default");
});

test("behind a chain of CNAMEs the addresses still belong to the name that was asked for", () => {
  const found = addressesIn(
    message({
      answers: [
        record(ASKED, CNAME, name("cdn.example")),
        record(name("cdn.example"), CNAME, [3, 99, 100, 110, ...pointer(12)]),
        record(name("edge.cdn.example"), A, [198, 18, 0, 7]),
      ],
    }),
  );
  assert.deepEqual(found, [{ name: "orders.default", address: "198.18.0.7", ttlSeconds: 60 }]);
});

test("records of other types are passed over, and so are addresses of a wrong length", () => {
  const found = addressesIn(
    message({
      answers: [
        record(ASKED, TXT, name("198")),
        record(ASKED, A, [198, 18, 0]),
        record(ASKED, AAAA, [198, 18, 0, 1]),
        V4,
      ],
    }),
  );
  assert.deepEqual(found, [{ name: "orders.default", address: "198.18.0.1", ttlSeconds: 60 }]);
});

test("the root's name is empty", () => {
  assert.equal(addressesIn(message({ question: [0], answers: [V4] }))[0]?.name, "");
});

for (const [title, bytes] of [
  ["a question", message({ flags: 0x0100, answers: [V4] })],
  ["an answer to two questions", message({ questions: 2, answers: [V4] })],
  ["an answer to no question", message({ questions: 0, answers: [V4] })],
  ["an empty message", new Uint8Array()],
  ["a header alone", message({}).subarray(0, 12)],
  ["a name that points at itself", message({ question: pointer(12), answers: [V4] })],
  ["a name that points forward", message({ question: pointer(14), answers: [V4] })],
  [
    "a label and a pointer back to it, for ever",
    message({ question: [1, 97, ...pointer(12)], answers: [V4] }),
  ],
  ["a pointer beyond the end", message({ question: pointer(0x3fff), answers: [V4] })],
  ["a label of the reserved kind 01", message({ question: [0x41, 0], answers: [V4] })],
  [
    "a name longer than 255 octets",
    message({ question: name([1, 2, 3, 4].map(() => "a".repeat(63)).join(".")) }),
  ],
  ["more records than there are bytes", message({ count: 5, answers: [] })],
] as const) {
  test(`${title} gives no address`, () => {
    assert.deepEqual(addressesIn(bytes), []);
  });
}

test("a name of 255 octets, the longest there is, is read", () => {
  const longest = [...new Array<string>(3).fill("a".repeat(63)), "a".repeat(61)].join(".");
  const found = addressesIn(message({ question: name(longest), answers: [V4] }));
  assert.equal(found[0]?.name, longest);
});

test("a message that is cut short anywhere gives no address or those that are whole, and never fails", () => {
  const whole = message({ answers: [V4, record(ASKED, AAAA, V6_DATA)] });
  for (let length = 0; length < whole.length; length++) {
    assert.deepEqual(addressesIn(whole.subarray(0, length)), [], `${length} bytes`);
  }
});

test("a view into a larger buffer is read from its own start to its own end", () => {
  const bytes = message({ answers: [V4] });
  const large = Buffer.concat([Buffer.alloc(7, 0xff), bytes, Buffer.alloc(9, 0xff)]);
  assert.equal(addressesIn(large.subarray(7, 7 + bytes.length)).length, 1);
});

test("an answer is read up to 64 records", () => {
  const answers = Array.from({ length: 100 }, () => V4);
  assert.equal(addressesIn(message({ answers })).length, 64);
});

test("5000 mutations of an answer never throw, and give only addresses", () => {
  const base = message({
    answers: [record(ASKED, CNAME, name("cdn.example")), V4, record(ASKED, AAAA, V6_DATA)],
  });
  let state = 0x2545f491;
  const next = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  let withAddresses = 0;
  for (let i = 0; i < 5000; i++) {
    const bytes = base.slice(0, next(8) === 0 ? next(base.length) : base.length);
    for (let changes = 1 + next(6); changes > 0 && bytes.length > 0; changes--) {
      bytes[next(bytes.length)] = next(3) === 0 ? 0xc0 | next(64) : next(256);
    }
    const found = addressesIn(bytes);
    if (found.length > 0) withAddresses++;
    for (const { name: asked, address } of found) {
      assert.ok(asked.length <= 254);
      assert.match(address, /^(\d+\.){3}\d+$|^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$/);
    }
  }
  assert.ok(withAddresses > 100 && withAddresses < 5000, `${withAddresses}`);
});

test("a question to a name server is one that is read as such", () => {
  assert.deepEqual(questionIn(query(4711, "api.shop", 28)), {
    ...{ id: 4711, isAnswer: false, rcode: 0, isTruncated: false, answers: 0 },
    ...{ name: "api.shop", type: 28 },
  });
});

test("what DNS has no room for is not asked", () => {
  const label = "a".repeat(63);
  assert.ok(canBeAsked(`${label}.${label}.${label}.${"a".repeat(61)}`));
  for (const name of [`${label}a`, "", ".", "a..b", "a.", "a b", "a\0", `${label}.`.repeat(4)])
    assert.throws(() => query(1, name, 1), RangeError, name);
});
