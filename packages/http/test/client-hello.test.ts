import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { type ConnectionOptions, connect } from "node:tls";
import { HelloReader, type HelloReading } from "../src/index.ts";
import { Random } from "./support/random.ts";

/** What node's OpenSSL says first. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const client = connect({ ...options, port, host: "127.0.0.1" });
  client.on("error", () => undefined);
  const [socket] = await once(server, "connection");
  const [bytes] = await once(socket, "data");
  socket.destroy();
  client.destroy();
  server.close();
  return bytes;
}

function read(pieces: readonly Uint8Array[]): HelloReading {
  const reader = new HelloReader();
  let last: HelloReading = { kind: "need-more" };
  for (const piece of pieces) last = reader.push(piece);
  return last;
}

const bytewise = (bytes: Uint8Array): Uint8Array[] =>
  [...bytes].map((_, at) => bytes.subarray(at, at + 1));

/** The message in records of at most `size` bytes. */
function inRecords(hello: Uint8Array, size: number): Uint8Array {
  const message = hello.subarray(5);
  const records: number[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(0x16, 3, 1, part.length >> 8, part.length & 255, ...part);
  }
  return Uint8Array.from(records);
}

test("a ClientHello tells the server's name, the protocols in their order, and the newest version", async () => {
  const hello = await helloOf({
    servername: "Orders.shop.SVC",
    ALPNProtocols: ["h2", "http/1.1"],
  });
  const expected = {
    kind: "hello",
    hello: { serverName: "orders.shop.svc", alpn: ["h2", "http/1.1"], newestVersion: 0x0304 },
  };
  assert.deepEqual(read([hello]), expected);
  assert.deepEqual(read(bytewise(hello)), expected);
  for (const size of [1000, 100, 16]) {
    assert.deepEqual(read([inRecords(hello, size)]), expected, `records of ${size} bytes`);
    assert.deepEqual(read(bytewise(inRecords(hello, size))), expected);
  }
  assert.deepEqual(read([hello, Buffer.from("more")]), expected, "what follows changes nothing");
});

test("a client of TLS 1.2 without a name says neither name nor protocols", async () => {
  assert.deepEqual(read([await helloOf({ maxVersion: "TLSv1.2" })]), {
    kind: "hello",
    hello: { serverName: undefined, alpn: [], newestVersion: 0x0303 },
  });
});

test("an address is no name", async () => {
  const reading = read([await helloOf({ servername: "10.0.0.1" })]);
  assert.equal(reading.kind === "hello" && reading.hello.serverName, undefined);
});

test("a part of a hello needs more, and never more than what its own lengths say", async () => {
  const hello = await helloOf({ servername: "a" });
  for (let length = 0; length < hello.length; length++) {
    assert.equal(read([hello.subarray(0, length)]).kind, "need-more", `${length} bytes`);
  }
});

test("what is no hello is known as soon as it cannot be one", async () => {
  const hello = await helloOf({ servername: "a" });
  const changed = (at: number, byte: number): Buffer => {
    const copy = Buffer.from(hello);
    copy[at] = byte;
    return copy;
  };
  for (const [bytes, why] of [
    [Buffer.from("GET / HTTP/1.1\r\n"), /no handshake record/],
    [changed(5, 2), /no ClientHello/],
    [changed(6, 1), /too long/],
    [changed(3, 0x7f), /length of a record/],
    [Uint8Array.of(0x16, 3, 1, 0, 0), /length of a record/],
    [inRecords(hello, 1), /too many records/],
    [changed(8, (hello[8] as number) - 1), /hole|after/],
    [changed(43, 33), /session id/],
  ] as const) {
    const reading = read([bytes]);
    assert.match(reading.kind === "no-hello" ? reading.why : reading.kind, why);
  }
});

test("a name that is none, a second one and an extension twice are refused", async () => {
  const hello = await helloOf({ servername: "abcd.test" });
  const at = hello.indexOf("abcd.test");
  const named = (name: string): HelloReading => {
    const copy = Buffer.from(hello);
    copy.write(name, at, "latin1");
    return read([copy]);
  };
  assert.equal(named("ab d.test").kind, "no-hello");
  assert.equal(named("ab\0d.test").kind, "no-hello");
  assert.equal(named("ab/d.test").kind, "no-hello");
  assert.equal(named("ab-d.test").kind, "hello");
});

test("random bytes and changed hellos end in a verdict, the same in any pieces", async () => {
  const hellos = [
    await helloOf({ servername: "a.test", ALPNProtocols: ["h2"] }),
    await helloOf({ maxVersion: "TLSv1.2" }),
  ];
  const random = new Random(7);
  for (let round = 0; round < 20_000; round++) {
    const bytes = Uint8Array.from(random.pick(hellos));
    for (let changes = random.below(4); changes >= 0; changes--) {
      // Lengths stand near the beginning and in front of each extension.
      bytes[random.chance(0.3) ? random.below(12) : random.below(bytes.length)] = random.below(256);
    }
    const cut = random.chance(0.2) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
    const whole = read([cut]);
    assert.deepEqual(read(random.pieces(cut, 40)), whole);
    if (whole.kind === "hello") assert.ok(whole.hello.alpn.every((name) => name.length > 0));
  }
});
