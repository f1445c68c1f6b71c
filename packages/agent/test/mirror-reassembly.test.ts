import assert from "node:assert/strict";
import { test } from "node:test";
import { Reassembly, type Sink, STREAM_LIMITS, Streams } from "@inpod/agent";
import { Random } from "./support/random.ts";

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const ACK = 0x10;

const LIMITS = { pendingBytes: 1024 * 1024 };

const text = (pieces: readonly Buffer[]): string => Buffer.concat(pieces).toString("latin1");

/** What is in order after each segment; "+" where the stream has ended. */
function play(initial: number, ...segments: (readonly [at: number, text: string, fin?: true])[]) {
  const stream = new Reassembly(initial, LIMITS);
  return segments.map(([at, said, fin]) => {
    const sequence = (initial + 1 + at) >>> 0;
    const progress = stream.segment(sequence, Buffer.from(said), fin === true);
    if (progress.kind === "full") return "full";
    return text(progress.pieces) + (progress.isEnd ? "+" : "");
  });
}

test("segments in order are passed on at once, and FIN ends the stream", () => {
  assert.deepEqual(play(7, [0, "ab"], [2, "cd"], [4, "", true]), ["ab", "cd", "+"]);
  assert.deepEqual(play(7, [0, "ab", true]), ["ab+"]);
});

test("a segment that came too early waits, also across the wrap of sequence numbers", () => {
  for (const initial of [7, 0xfffffffe, 0xffffffff, 0x7fffffff, 0xfffffff0])
    assert.deepEqual(play(initial, [2, "cd"], [6, "gh", true], [0, "ab"], [4, "ef"]), [
      ...["", "", "abcd", "efgh+"],
    ]);
});

test("repeated and overlapping segments are passed on once", () => {
  assert.deepEqual(play(7, [0, "ab"], [0, "ab"], [0, "abcd"], [3, "def"], [1, "b"]), [
    ...["ab", "", "cd", "ef", ""],
  ]);
  assert.deepEqual(play(7, [4, "ef"], [2, "cdefgh"], [3, "d"], [0, "abc"]), [
    "",
    "",
    "",
    "abcdefgh",
  ]);
});

test("a keep-alive probe, which repeats a byte, is nothing, and what stands behind FIN neither", () => {
  assert.deepEqual(play(7, [0, "ab"], [1, "?"], [-1, "?"], [2, "c", true], [3, "x"]), [
    ...["ab", "", "", "c+", "+"],
  ]);
});

test("a sequence number from elsewhere changes nothing", () => {
  assert.deepEqual(play(7, [2 ** 31, "x"], [2 ** 30 + 2, "y"], [0, "ab"]), ["", "", "ab"]);
});

test("what waits behind a hole has a limit", () => {
  const stream = new Reassembly(0, { pendingBytes: 10 });
  assert.equal(stream.segment(3, Buffer.alloc(10), false).kind, "data");
  assert.equal(stream.pendingBytes, 10);
  assert.equal(stream.segment(20, Buffer.alloc(1), false).kind, "full");
});

test("any order, cuts, overlaps and repetitions give the bytes that were sent (400 streams, seeds 0 to 399)", () => {
  for (let seed = 0; seed < 400; seed++) {
    const random = new Random(seed);
    const sent = random.bytes(random.below(5000));
    const initial = random.below(3) === 0 ? 0xffffffff - random.below(3000) : random.next();
    const cuts: [from: number, to: number][] = [];
    for (let at = 0; at < sent.length; ) {
      const to = Math.min(sent.length, at + 1 + random.below(700));
      cuts.push([at, to]);
      if (random.below(4) === 0) {
        // Repeated, and cut in other places.
        const from = random.below(to);
        cuts.push([from, Math.min(sent.length, from + random.below(1500))]);
      }
      at = to;
    }
    // FIN may overtake everything.
    cuts.push([sent.length, sent.length]);
    const distance = random.below(cuts.length) + 1;
    for (let at = 0; at < cuts.length; at++) {
      const other = Math.min(cuts.length - 1, at + random.below(distance));
      [cuts[at], cuts[other]] = [cuts[other], cuts[at]] as [[number, number], [number, number]];
    }
    const stream = new Reassembly(initial, LIMITS);
    const got: Buffer[] = [];
    let ends = 0;
    for (const [from, to] of cuts) {
      // As from the reader: the bytes are somebody else's as soon as segment() has returned.
      const lent = Buffer.from(sent.subarray(from, to));
      const isFin = to === sent.length && (from === to || random.below(2) === 0);
      const progress = stream.segment((initial + 1 + from) >>> 0, lent, isFin);
      assert.equal(progress.kind, "data");
      if (progress.kind !== "data") return;
      got.push(...progress.pieces.map((piece) => Buffer.from(piece)));
      if (progress.isEnd) ends++;
      lent.fill(0);
    }
    assert.deepEqual(Buffer.concat(got), sent, `seed ${seed}`);
    assert.ok(ends > 0, `seed ${seed}`);
    assert.equal(stream.pendingBytes, 0, `seed ${seed}`);
  }
});

