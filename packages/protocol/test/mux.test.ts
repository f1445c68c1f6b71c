import assert from "node:assert/strict";
import { test } from "node:test";
import type { MuxHandlers, StreamHeader } from "../src/index.ts";
import {
  decodeHeader,
  encodeJson,
  FrameType,
  HEADER_BYTES,
  Mux,
  type MuxStream,
  ProtocolError,
} from "../src/index.ts";

/** A generator of numbers in [0, 1) that gives the same ones each time (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const TCP: StreamHeader = { kind: "tcp", host: "198.18.0.1", port: 80 };
const PEER = { address: "198.18.0.1", port: 80 };
const OPENED = { kind: "tcp", local: PEER, peer: PEER } as const;

interface End {
  readonly mux: Mux;
  readonly streams: MuxStream[];
  readonly log: string[];
}

function end(
  side: "session" | "agent",
  now: () => number = () => 0,
  bufferBudgetBytes?: number,
): End {
  const streams: MuxStream[] = [];
  const log: string[] = [];
  const handlers: MuxHandlers = {
    wantsFlush: () => {},
    onStream: (stream) => streams.push(stream),
    onRequest: (id, { method, params }) => log.push(`${id} ${method} ${JSON.stringify(params)}`),
    onResponse: (id, response) => log.push(`${id} ${JSON.stringify(response)}`),
    onNotice: (notice) => log.push(JSON.stringify(notice)),
    onGoaway: (why) => log.push(`goaway ${why.detail}`),
    onOverrun: () => log.push("overrun"),
  };
  return { mux: new Mux({ side, handlers, now, bufferBudgetBytes }), streams, log };
}

const NOBODY = {
  side: "agent",
  now: () => 0,
  handlers: { wantsFlush: () => {} } as MuxHandlers,
} as const;

/** Carries everything both ends have to say, cut at random places, until they are quiet. */
function settle(a: End, b: End, cut: (rest: number) => number = (rest) => rest): void {
  while (a.mux.hasMore || b.mux.hasMore) {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const { chunks, drained } = from.mux.take(64 * 1024);
      const bytes = concat(chunks);
      for (let at = 0; at < bytes.length; ) {
        const size = Math.max(1, Math.min(bytes.length - at, cut(bytes.length - at)));
        to.mux.receive(bytes.slice(at, at + size));
        at += size;
      }
      for (const stream of drained) stream.onDrain?.();
    }
  }
}

