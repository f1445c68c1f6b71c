/** The splitter between node:http2's own client and servers, in any pieces, and bytes that nobody should send. */
import assert from "node:assert/strict";
import http2 from "node:http2";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { type Command, HTTP2_PREFACE, Http2Splitter } from "../src/index.ts";
import { Peer, settings } from "./support/http2.ts";
import { Random } from "./support/random.ts";

/** A stream whose other end is a callback. */
function end(onBytes: (bytes: Buffer) => void): Duplex {
  return new Duplex({
    read: () => undefined,
    write: (bytes: Buffer, _, done) => {
      onBytes(Buffer.from(bytes));
      done();
    },
    final: (done) => done(),
  });
}

/** node:http2's client, the splitter, and a server of node:http2 for each destination; bytes go in `pieces`. */
function joined(pieces: (bytes: Buffer) => Uint8Array[]): http2.ClientHttp2Session {
  const upstreams = new Map<number, Duplex>();
  const splitter = new Http2Splitter<string>({
    rest: () => "pod",
    route: ({ headers }) => headers.find(({ name }) => name === "x-user")?.value ?? "pod",
    routeWithBody: () => "pod",
    now: () => 0,
  });
  const run = (commands: Command<string>[]): void => {
    for (const command of commands) {
      if (command.kind === "open") {
        const { upstream, to } = command;
        const server = serverOf(to);
        const far = end((bytes) => {
          for (const piece of pieces(bytes)) {
            setImmediate(() => run(splitter.upstreamBytes(upstream, piece)));
          }
        });
        upstreams.set(upstream, far);
        server.emit("connection", far);
      } else if (command.kind === "send") upstreams.get(command.upstream)?.push(command.bytes);
      else if (command.kind === "end") upstreams.get(command.upstream)?.push(null);
      else if (command.kind === "reply") near.push(command.bytes);
      else if (command.kind === "end-client") near.push(null);
    }
  };
  const near = end((bytes) => {
    for (const piece of pieces(bytes)) setImmediate(() => run(splitter.clientBytes(piece)));
  });
  return http2.connect("http://a", { createConnection: () => near });
}

function serverOf(name: string): http2.Http2Server {
  const server = http2.createServer();
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    stream.respond({ ":status": 200, "x-name": name }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-path": headers[":path"] ?? "" }));
    stream.pipe(stream);
  });
  return server;
}

const random = new Random(11);
for (const [how, longest, size] of [
  ["as they come", 1e9, 300_000],
  ["in pieces of up to 1,000 bytes", 1000, 100_000],
  ["one byte at a time", 1, 3000],
] as const) {
  test(`node:http2 at both ends: ${how}, each stream is answered whole by who has it`, async () => {
    const client = joined((bytes) => random.pieces(bytes, longest));
    const asked = Array.from({ length: 30 }, async (_, at) => {
      const name = random.pick(["pod", "ann", "bob"]);
      const body = Buffer.alloc(random.below(size), String(at));
      const stream = client.request({ ":method": "POST", ":path": `/${at}`, "x-user": name });
      stream.end(body);
      const chunks: Buffer[] = [];
      let from: unknown;
      let trailer: unknown;
      stream.on("response", (fields) => {
        from = fields["x-name"];
      });
      stream.on("trailers", (fields) => {
        trailer = fields["x-path"];
      });
      for await (const chunk of stream) chunks.push(chunk as Buffer);
      assert.deepEqual([from, trailer], [name, `/${at}`]);
      assert.ok(Buffer.concat(chunks).equals(body));
    });
    await Promise.all(asked);
    client.destroy();
  });
}

/** Some of everything that a client says. */
function dialogue(random: Random): Buffer {
  const peer = new Peer(false);
  const said: Uint8Array[] = [HTTP2_PREFACE, settings({ 1: random.below(5000), 4: 70_000 })];
  for (let id = 1; id < 20; id += 2) {
    said.push(peer.post(id, `/${id}`, random.pick(["x-user=me", "!a=b", "expect=100-continue"])));
    said.push(peer.data(id, Buffer.alloc(random.below(3000)), random.chance(0.3)));
    if (random.chance(0.3)) said.push(peer.reset(id, 8));
    if (random.chance(0.3)) said.push(peer.window(random.pick([0, id]), 1 + random.below(1e6)));
    if (random.chance(0.3)) said.push(peer.headers(id, true, "t=1"));
    if (random.chance(0.2)) said.push(peer.ping("12345678"), settings({ 4: random.below(1e5) }));
  }
  return Buffer.concat(said);
}

test("whatever bytes come, from either side, nothing is thrown and little is kept or said", () => {
  const random = new Random(5);
  for (let round = 0; round < 1500; round++) {
    const splitter = new Http2Splitter<string>({
      rest: () => "pod",
      route: ({ target }) => (target.length % 3 === 0 ? "needs-body" : "me"),
      routeWithBody: () => "pod",
      now: () => round,
    });
    let said = 0;
    let given = 0;
    const opened: number[] = [];
    const count = (commands: readonly Command<string>[]): void => {
      for (const command of commands) {
        if (command.kind === "open") opened.push(command.upstream);
        if ("bytes" in command) said += command.bytes.length;
      }
    };
    const client = dialogue(random);
    const far = Buffer.concat([settings({ 3: 5 }), client.subarray(HTTP2_PREFACE.length)]);
    for (const bytes of [client, far]) {
      for (let each = 0; each < random.below(6); each++) {
        bytes[30 + random.below(bytes.length - 30)] = random.below(256);
      }
    }
    const [near, others] = [random.pieces(client, 2000), random.pieces(far, 2000)];
    while (near.length > 0 || others.length > 0) {
      const piece = (random.chance(0.5) ? near : others).shift();
      if (piece === undefined) continue;
      given += piece.length;
      if (near.length > others.length) count(splitter.clientBytes(piece));
      else count(splitter.upstreamBytes(random.pick(opened) ?? 1, piece));
      if (random.chance(0.02)) splitter.upstreamFull(random.pick(opened) ?? 1);
      if (random.chance(0.02)) count(splitter.upstreamDrained(random.pick(opened) ?? 1));
      if (random.chance(0.01)) count(splitter.bodyDeadline());
      if (random.chance(0.005)) count(splitter.drain());
      if (random.chance(0.005)) count(splitter.upstreamReset(random.pick(opened) ?? 1));
    }
    count(random.chance(0.5) ? splitter.clientEnd() : splitter.clientReset());
    assert.equal(splitter.isOver, true);
    assert.ok(said < 4 * given + 5000, `${said} bytes were said after ${given}`);
  }
});
