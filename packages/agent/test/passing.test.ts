import assert from "node:assert/strict";
import { test } from "node:test";
import { encodePassRequest } from "../src/control/messages.ts";

const client = (address: string): string => {
  const request = encodePassRequest("pass", 7, {
    ownPort: 40000,
    port: 8080,
    client: { address, port: 40001 },
  });
  assert.equal(request.length, 12 + 64);
  assert.equal(request.readUInt8(0), 9);
  assert.deepEqual([request.readUInt16LE(2), request.readUInt16LE(4)], [8080, 40000]);
  assert.equal(request.readUInt16LE(14), 40001);
  return `${request.readUInt8(12)} ${request.toString("hex", 16, 32)}`;
};

test("a client's address is told to enter in network order, whatever it looks like", () => {
  const v4 = "4 cb007109000000000000000000000000";
  assert.equal(client("203.0.113.9"), v4);
  assert.equal(client("2001:db8::9"), "6 20010db8000000000000000000000009");
  assert.equal(client("::"), "6 00000000000000000000000000000000");
  assert.equal(client("::1"), "6 00000000000000000000000000000001");
  assert.equal(client("1::"), "6 00010000000000000000000000000000");
  assert.equal(client("1:2:3:4:5:6:7:8"), "6 00010002000300040005000600070008");
  assert.equal(client("64:ff9b::203.0.113.9"), "6 0064ff9b0000000000000000cb007109");
});

test("what is no address, or one of a link, is refused", () => {
  for (const address of ["", "shop", "1.2.3", "fe80::1%eth0", "1::2::3"]) {
    assert.throws(() => client(address), { errno: "EINVAL" });
  }
});

test("without a client there is no address", () => {
  const request = encodePassRequest("passed", 7, { ownPort: 1, port: 2, client: undefined });
  assert.ok(request.subarray(12).every((byte) => byte === 0));
});
