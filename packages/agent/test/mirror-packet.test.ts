import assert from "node:assert/strict";
import { test } from "node:test";
import { endsOf, type Failure, firstFragment, parsePacket, RecordReader } from "@inpod/agent";
import { Random } from "./support/random.ts";

const bytes = (hex: string): Buffer => Buffer.from(hex.replace(/\s/g, ""), "hex");

/** 10.0.0.1:1000 → 10.0.0.2:8080, "hello", as Linux sends it; the checksums are right. */
const TCP4 = bytes(`
  4500 002d 0000 4000 4006 0000 0a000001 0a000002
  03e8 1f90 00000064 000000c8 5018 0200 0000 0000 68656c6c6f`);
/** fd00::1.1000 → fd00::2.8080 behind a destination option, "hi". */
const UDP6 = bytes(`
  6000 0000 0012 3c40 fd000000000000000000000000000001 fd000000000000000000000000000002
  1100 0104 00000000 03e8 1f90 000a 0000 6869`);

/** RFC 1071, written differently from what is tested. */
function withSum(
  packet: Buffer,
  addresses: number,
  length: number,
  at: number,
  sumAt: number,
): Buffer {
  const copy = Buffer.from(packet);
  const transport = copy.subarray(at);
  transport.writeUInt16BE(0, sumAt);
  const protocol = sumAt === 16 ? 6 : 17;
  const padded = Buffer.concat([
    copy.subarray(addresses, addresses + length),
    Buffer.from([0, 0, 0, protocol, 0, 0, transport.length >> 8, transport.length & 0xff]),
    transport,
    Buffer.alloc(transport.length % 2),
  ]);
  let sum = 0n;
  for (let each = 0; each < padded.length; each += 2) sum += BigInt(padded.readUInt16BE(each));
  transport.writeUInt16BE(Number(0xffffn - (((sum - 1n) % 0xffffn) + 1n)), sumAt);
  return copy;
}

test("a TCP segment over IPv4: ends, flags, payload; padding behind it is none of it", () => {
  const packet = parsePacket(Buffer.concat([TCP4, Buffer.alloc(6, 0xff)]), true);
  assert.ok(packet);
  assert.deepEqual(
    [packet.protocol, packet.sourcePort, packet.port, packet.sequence, packet.flags],
    ["tcp", 1000, 8080, 100, 0x18],
  );
  assert.equal(packet.payload.toString(), "hello");
  assert.deepEqual(endsOf(packet.key), {
    client: { address: "10.0.0.1", port: 1000 },
    local: { address: "10.0.0.2", port: 8080 },
  });
});

test("a datagram over IPv6 behind an extension header", () => {
  const packet = parsePacket(UDP6, true);
  assert.ok(packet);
  assert.deepEqual([packet.protocol, packet.port, packet.payload.toString()], ["udp", 8080, "hi"]);
  assert.deepEqual(endsOf(packet.key).client, { address: "fd00::1", port: 1000 });
});

test("a wrong checksum is believed only where somebody else has verified it, or a right one is still to be made", () => {
  const cases = [
    [TCP4, withSum(TCP4, 12, 8, 20, 16)],
    [UDP6, withSum(UDP6, 8, 32, 48, 6)],
  ] as const;
  for (const [wrong, right] of cases) {
    assert.ok(parsePacket(right, false));
    const broken = Buffer.from(right);
    broken.writeUInt8(broken.readUInt8(broken.length - 1) ^ 1, broken.length - 1);
    assert.equal(parsePacket(broken, false), undefined);
    assert.ok(parsePacket(broken, true));
    assert.ok(parsePacket(wrong, true));
  }
  assert.equal(parsePacket(TCP4, false), undefined);
  // UDP over IPv4 may go without.
  const none = bytes("4500 001e 0000 4000 4011 0000 0a000001 0a000002 03e8 1f90 000a 0000 6869");
  assert.ok(parsePacket(none, false));
});

test("a packet larger than 64 KiB has no length in its header; one that was cut has what is there", () => {
  const large = Buffer.concat([TCP4, Buffer.alloc(70_000, "x")]);
  large.writeUInt16BE(0, 2);
  assert.equal(parsePacket(large, true)?.payload.length, 70_005);
  assert.equal(parsePacket(TCP4.subarray(0, 42), true)?.payload.toString(), "he");
});