function concat(chunks: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

for (const [how, cut] of [
  ["in whole chunks", (rest: number) => rest],
  ["one byte at a time", () => 1],
] as const) {
  test(`a stream is opened, carries data both ways and ends each way by itself, ${how}`, () => {
    const [session, agent] = [end("session"), end("agent")];
    const ours = session.mux.open(TCP);
    const seen: string[] = [];
    ours.onOpened = (opened) => seen.push(`opened ${opened.kind}`);
    ours.onData = (bytes) => {
      seen.push(`answer ${text(bytes)}`);
      ours.consumed(bytes.length);
    };
    ours.onEnd = () => seen.push("end");
    ours.write(ascii("question"));
    ours.end();
    settle(session, agent, cut);
    const [theirs] = agent.streams;
    assert.ok(theirs);
    assert.deepEqual(theirs.header, TCP);
    let question = "";
    theirs.onData = (bytes) => {
      question += text(bytes);
    };
    theirs.accept(OPENED);
    assert.equal(question, "question", "data before the handler was set is kept for it");
    theirs.write(ascii("!"));
    theirs.end();
    settle(session, agent, cut);
    assert.deepEqual(seen, ["opened tcp", "answer !", "end"]);
    assert.deepEqual([session.mux.streamCount, agent.mux.streamCount], [0, 0]);
  });
}

test("a reset is told with its errno, and what was under way for the stream is tolerated", () => {
  const [session, agent] = [end("session"), end("agent")];
  const ours = session.mux.open(TCP);
  let refused = "";
  ours.onRefused = (errno) => {
    refused = errno;
  };
  settle(session, agent);
  ours.write(ascii("late"));
  agent.streams[0]?.reset("ECONNREFUSED", "nobody listens");
  settle(session, agent);
  assert.equal(refused, "ECONNREFUSED");
  assert.equal(session.mux.streamCount, 0);
});

test("a sender stops at its credit, and goes on when the reader has consumed", () => {
  const [session, agent] = [end("session"), end("agent")];
  const ours = session.mux.open(TCP);
  const block = new Uint8Array(64 * 1024);
  let accepted = 0;
  while (ours.write(block)) accepted++;
  for (let i = 0; i < 8; i++) ours.write(block);
  settle(session, agent);
  let received = 0;
  const [theirs] = agent.streams;
  assert.ok(theirs);
  theirs.onData = (bytes) => {
    received += bytes.length;
  };
  assert.equal(received, 8 * 1024, "what every stream may send before it is accepted");
  theirs.accept(OPENED);
  settle(session, agent);
  assert.equal(received, 256 * 1024);
  theirs.consumed(received);
  settle(session, agent);
  assert.equal(received, 512 * 1024);
  assert.ok(accepted <= 4);
});

/** Twelve windows of a stream, as many bytes as each one let through. @param tookMs until the reader has consumed it */
function windowsOf({ rttMs, tookMs }: { rttMs: number; tookMs: number }): number[] {
  const clock = { ms: 0 };
  const [session, agent] = [end("session", () => clock.ms), end("agent", () => clock.ms)];
  agent.mux.leastRttMs = rttMs;
  const ours = session.mux.open(TCP);
  settle(session, agent);
  const [theirs] = agent.streams;
  assert.ok(theirs);
  theirs.accept(OPENED);
  let inFlight = 0;
  theirs.onData = (bytes) => {
    inFlight += bytes.length;
  };
  const perRound: number[] = [];
  for (let round = 0; round < 12; round++) {
    ours.write(new Uint8Array(8 * 1024 * 1024));
    settle(session, agent);
    perRound.push(inFlight);
    clock.ms += tookMs;
    theirs.consumed(inFlight);
    inFlight = 0;
  }
  return perRound;
}

test("the window grows while it is what limits the stream, and not beyond its maximum", () => {
  const perRound = windowsOf({ rttMs: 20, tookMs: 20 });
  assert.equal(perRound[0], 256 * 1024);
  assert.ok((perRound.at(-1) ?? 0) <= 4 * 1024 * 1024);
  assert.ok((perRound.at(-1) ?? 0) >= 2 * 1024 * 1024, String(perRound));
});

test("a window that is consumed within 25 ms grows whatever the round trip is, a slower one does not", () => {
  assert.equal(windowsOf({ rttMs: 1, tookMs: 24 }).at(-1), 4 * 1024 * 1024);
  assert.equal(windowsOf({ rttMs: 1, tookMs: 26 }).at(-1), 256 * 1024);
});

test("a stream alone sends frames of 64 KiB, one of several frames of 32", () => {
  const lengths = (streams: number): number[] => {
    const { mux } = end("session");
    const all = Array.from({ length: streams }, () => mux.open(TCP));
    for (const each of all) each.sendCredit = 1024 * 1024;
    mux.take(1e6);
    for (const each of all) each.write(new Uint8Array(192 * 1024));
    const bytes = concat(mux.take(160 * 1024).chunks);
    const found: number[] = [];
    for (let at = 0; at < bytes.length; ) {
      const { type, length } = decodeHeader(bytes, at);
      if (type === FrameType.data) found.push(length);
      at += HEADER_BYTES + length;
    }
    return found;
  };
  assert.deepEqual(lengths(1), Array(3).fill(64 * 1024));
  assert.deepEqual(new Set(lengths(2)), new Set([32 * 1024]));
});

test("streams take turns: a large one does not hold up a small one", () => {
  const [session, agent] = [end("session"), end("agent")];
  const large = session.mux.open(TCP);
  const small = session.mux.open(TCP);
  session.mux.take(1e6);
  large.write(new Uint8Array(200 * 1024));
  small.write(ascii("small"));
  const { chunks } = session.mux.take(40 * 1024);
  assert.ok(concat(chunks).length < 80 * 1024);
  assert.match(text(concat(chunks)), /small/);
  void agent;
});

test("datagrams are dropped while the link is congested, and never queued", () => {
  const [session] = [end("session")];
  const udp = session.mux.open({ kind: "udp", host: "198.18.0.1", port: 53 });
  assert.equal(udp.datagram(ascii("one")), true);
  session.mux.isCongested = true;
  assert.equal(udp.datagram(ascii("two")), false);
});

test("requests, their answers and notices cross with their content", () => {
  const [session, agent] = [end("session"), end("agent")];
  session.mux.request(7, "incoming.steal", { port: 3000 });
  agent.mux.respond(7, { error: { errno: "EADDRINUSE", detail: "taken" } });
  agent.mux.notify({ kind: "target-gone", detail: "exit 1" });
  settle(session, agent);
  assert.deepEqual(agent.log, ['7 incoming.steal {"port":3000}']);
  assert.deepEqual(session.log, [
    '7 {"error":{"errno":"EADDRINUSE","detail":"taken"}}',
    '{"kind":"target-gone","detail":"exit 1"}',
  ]);
});

test("when the link is lost every stream ends with the errno given", () => {
  const session = end("session");
  const seen: string[] = [];
  for (let i = 0; i < 3; i++) session.mux.open(TCP).onReset = (errno) => seen.push(errno);
  session.mux.abort("ECONNRESET", "gone");
  assert.deepEqual(seen, ["ECONNRESET", "ECONNRESET", "ECONNRESET"]);
});

for (const [what, frame] of [
  ["an unknown type", [0x20, 0, 0, 0, 0, 0, 0, 0]],
  ["a payload beyond its type's limit", [FrameType.data, 0xff, 0xff, 0xff, 0, 0, 0, 1]],
  ["data for a stream that never was", [FrameType.data, 0, 0, 1, 0, 0, 0, 9, 0]],
  ["a credit of another size", [FrameType.credit, 0, 0, 1, 0, 0, 0, 1, 0]],
  ["JSON that is none", [FrameType.open, 0, 0, 1, 0, 0, 0, 1, 0x7b]],
] as const) {
  test(`${what} is an error of the protocol`, () => {
    assert.throws(() => end("agent").mux.receive(Uint8Array.from(frame)), ProtocolError);
  });
}

test("an unknown type of the ignorable range is skipped", () => {
  const agent = end("agent");
  agent.mux.receive(Uint8Array.from([0x90, 0, 0, 2, 0, 0, 0, 0, 1, 2]));
  agent.mux.receive(encodeJson(FrameType.request, 1, { method: "pause", params: {} }));
  assert.deepEqual(agent.log, ["1 pause {}"]);
});

test("a stream cannot be opened twice, nor with a number of the other side", () => {
  const agent = end("agent");
  agent.mux.receive(encodeJson(FrameType.open, 1, TCP));
  assert.throws(() => agent.mux.receive(encodeJson(FrameType.open, 1, TCP)), ProtocolError);
  assert.throws(() => end("agent").mux.receive(encodeJson(FrameType.open, 2, TCP)), ProtocolError);
});

test("a sender that overruns its window is an error", () => {
  const agent = end("agent");
  agent.mux.receive(encodeJson(FrameType.open, 1, TCP));
  agent.streams[0]?.accept(OPENED);
  const frame = new Uint8Array(8 + 64 * 1024);
  frame.set([FrameType.data, 1, 0, 0, 0, 0, 0, 1]);
  for (let i = 0; i < 4; i++) agent.mux.receive(frame);
  assert.throws(() => agent.mux.receive(frame), ProtocolError);
});

test("many streams with random writes, cuts and ends arrive whole", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seeded(seed);
    const [session, agent] = [end("session"), end("agent")];
    const sent: Uint8Array[][] = [];
    const streams = Array.from({ length: 10 }, () => session.mux.open(TCP));
    for (const stream of streams) {
      const parts = Array.from({ length: 20 }, () =>
        Uint8Array.from({ length: Math.floor(random() * 3000) }, () => random() * 256),
      );
      sent.push(parts);
      for (const part of parts) stream.write(part);
      if (random() < 0.8) stream.end();
    }
    const received = new Map<number, Uint8Array[]>();
    settle(session, agent, (rest) => Math.ceil(random() * Math.min(rest, 5000)));
    for (const theirs of agent.streams) {
      const parts: Uint8Array[] = [];
      received.set(theirs.id, parts);
      theirs.onData = (bytes) => {
        parts.push(bytes);
        theirs.consumed(bytes.length);
      };
    }
    settle(session, agent, (rest) => Math.ceil(random() * Math.min(rest, 5000)));
    streams.forEach((stream, i) => {
      assert.deepEqual(concat(received.get(stream.id) ?? []), concat(sent[i] ?? []));
    });
  }
});