/** Streams as the tests see them: what each connection's copy was told, in words. */
function world(limits: Partial<typeof STREAM_LIMITS> = {}) {
  const told: string[] = [];
  const missed: string[] = [];
  const streams = new Streams(
    {
      open: (client, local): Sink => {
        const name = String(client.port);
        told.push(`${name} open ${client.address} ${local.address}:${local.port}`);
        return {
          data: (bytes) => told.push(`${name} ${bytes.toString("latin1")}`),
          end: () => told.push(`${name} end`),
          reset: (errno) => told.push(`${name} ${errno}`),
        };
      },
      missed: (port, what) => missed.push(`${port} ${what}`),
    },
    { ...STREAM_LIMITS, ...limits },
  );
  const packet = (client: number, flags: number, sequence: number, said = "", nowMs = 0): void => {
    const ends = Buffer.from([10, 0, 0, 1, 10, 0, 0, 2, client >> 8, client & 0xff, 0x1f, 0x90]);
    const known = { protocol: "tcp", port: 8080, sourcePort: client } as const;
    const payload = Buffer.from(said, "latin1");
    streams.packet({ ...known, key: ends.toString("latin1"), sequence, flags, payload }, nowMs);
  };
  return { streams, told, missed, packet };
}

test("a connection is copied from its first byte to its end, and known for a while after it", () => {
  const { streams, told, missed, packet } = world();
  packet(1000, SYN, 99);
  packet(1000, SYN, 99);
  assert.equal(told.length, 0);
  packet(1000, ACK, 100, "GET /");
  packet(1000, ACK | FIN, 105, "!");
  packet(1000, ACK, 100, "GET /");
  assert.deepEqual(told, ["1000 open 10.0.0.1 10.0.0.2:8080", "1000 GET /", "1000 !", "1000 end"]);
  assert.deepEqual(missed, []);
  assert.equal(streams.count, 1);
  streams.sweep(STREAM_LIMITS.closedMs);
  assert.equal(streams.count, 0);
});

test("RST and a new SYN of the same ports end a copy; a connection without a byte has none", () => {
  const { told, packet } = world();
  packet(1000, SYN, 0);
  packet(1000, ACK, 1, "a");
  packet(1000, RST, 2);
  packet(1000, SYN, 7);
  packet(1000, ACK, 8, "b");
  packet(1000, SYN, 50);
  packet(1000, FIN | ACK, 51);
  packet(1000, SYN | ACK, 51);
  assert.deepEqual(
    told.filter((line) => !line.includes("open")),
    ["1000 a", "1000 ECONNRESET", "1000 b", "1000 ECONNRESET"],
  );
});

test("TCP Fast Open: what comes with SYN is the first of the stream", () => {
  const { told, packet } = world();
  packet(1000, SYN, 0xffffffff, "early");
  packet(1000, ACK, 5, " late");
  assert.deepEqual(told.slice(1), ["1000 early", "1000  late"]);
});

test("a connection from before is told once, until it begins anew", () => {
  const { told, missed, packet } = world();
  for (let each = 0; each < 3; each++) packet(1000, ACK, each, "x");
  packet(1001, ACK, 1);
  assert.deepEqual(missed, ["8080 began-before"]);
  packet(1000, SYN, 9);
  packet(1000, ACK, 10, "new");
  assert.deepEqual(told.slice(1), ["1000 new"]);
  assert.deepEqual(missed, ["8080 began-before"]);
});

test("TLS is known by its ClientHello, one byte at a time too, and told once a connection", () => {
  const { told, missed, packet } = world();
  const hello = "\x16\x03\x01\x02\x00\x01\x00";
  packet(1000, SYN, 0);
  packet(1000, ACK, 1, hello);
  packet(1000, ACK, 1 + hello.length, "more");
  packet(1001, SYN, 0);
  for (const [at, byte] of [...hello].entries()) packet(1001, ACK, 1 + at, byte);
  assert.deepEqual(missed, ["8080 tls", "8080 tls"]);
  assert.equal(told.length, 0);
  // It only begins like one.
  packet(1002, SYN, 0);
  packet(1002, ACK, 1, "\x16");
  packet(1002, ACK, 2, "\x03\x09");
  packet(1003, SYN, 0);
  packet(1003, ACK | FIN, 1, "\x16\x03");
  assert.deepEqual(
    told.filter((line) => !line.includes("open")),
    ["1002 \x16\x03\x09", "1003 \x16\x03", "1003 end"],
  );
});

test("a hole that is filled in time is none; one that is not ends the copy, which is told", () => {
  const { streams, told, missed, packet } = world();
  packet(1000, SYN, 0);
  packet(1000, ACK, 1, "a");
  packet(1000, ACK, 3, "c", 1000);
  streams.sweep(1000 + STREAM_LIMITS.holeMs - 1);
  packet(1000, ACK, 2, "b", 1000 + STREAM_LIMITS.holeMs - 1);
  streams.sweep(2000 + STREAM_LIMITS.holeMs);
  assert.deepEqual(missed, []);
  packet(1000, ACK | FIN, 5, "", 10_000);
  streams.sweep(10_000 + STREAM_LIMITS.holeMs);
  packet(1000, ACK, 4, "d", 20_000);
  assert.deepEqual(missed, ["8080 hole"]);
  assert.deepEqual(told.slice(1), ["1000 a", "1000 b", "1000 c", "1000 ECONNABORTED"]);
});