test("fragments, other protocols and headers that cannot be are nothing", () => {
  const changed = (at: number, ...values: number[]): Buffer => {
    const copy = Buffer.from(TCP4);
    copy.set(values, at);
    return copy;
  };
  for (const packet of [
    changed(0, 0x55),
    changed(0, 0x44),
    changed(6, 0x20),
    changed(7, 1),
    changed(9, 1),
    changed(2, 0, 10),
    changed(32, 0x40),
    changed(32, 0xf0),
    TCP4.subarray(0, 39),
    Buffer.alloc(0),
  ])
    assert.equal(parsePacket(packet, true), undefined);
});

test("the first fragment says whose it is, of both versions; an IPv6 packet with a fragment header of its own is whole", () => {
  const first = Buffer.from(TCP4);
  first[6] = 0x20;
  assert.deepEqual(firstFragment(first), {
    ...{ protocol: "tcp", port: 8080, key: parsePacket(TCP4, true)?.key },
  });
  const behindOption = (flags: number): Buffer => {
    const header = Buffer.from([17, 0, 0, flags, 0, 0, 0, 1]);
    const packet = Buffer.concat([UDP6.subarray(0, 48), header, UDP6.subarray(48)]);
    packet[40] = 44;
    packet.writeUInt16BE(packet.length - 40, 4);
    return packet;
  };
  assert.equal(parsePacket(behindOption(0), true)?.payload.toString(), "hi");
  assert.equal(firstFragment(behindOption(0)), undefined);
  assert.equal(parsePacket(behindOption(1), true), undefined);
  const { protocol, port, key } = firstFragment(behindOption(1)) ?? {};
  assert.deepEqual([protocol, port, key], ["udp", 8080, parsePacket(UDP6, true)?.key]);
  for (const later of [8, 9]) {
    assert.equal(parsePacket(behindOption(later), true), undefined);
    assert.equal(firstFragment(behindOption(later)), undefined);
  }
  assert.equal(firstFragment(TCP4), undefined);
});

test("whatever the bytes are, a packet's payload is a part of them (100,000 packets, seed 1)", () => {
  const random = new Random(1);
  let parsed = 0;
  for (let each = 0; each < 100_000; each++) {
    const packet = Buffer.from(random.pick([TCP4, UDP6]));
    for (let times = random.below(4); times > 0; times--)
      packet.writeUInt8(random.below(256), random.below(packet.length));
    const cut = packet.subarray(0, random.below(3) === 0 ? random.below(packet.length) : undefined);
    firstFragment(cut);
    const found = parsePacket(cut, random.below(2) === 0);
    if (!found) continue;
    parsed++;
    assert.ok(found.payload.length <= cut.length);
    assert.ok(found.port <= 0xffff && found.sequence <= 0xffffffff);
    endsOf(found.key);
  }
  assert.ok(parsed > 10_000, String(parsed));
});

const record = (kind: number, flags: number, payload: Buffer): Buffer => {
  const header = Buffer.from([0, 0, 0, 0, kind, flags, 0, 0]);
  header.writeUInt32LE(4 + payload.length, 0);
  return Buffer.concat([header, payload]);
};

test("records of the reader are the same however their bytes are cut (seeds 0 to 99)", () => {
  for (let seed = 0; seed < 100; seed++) {
    const random = new Random(seed);
    const wanted: string[] = [];
    const all: Buffer[] = [];
    for (let each = random.below(20); each >= 0; each--) {
      const payload = random.bytes(random.below(random.below(3) === 0 ? 70_000 : 100));
      const isChecked = random.below(2) === 0;
      wanted.push(`${isChecked} ${payload.toString("hex")}`, "lost 7");
      const seven = Buffer.from([7, 0, 0, 0]);
      all.push(record(1, isChecked ? 0 : 1, payload), record(2, 0, seven));
    }
    const got: string[] = [];
    const reader = new RecordReader({
      onPacket: (packet, isChecked) => got.push(`${isChecked} ${packet.toString("hex")}`),
      onLost: (count) => got.push(`lost ${count}`),
    });
    const stream = Buffer.concat(all);
    for (let at = 0; at < stream.length; ) {
      const to = at + 1 + random.below(random.below(2) === 0 ? 10 : 65536);
      reader.push(stream.subarray(at, to));
      at = to;
    }
    assert.deepEqual(got, wanted, `seed ${seed}`);
  }
});

test("what is no record is refused before it is waited for", () => {
  const refused = (chunk: Buffer): void => {
    const reader = new RecordReader({ onPacket: () => {}, onLost: () => {} });
    assert.throws(
      () => reader.push(chunk),
      (error: Failure) => error.errno === "EPROTO",
    );
  };
  refused(record(3, 0, Buffer.alloc(4)));
  refused(record(2, 0, Buffer.alloc(5)));
  refused(bytes("ffffffff 01 00 0000"));
  refused(bytes("03000000 01 00 0000"));
});