test("no bytes make the core throw anything but a ProtocolError, or keep more than its budget", () => {
  const random = seeded(42);
  // A true dialogue, of which bytes are changed.
  const script = end("session");
  const stream = script.mux.open(TCP);
  stream.write(ascii("hello".repeat(100)));
  script.mux.request(1, "incoming.release", { port: 80 });
  script.mux.ping();
  stream.end();
  const dialogue = concat(script.mux.take(1e6).chunks);
  for (let round = 0; round < 5000; round++) {
    const agent = end("agent");
    const bytes =
      round % 3 === 0
        ? Uint8Array.from({ length: 200 }, () => random() * 256)
        : dialogue.map((byte) => (random() < 0.01 ? random() * 256 : byte));
    try {
      for (let at = 0; at < bytes.length; at += 37) agent.mux.receive(bytes.slice(at, at + 37));
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error));
    }
  }
});

test("an end with little memory promises little, and takes in no more than it promised", () => {
  const held = (bufferBudgetBytes?: number): number => {
    const [session, agent] = [end("session"), end("agent", undefined, bufferBudgetBytes)];
    const stalled = Array.from({ length: 100 }, () => session.mux.open(TCP));
    settle(session, agent);
    for (const stream of agent.streams) stream.accept(OPENED);
    for (const stream of stalled) stream.write(new Uint8Array(512 * 1024));
    settle(session, agent);
    return agent.streams.reduce((sum, stream) => sum + stream.unconsumed, 0);
  };
  assert.ok(held() > 8 * 1024 * 1024, "the usual");
  assert.ok(held(1024 * 1024) <= 1024 * 1024 + 100 * 8 * 1024);
});

