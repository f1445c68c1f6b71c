import assert from "node:assert/strict";
import { test } from "node:test";
import { Opcode } from "../src/fuse/numbers.ts";
import { parseBody, parseHeader } from "../src/fuse/requests.ts";
import { encodeFrame, FrameCutter, FrameKind } from "../src/relay/frames.ts";

/** xorshift: the same bytes each time. */
function* bytes(seed: number): Generator<number, never> {
  for (let x = seed; ; ) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    yield x & 0xff;
  }
}

test("a request of which any part is missing is none, and nothing is read behind its end", () => {
  const source = bytes(7);
  for (const [name, opcode] of Object.entries(Opcode)) {
    for (let length = 40; length < 160; length++) {
      const packet = Buffer.from(Array.from({ length }, () => source.next().value as number));
      packet.writeUInt32LE(length, 0);
      packet.writeUInt32LE(opcode, 4);
      assert.equal(parseHeader(packet)?.opcode, opcode);
      const body = parseBody(opcode, packet);
      if (body && "name" in body) assert.doesNotMatch(body.name, /\0/, name);
      if (body?.op === "write") assert.ok(body.data.length <= length - 80);
      if (body?.op === "forget") assert.ok(body.nodes.length <= length / 16 || opcode === 2);
    }
    const empty = Buffer.alloc(40);
    empty.writeUInt32LE(40, 0);
    assert.doesNotThrow(() => parseBody(opcode, empty));
  }
  assert.equal(parseHeader(Buffer.alloc(39)), undefined);
  assert.equal(parseHeader(Buffer.alloc(40)), undefined);
});

test("names are taken to their end, and no further", () => {
  const rename = Buffer.alloc(40 + 16 + 8);
  rename.writeUInt32LE(rename.length, 0);
  rename.write("a\0\xffb\0", 56, "latin1");
  const body = parseBody(Opcode.rename2, rename);
  assert.ok(body?.op === "rename");
  assert.deepEqual([body.name, body.newName], ["a", "\xffb"]);
  const cut = rename.subarray(0, 59);
  assert.equal(parseBody(Opcode.rename2, cut), undefined);
});

test("frames between CLI and server arrive however they are cut", () => {
  const sent = [
    encodeFrame(FrameKind.data, "bulk", 1, Buffer.alloc(5000, 1)),
    encodeFrame(FrameKind.open, "control", 2),
    encodeFrame(FrameKind.reset, "bulk", 3, Buffer.alloc(100, 3)),
    encodeFrame(FrameKind.data, "control", 4, Buffer.alloc(1, 4)),
  ];
  const all = Buffer.concat(sent);
  for (const step of [1, 7, 1000, all.length]) {
    const cutter = new FrameCutter();
    const got: Record<string, number> = {};
    for (let at = 0; at < all.length; at += step) {
      for (const { kind, stream, epoch, bytes: body } of cutter.push(all.subarray(at, at + step))) {
        const key = `${kind} ${stream} ${epoch}`;
        got[key] = (got[key] ?? 0) + body.length;
        assert.ok(body.every((byte) => byte === epoch));
      }
    }
    assert.deepEqual(got, {
      [`${FrameKind.data} bulk 1`]: 5000,
      [`${FrameKind.open} control 2`]: 0,
      [`${FrameKind.reset} bulk 3`]: 100,
      [`${FrameKind.data} control 4`]: 1,
    });
  }
  assert.throws(() => [...new FrameCutter().push(Buffer.alloc(20, 0xff))]);
});
