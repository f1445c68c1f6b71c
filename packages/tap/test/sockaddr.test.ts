import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeAddress, encodeAddress } from "../src/index.ts";

for (const [address, shown] of [
  ["198.18.0.1", "198.18.0.1"],
  ["::1", "::1"],
  ["::", "::"],
  ["2001:db8::8:800:200c:417a", "2001:db8::8:800:200c:417a"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["fe80::1%lo", "fe80::1"],
] as const) {
  test(`${address} survives struct sockaddr`, () => {
    const decoded = decodeAddress(encodeAddress(address, 8080));
    assert.deepEqual([decoded?.address, decoded?.port], [shown, 8080]);
  });
}

test("an IPv4-mapped address is told as the IPv4 address it is", () => {
  const decoded = decodeAddress(encodeAddress("::ffff:198.18.0.1", 53));
  assert.deepEqual(decoded, { family: "IPv4", address: "198.18.0.1", port: 53, isMapped: true });
});

test("a name is no address", () => {
  assert.throws(() => encodeAddress("localhost", 1), TypeError);
});

test("addresses that are cut short or of other families are undefined, whatever the bytes", () => {
  for (let length = 0; length < 28; length++) {
    for (const family of [0, 1, 2, 10, 0xffff]) {
      const bytes = Buffer.alloc(length, 0xff);
      if (length >= 2) bytes.writeUInt16LE(family, 0);
      const isComplete = (family === 2 && length >= 16) || (family === 10 && length >= 24);
      assert.equal(decodeAddress(bytes) !== undefined, isComplete, `${family} ${length}`);
    }
  }
});