test("streams that nobody reads leave room for others, and their windows have a sum that ends", () => {
  const [session, agent] = [end("session"), end("agent")];
  const stalled = Array.from({ length: 1000 }, () => session.mux.open(TCP));
  settle(session, agent);
  for (const stream of agent.streams) stream.accept(OPENED);
  for (const stream of stalled) stream.write(new Uint8Array(512 * 1024));
  settle(session, agent);
  const held = agent.streams.reduce((sum, stream) => sum + stream.unconsumed, 0);
  assert.ok(held <= 64 * 1024 * 1024, `${held} bytes are held`);
  const late = session.mux.open(TCP);
  const sent = new Uint8Array(100 * 1024).map((_, i) => i);
  late.write(sent);
  settle(session, agent);
  const parts: Uint8Array[] = [];
  const theirs = agent.streams.at(-1);
  assert.ok(theirs);
  theirs.onData = (bytes) => {
    parts.push(bytes);
    theirs.consumed(bytes.length);
  };
  settle(session, agent);
  assert.deepEqual(concat(parts), sent);
});

test("hundreds of streams that nobody reads queue little together, and leave room for one that is read", () => {
  const CHUNK = 64 * 1024; // what a socket reads at once
  const queued = (bufferBudgetBytes?: number): number => {
    const [session, agent] = [end("session"), end("agent", undefined, bufferBudgetBytes)];
    const opened = Array.from({ length: 301 }, () => session.mux.open(TCP));
    settle(session, agent);
    const pour = (stream: MuxStream): void => {
      while (stream.write(new Uint8Array(CHUNK)));
    };
    for (const stream of agent.streams) {
      stream.accept(OPENED);
      stream.onDrain = () => pour(stream);
      pour(stream);
    }
    settle(session, agent);
    const read = opened.at(-1);
    assert.ok(read);
    let bytes = 0;
    read.onData = (part) => {
      bytes += part.length;
      // As a reader that takes its time: it ends while its sender still pours.
      if (bytes < 4 * 1024 * 1024) read.consumed(part.length);
    };
    settle(session, agent);
    assert.ok(bytes >= 4 * 1024 * 1024, `${bytes} bytes are read`);
    const sum = agent.streams.reduce((total, stream) => total + stream.queuedBytes, 0);
    for (const stream of opened) stream.reset("ECANCELED");
    settle(session, agent);
    assert.equal(agent.mux.queueLimit, new Mux({ ...NOBODY, bufferBudgetBytes }).queueLimit);
    return sum;
  };
  const floor = 301 * CHUNK;
  for (const [sum, budget] of [
    [queued(), 16 * 1024 * 1024],
    [queued(2 * 1024 * 1024), 2 * 1024 * 1024],
  ] as const)
    assert.ok(sum <= budget + floor, `${sum} bytes are queued with a budget of ${budget}`);
});

