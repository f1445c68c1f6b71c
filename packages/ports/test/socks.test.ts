import assert from "node:assert/strict";
import { test } from "node:test";
import {
  datagram,
  failed,
  readDatagram,
  type SocksEvent,
  SocksHandshake,
  succeeded,
} from "../src/socks/message.ts";

const GREETING = [5, 1, 0];
const name = (text: string): number[] => [3, text.length, ...Buffer.from(text, "latin1")];
const request = (command: number, address: readonly number[], port = 80): number[] => [
  ...[5, command, 0, ...address],
  ...[port >> 8, port & 0xff],
];
const ORDERS = request(1, name("orders.shop"));

/** In one piece, and one byte at a time: the same events. */
function play(bytes: readonly number[]): SocksEvent[] {
  const whole = new SocksHandshake().take(Uint8Array.from(bytes));
  const parser = new SocksHandshake();
  const single = bytes.flatMap((byte) => parser.take(Uint8Array.of(byte)));
  const withoutRest = (events: readonly SocksEvent[]): unknown[] =>
    events.map((event) => ("rest" in event ? { ...event, rest: undefined } : event));
  assert.deepEqual(withoutRest(single), withoutRest(whole));
  return whole;
}

test("a greeting is answered, and CONNECT to a name, with what came behind it", () => {
  const events = play([...GREETING, ...ORDERS, 1, 2, 3]);
  assert.deepEqual(events[0], { kind: "reply", bytes: Uint8Array.of(5, 0) });
  assert.deepEqual(events[1], {
    ...{ kind: "request", command: "connect", to: { host: "orders.shop", port: 80 } },
    rest: Uint8Array.of(1, 2, 3),
  });
});

test("addresses come as bytes, and as text where a name would be", () => {
  for (const [address, host] of [
    [[1, 10, 0, 0, 7], "10.0.0.7"],
    [[4, 0xfd, ...new Array<number>(14).fill(0), 7], "fd00:0:0:0:0:0:0:7"],
    [[4, ...new Array<number>(10).fill(0), 0xff, 0xff, 10, 0, 0, 7], "10.0.0.7"],
    [name("10.0.0.7"), "10.0.0.7"],
    [name("[fd00::7]"), "fd00::7"],
    [name("fd00::7"), "fd00::7"],
    [name("a_b.Example."), "a_b.Example."],
  ] as const) {
    const event = play([...GREETING, ...request(1, address)])[1];
    assert.equal(event?.kind === "request" && event.to.host, host);
  }
});

test("UDP ASSOCIATE may say nothing of where from; other commands are refused with 7", () => {
  const event = play([...GREETING, ...request(3, [1, 0, 0, 0, 0], 0)])[1];
  assert.equal(event?.kind === "request" && event.command, "udp");
  for (const command of [0, 2, 4, 255]) {
    const refusal = play([...GREETING, ...request(command, [1, 10, 0, 0, 7])])[1];
    assert.deepEqual(refusal?.kind === "refused" && refusal.bytes[1], 7);
  }
});

test("authentication, other versions, types, names and port 0 are refused, with a reply where there is one", () => {
  const refusal = (bytes: readonly number[]): readonly number[] | undefined => {
    const event = play(bytes).at(-1);
    return event?.kind === "refused" ? [...event.bytes] : undefined;
  };
  assert.deepEqual(refusal([5, 1, 2]), [5, 255]);
  assert.deepEqual(refusal([5, 0]), [5, 255]);
  assert.deepEqual(refusal([4, 1]), []);
  assert.deepEqual(refusal([...GREETING, 4]), []);
  assert.deepEqual(refusal([...GREETING, 5, 1, 0, 2, 0])?.[1], 8);
  assert.deepEqual(refusal([...GREETING, ...request(1, name("a b"))])?.[1], 1);
  assert.deepEqual(refusal([...GREETING, ...request(1, name(""))])?.[1], 1);
  assert.deepEqual(refusal([...GREETING, ...request(1, name("é"))])?.[1], 1);
  assert.deepEqual(refusal([...GREETING, ...request(1, [1, 10, 0, 0, 7], 0)])?.[1], 1);
});

test("after its end a handshake says nothing more", () => {
  const parser = new SocksHandshake();
  parser.take(Uint8Array.from([...GREETING, ...ORDERS]));
  assert.deepEqual(parser.take(Uint8Array.from(ORDERS)), []);
});

test("replies name the address, and errnos become the codes that clients show", () => {
  assert.deepEqual(
    [...succeeded({ host: "10.0.0.7", port: 4660 })],
    [5, 0, 0, 1, 10, 0, 0, 7, 0x12, 0x34],
  );
  assert.deepEqual(
    [...succeeded({ host: "fd00::7", port: 1 })],
    [5, 0, 0, 4, 0xfd, ...new Array<number>(14).fill(0), 7, 0, 1],
  );
  const codes = { ECONNREFUSED: 5, ENETUNREACH: 3, EHOSTUNREACH: 4, ENOENT: 4, ETIMEDOUT: 6 };
  for (const [errno, code] of Object.entries({ ...codes, EPERM: 2, EIO: 1, constructor: 1 }))
    assert.equal(failed(errno)[1], code, errno);
});

test("datagrams carry where to and from; fragments and what is cut short are none", () => {
  const bytes = Uint8Array.from([0, 0, 0, ...name("dns"), 0, 53, 1, 2]);
  assert.deepEqual(readDatagram(bytes), {
    ...{ to: { host: "dns", port: 53 }, payload: Uint8Array.of(1, 2) },
  });
  for (let length = 0; length < bytes.length - 2; length++)
    assert.equal(readDatagram(bytes.subarray(0, length)), undefined);
  assert.equal(readDatagram(Uint8Array.from([0, 0, 1, ...name("dns"), 0, 53])), undefined);
  assert.equal(readDatagram(Uint8Array.from([0, 0, 0, ...name("dns"), 0, 0])), undefined);
  const back = datagram({ host: "10.0.0.7", port: 53 }, Uint8Array.of(9));
  assert.deepEqual([...back], [0, 0, 0, 1, 10, 0, 0, 7, 0, 53, 9]);
});

test("20000 mutations of a dialogue, in pieces of any size, never fail and end in a request, a refusal or waiting", () => {
  let state = 0x2545f491;
  const next = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const seen = { reply: 0, request: 0, refused: 0 };
  for (let i = 0; i < 20_000; i++) {
    const bytes = Uint8Array.from([...GREETING, ...ORDERS]);
    for (let changes = next(4); changes > 0; changes--) bytes[next(bytes.length)] = next(256);
    const parser = new SocksHandshake();
    let ends = 0;
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + next(bytes.length);
      for (const event of parser.take(bytes.subarray(at, at + size))) {
        seen[event.kind]++;
        if (event.kind !== "reply") ends++;
        if (event.kind === "request") assert.match(event.to.host, /^[\w.:-]+$/);
      }
      at += size;
    }
    assert.ok(ends <= 1);
    readDatagram(bytes.subarray(next(8)));
  }
  assert.ok(seen.request > 1000 && seen.refused > 1000, JSON.stringify(seen));
});