test("memory has limits: behind holes, of one and of all, and of connections, the least used going first", () => {
  const { streams, told, missed, packet } = world({
    streams: 8,
    pendingBytes: 100,
    allPendingBytes: 150,
  });
  const waiting = "x".repeat(90);
  for (const client of [1, 2]) {
    packet(client, SYN, 0);
    packet(client, ACK, 2, waiting);
  }
  assert.deepEqual(missed, ["8080 hole"]);
  packet(1, ACK, 1, "_");
  assert.equal(told.length, 3);
  missed.length = 0;
  for (let client = 3; client <= 8; client++) packet(client, SYN, 0, "", client);
  for (let client = 5; client <= 8; client++) packet(client, ACK, 1, "x", client);
  for (let client = 100; client < 110; client++) {
    packet(client, SYN, 0, "", client);
    packet(client, ACK, 1, "x", client);
    assert.ok(streams.count <= 8);
  }
  assert.ok(missed.every((line) => line === "8080 limit") && missed.length > 0, String(missed));
  assert.equal(
    told.filter((line) => line.endsWith("ECONNABORTED")).length,
    missed.length,
    String(told),
  );
});

test("after packets were lost a connection of which nothing comes is given up, one that goes on without a hole is not", () => {
  const { streams, missed, told, packet } = world();
  for (const client of [1, 2]) {
    packet(client, SYN, 0);
    packet(client, ACK, 1, "a");
  }
  streams.packetsLost(1000);
  packet(1, ACK, 2, "b", 2000);
  packet(2, ACK, 1, "a", 2000);
  streams.sweep(999 + STREAM_LIMITS.silentMs);
  assert.deepEqual(missed, []);
  streams.sweep(1000 + STREAM_LIMITS.silentMs);
  assert.deepEqual(missed, ["8080 hole"]);
  assert.equal(told.at(-1), "2 ECONNABORTED");
});

test("a port that is given up resets its copies", () => {
  const { streams, told, packet } = world();
  packet(1000, SYN, 0);
  packet(1000, ACK, 1, "a");
  streams.forget(8080);
  packet(1000, ACK, 2, "b");
  assert.deepEqual(told.slice(1), ["1000 a", "1000 ECONNABORTED"]);
  assert.equal(streams.count, 0);
});

test("whatever packets say, memory stays within its limits, and what a copy is told makes sense (seeds 0 to 19)", () => {
  const limits = {
    streams: 16,
    pendingBytes: 3000,
    allPendingBytes: 20_000,
    holeMs: 50,
    silentMs: 80,
    closedMs: 100,
  };
  for (let seed = 0; seed < 20; seed++) {
    const random = new Random(seed);
    const over = new Set<object>();
    let opened = 0;
    const streams = new Streams(
      {
        open: (): Sink | undefined => {
          if (random.below(8) === 0) return undefined;
          opened++;
          const copy = {};
          const alive = (): void => assert.ok(!over.has(copy), `seed ${seed}`);
          const end = (): void => {
            alive();
            over.add(copy);
          };
          return { data: alive, end, reset: end };
        },
        missed: () => {},
      },
      limits,
    );
    for (let nowMs = 0; nowMs < 20_000; nowMs++) {
      const client = random.below(40);
      const key = Buffer.from([10, 0, 0, 1, 10, 0, 0, 2, 0, client, 0x1f, 0x90]).toString("latin1");
      // Mostly of connections that begin at 0, with numbers that are near what is expected.
      const sequence = random.below(10) === 0 ? random.next() : random.below(4000);
      const kinds = [SYN, ACK, ACK | FIN, RST, random.below(256)];
      const flags = random.below(30) === 0 ? random.pick(kinds) : random.pick([SYN, ACK, ACK, ACK]);
      const payload = random.bytes(random.below(4) === 0 ? 0 : random.below(400));
      const ends = { protocol: "tcp", port: 8080, sourcePort: client } as const;
      const begins = flags === SYN ? random.below(2) : sequence;
      streams.packet({ ...ends, key, sequence: begins, flags, payload }, nowMs);
      if (random.below(100) === 0) streams.sweep(nowMs);
      if (random.below(500) === 0) streams.packetsLost(nowMs);
      assert.ok(streams.count <= limits.streams);
      assert.ok(streams.pendingBytes >= 0 && streams.pendingBytes <= limits.allPendingBytes);
    }
    streams.forget();
    assert.equal(streams.pendingBytes, 0);
    assert.ok(opened > 50, String(opened));
    assert.equal(over.size, opened, `seed ${seed}: every copy has an end`);
  }
});
