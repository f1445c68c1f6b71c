import assert from "node:assert/strict";
import { test } from "node:test";
import { type Field, HpackDecoder, HpackEncoder, HpackError } from "../src/http2/hpack.ts";
import { hex } from "./support/http2.ts";
import { Random } from "./support/random.ts";

const decode = (decoder: HpackDecoder, block: string): string[] =>
  decoder.decode(hex(block), 1e6).fields.map(({ name, value }) => `${name}: ${value}`);

test("the requests of RFC 7541, with and without Huffman code, are read with their dynamic table", () => {
  for (const blocks of [
    // Appendices C.3 and C.4.
    [
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ],
    [
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
      "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ],
  ]) {
    const decoder = new HpackDecoder();
    const [first, second, third] = blocks as [string, string, string];
    const common = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
    assert.deepEqual(decode(decoder, first), common);
    assert.deepEqual(decode(decoder, second), [...common, "cache-control: no-cache"]);
    assert.deepEqual(decode(decoder, third), [
      ":method: GET",
      ":scheme: https",
      ":path: /index.html",
      ":authority: www.example.com",
      "custom-key: custom-value",
    ]);
  }
});

test("entries that have no room are evicted, in the order of the RFC's responses", () => {
  // Appendix C.6, whose table has 256 bytes.
  const decoder = new HpackDecoder();
  const size = "3f e1 01";
  const blocks = [
    `${size} 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
    "4883 640e ffc1 c0bf",
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
  ];
  const [, second, third] = blocks.map((block) => decode(decoder, block));
  assert.deepEqual(second, [
    ":status: 307",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:21 GMT",
    "location: https://www.example.com",
  ]);
  assert.deepEqual(third, [
    ":status: 200",
    "cache-control: private",
    "date: Mon, 21 Oct 2013 20:13:22 GMT",
    "location: https://www.example.com",
    "content-encoding: gzip",
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
  ]);
});

test("what the encoder writes is read again, with order, repetitions, bytes beyond ASCII and secrecy", () => {
  const random = new Random(7);
  const names = [":path", "x-a", "x-b", "cookie", "grpc-status", "x-long-name-that-is-not-known"];
  const [encoder, decoder] = [new HpackEncoder(), new HpackDecoder()];
  for (let round = 0; round < 500; round++) {
    const fields: Field[] = Array.from({ length: random.below(12) }, () => ({
      name: random.pick(names),
      value: Array.from({ length: random.below(random.chance(0.1) ? 600 : 20) }, () =>
        String.fromCharCode(random.below(256)),
      ).join(""),
      indexing: random.pick(["yes", "yes", "no", "never"] as const),
    }));
    if (random.chance(0.05)) encoder.limitTable(random.pick([0, 100, 4096, 1e6]));
    const twice = [...fields, ...fields];
    const { fields: found } = decoder.decode(Uint8Array.from(encoder.encode(twice)), 1e6);
    const secret = ({ name, value, indexing }: Field): string =>
      `${indexing === "never"} ${name} ${value}`;
    assert.deepEqual(found.map(secret), twice.map(secret));
  }
});

test("a field that is passed on is an index on the other side as soon as both sides know it", () => {
  const [sender, middle, next] = [new HpackEncoder(), new HpackDecoder(), new HpackEncoder()];
  const field: Field = { name: "x-user", value: "somebody", indexing: "yes" };
  const lengths = [1, 2, 3].map(() => {
    const { fields } = middle.decode(Uint8Array.from(sender.encode([field])), 1e6);
    return next.encode(fields).length;
  });
  assert.deepEqual(lengths, [17, 1, 1]);
  const secret: Field = { ...field, indexing: "never" };
  const { fields } = middle.decode(Uint8Array.from(sender.encode([secret])), 1e6);
  assert.equal(next.encode(fields)[0], 0x10);
});

test("what cannot be decoded fails, and nothing grows beyond its limit", () => {
  for (const block of [
    "80", // index 0
    "be", // nothing in the table
    "ff ff ff ff ff 0f", // a number without an end
    "40 05 61", // shorter than it says
    "40 81 ff", // padding of eight ones and no symbol
    "00 81 00 81 01", // padding with zeros
    "82 20", // a table size after a field
    "3f e2 1f", // a table larger than allowed
  ]) {
    assert.throws(() => new HpackDecoder().decode(hex(block), 1e6), HpackError, block);
  }
  const decoder = new HpackDecoder();
  // A field of 4,000 bytes, and 10,000 times its index.
  const bomb = new HpackEncoder().encode([{ name: "a", value: "b".repeat(4000), indexing: "yes" }]);
  decoder.decode(Uint8Array.from(bomb), 1e6);
  const { fields, isTooLarge } = decoder.decode(new Uint8Array(10_000).fill(0xbe), 64 * 1024);
  assert.equal(isTooLarge, true);
  assert.equal(fields.length, 16);
});