test("what ended streams held is free for new ones", () => {
  const [session, agent] = [end("session"), end("agent")];
  for (let round = 0; round < 2000; round++) {
    const stream = session.mux.open(TCP);
    settle(session, agent);
    agent.streams.at(-1)?.accept(OPENED);
    assert.equal(agent.streams.at(-1)?.grantedBytes, 248 * 1024);
    stream.reset("ECANCELED");
    settle(session, agent);
  }
});

test("more credit than was consumed is never given back", () => {
  const [session, agent] = [end("session"), end("agent")];
  const ours = session.mux.open(TCP);
  ours.write(new Uint8Array(300 * 1024));
  settle(session, agent);
  const [theirs] = agent.streams;
  assert.ok(theirs);
  theirs.onData = () => {};
  theirs.accept(OPENED);
  settle(session, agent);
  theirs.consumed(10 * 1024 * 1024);
  assert.equal(theirs.receiveLeft, 256 * 1024);
});

test("whoever waits for a stream to open learns that it was reset by its own end, or ended instead", () => {
  const [session, agent] = [end("session"), end("agent")];
  const seen: string[] = [];
  const cancelled = session.mux.open(TCP);
  cancelled.onRefused = (errno) => seen.push(errno);
  cancelled.reset("ECANCELED");
  const ended = session.mux.open(TCP);
  ended.onRefused = (errno) => seen.push(errno);
  ended.end();
  settle(session, agent);
  agent.streams.at(-1)?.end();
  settle(session, agent);
  assert.deepEqual(seen, ["ECANCELED", "EPROTO"]);
});

test("a second ping does not shorten the round trip of the first", () => {
  const clock = { ms: 0 };
  const [session, agent] = [end("session", () => clock.ms), end("agent")];
  session.mux.ping();
  clock.ms = 200;
  session.mux.ping();
  clock.ms = 300;
  settle(session, agent);
  assert.equal(session.mux.rttMs, 300);
});

test("a peer that asks and does not read is given up, by an event and not by a throw", () => {
  const agent = end("agent");
  const detail = "x".repeat(4000);
  for (let i = 0; i < 10_000; i++) agent.mux.notify({ kind: "target-gone", detail });
  assert.deepEqual(agent.log, ["overrun"]);
});
