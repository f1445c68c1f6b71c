/** Copies of some requests of one connection, to sessions over real tunnels; their programs are servers of node:http2. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import * as http2 from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { CopyBudget, FilteredCopies, type FilteredParts } from "@inpod/agent";
import { compileFilter, type Filter, parseFilter } from "@inpod/http";
import { acceptTunnel, type Channel, connectTunnel, duplexOf, type Tunnel } from "@inpod/tunnel";

import { Random } from "./support/random.ts";

const { privateKey } = generateKeyPairSync("ed25519");
const END = { address: "198.18.0.1", port: 80 };
const MIB = 1024 * 1024;

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`not within 60 s: ${what}`);
    await turn();
  }
}

/** Each of its own, as the pieces of different packets are. */
function pieces(random: Random, bytes: Buffer, longest: number): Buffer[] {
  const all: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + random.below(longest));
    all.push(Buffer.from(bytes.subarray(at, end)));
    at = end;
  }
  return all;
}

/** A session with its end of a tunnel: what its program is given, and how each stream ended. */
class Developer {
  agent!: Tunnel;
  readonly bytes: string[] = [];
  readonly ends: string[] = [];
  readonly requests: string[] = [];
  readonly missed: string[] = [];
  /** Bytes of bodies. */
  received = 0;
  opened = 0;
  closed = 0;
  /** Its program takes nothing of bodies. */
  isSlow = false;
  readonly filter: Filter;
  readonly #server = http2.createServer();

  constructor(filter: unknown) {
    this.filter = compileFilter(parseFilter(filter));
    this.#server.on("stream", (stream, headers) => {
      const path = headers[":path"];
      let body = "";
      stream.on("error", () => undefined);
      stream.on("close", () => {
        if (stream.rstCode !== 0) this.requests.push(`${path} cancelled ${stream.rstCode}`);
      });
      if (this.isSlow) return;
      stream.setEncoding("latin1").on("data", (text: string) => {
        body += text;
        this.received += text.length;
      });
      stream.on("end", () => {
        if (stream.rstCode !== 0) return;
        this.requests.push(`${path} ${body.length}`);
        stream.respond({ ":status": 200 });
        stream.end("an answer");
      });
    });
    this.#server.on("sessionError", () => undefined);
    this.#server.on("session", (session) => session.once("close", () => this.closed++));
  }

  async join(t: TestContext): Promise<this> {
    const listener = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
    await once(listener, "listening");
    const left = connect({ port: (listener.address() as AddressInfo).port, allowHalfOpen: true });
    const [right] = (await once(listener, "connection")) as [Socket];
    listener.close();
    t.after(() => {
      for (const socket of [left, right]) socket.destroy();
    });
    const accepted = acceptTunnel(right, {
      authorize: () => true,
      build: "test",
      sessionCount: () => 0,
      handlers: () => ({ onStream: (channel) => channel.reset("ECONNREFUSED") }),
    });
    await connectTunnel(left, {
      ...{ sessionId: "s", privateKey, build: "test" },
      handlers: {
        onStream: (channel) => {
          channel.accept({ kind: "incoming" });
          const { header } = channel;
          if (header.kind === "incoming" && header.needsAnswers === true)
            this.#server.emit("connection", duplexOf(channel));
          else this.#collect(channel);
        },
      },
    });
    this.agent = (await accepted) as Tunnel;
    return this;
  }

  #collect(channel: Channel): void {
    const at = this.bytes.push("") - 1;
    channel.onData = (bytes) => {
      this.bytes[at] += Buffer.from(bytes).toString("latin1");
      channel.consumed(bytes.length);
    };
    const over = (how: string): void => {
      this.ends.push(how);
      this.closed++;
    };
    channel.onEnd = () => over("end");
    channel.onReset = over;
    channel.end();
  }
}

function copiesFor(
  developers: readonly Developer[],
  budget: CopyBudget,
): FilteredCopies<Developer> {
  const parts: FilteredParts<Developer> = {
    open: (developer, needsAnswers) => {
      developer.opened++;
      const header = { kind: "incoming", client: END, local: END } as const;
      const channel = developer.agent.open(needsAnswers ? { ...header, needsAnswers } : header);
      channel.opened.catch(() => undefined);
      return channel;
    },
    probes: () => undefined,
    request: () => undefined,
    missed: ({ missed }, what) => missed.push(what),
    budget,
  };
  return new FilteredCopies(
    developers.map((each) => [each, each.filter] as const),
    parts,
  );
}

/** A client of HTTP/2 that nobody answers: what it sends goes to `sink`. */
function speak(sink: (bytes: Buffer) => void): http2.ClientHttp2Session {
  const wire = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, done) {
      sink(bytes);
      done();
    },
  });
  const session = http2.connect("http://a", { createConnection: () => wire });
  // The windows of a target that takes much, and its SETTINGS acknowledged.
  wire.push(
    Buffer.from("00000604000000000000043fff0000" + "000004080000000000" + "3fff0000", "hex"),
  );
  session.on("error", () => undefined);
  return session;
}

/** All that was given has been looked at, and every copy is over. */
async function settled(developer: Developer, budget: CopyBudget): Promise<void> {
  for (let turns = 0; turns < 30; turns++) await turn();
  await until("the end of all", () => developer.opened === developer.closed && budget.look() === 0);
}

const ALL = { path: { prefix: "/" } };

test("a program that takes nothing has its copies reset when too much waits, and the others go on", async (t) => {
  const budget = new CopyBudget(512 * MIB);
  const slow = await new Developer(ALL).join(t);
  const quick = await new Developer(ALL).join(t);
  slow.isSlow = true;
  const copies = copiesFor([slow, quick], budget);
  const client = speak((bytes) => copies.data(bytes));
  const request = client.request({ ":path": "/upload", ":method": "POST" });
  request.on("error", () => undefined);
  // One copy may have 32 MiB.
  for (let sent = 0; sent < 40; sent++) {
    await new Promise((resolve) => request.write(Buffer.alloc(MIB), resolve));
    await until("the other has it", () => quick.received >= sent * MIB);
  }
  await until("the limit", () => slow.missed.length > 0);
  request.end();
  await until("all of the other", () => quick.requests.length > 0);
  assert.deepEqual(quick.requests, [`/upload ${40 * MIB}`]);
  assert.deepEqual([slow.missed, quick.missed], [["limit"], []]);
  copies.end();
  await until("nothing is counted any more", () => budget.look() === 0);
  client.destroy();
});

test("of requests without an end only so many are held, and the one that was silent for longest is cancelled", async (t) => {
  const budget = new CopyBudget(64 * MIB);
  const mine = await new Developer({ path: { exact: "/first" } }).join(t);
  const copies = copiesFor([mine], budget);
  const client = speak((bytes) => copies.data(bytes));
  const open = (path: string): http2.ClientHttp2Stream => {
    const stream = client.request({ ":path": path, ":method": "POST" });
    stream.on("error", () => undefined);
    stream.write("a");
    return stream;
  };
  open("/first");
  for (let each = 0; each < 2100; each++) open("/other");
  await until("it is cancelled", () => mine.requests.length > 0);
  assert.deepEqual(mine.requests, ["/first cancelled 8"]);
  copies.reset("ECONNRESET");
  client.destroy();
  await until("nothing is counted any more", () => budget.look() === 0);
});

test("HTTP/2 that was spoilt anywhere, or ends anywhere, ends nothing but its own copies", async (t) => {
  const random = new Random(31);
  const recorded: Buffer[] = [];
  let ended = 0;
  const client = speak((bytes) => recorded.push(bytes));
  for (let each = 0; each < 6; each++) {
    const stream = client.request(
      { ":path": `/${each}`, ":method": "POST", "x-each": "a".repeat(50 * each) },
      { waitForTrailers: each % 2 === 0 },
    );
    stream.on("error", () => undefined);
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "1" }));
    stream.end("b".repeat(300 * each));
    stream.once("finish", () => ended++);
  }
  await until("six requests", () => ended === 6);
  for (let turns = 0; turns < 30; turns++) await turn();
  const whole = Buffer.concat(recorded);
  client.destroy();
  const developer = await new Developer({
    any_of: [ALL, { body: { body: "json", query: "$", matches: "" } }],
  }).join(t);
  const limit = 8 * MIB;
  const budget = new CopyBudget(limit);
  const seen = { whole: 0, malformed: 0 };
  for (let round = 0; round < 90; round++) {
    developer.requests.length = 0;
    developer.missed.length = 0;
    const bytes = Buffer.from(whole);
    const isSpoilt = round % 3 !== 0;
    for (let n = isSpoilt ? 1 + random.below(3) : 0; n > 0; n--)
      bytes[24 + random.below(random.below(2) === 0 ? 400 : bytes.length - 24)] = random.below(256);
    const cut = random.below(10) === 0 ? random.below(bytes.length) : bytes.length;
    const copies = copiesFor([developer], budget);
    for (const piece of pieces(random, bytes.subarray(0, cut), 900)) copies.data(piece);
    if (random.below(5) === 0) copies.reset("ECONNRESET");
    else copies.end();
    await settled(developer, budget);
    if (!isSpoilt) assert.deepEqual(developer.missed, []);
    if (developer.missed.length > 0) {
      assert.deepEqual(developer.missed, ["malformed"]);
      seen.malformed++;
    } else if (developer.requests.length === 6) seen.whole++;
  }
  assert.ok(seen.malformed > 3, JSON.stringify(seen));
  assert.ok(seen.whole > 5, JSON.stringify(seen));
});

test("HTTP/1 that was spoilt anywhere: what is copied is a part of what came, and in its order", async (t) => {
  const random = new Random(32);
  const limit = 8 * MIB;
  const budget = new CopyBudget(limit);
  const requests = [
    "GET /mine/1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST /mine/2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    'POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n"mine"',
    "GET /mine/3 HTTP/1.1\r\nHost: a\r\n\r\n",
  ];
  const mine = {
    any_of: [{ path: "^/mine" }, { body: { body: "json", query: "$", matches: "mine" } }],
  };
  const expected = requests.filter((text) => text.includes("mine")).join("");
  const developer = await new Developer(mine).join(t);
  for (let round = 0; round < 200; round++) {
    developer.bytes.length = 0;
    developer.ends.length = 0;
    const bytes = Buffer.from(requests.join(""));
    const isSpoilt = round % 4 !== 0;
    if (isSpoilt) bytes[random.below(bytes.length)] = random.below(256);
    const copies = copiesFor([developer], budget);
    for (const piece of pieces(random, bytes, 30)) copies.data(piece);
    copies.end();
    await settled(developer, budget);
    const [copy = ""] = developer.bytes;
    if (!isSpoilt) {
      assert.equal(copy, expected);
      assert.deepEqual(developer.ends, ["end"]);
    }
    assert.ok(copy.length <= bytes.length);
    // Each line of it came, in this order.
    let at = 0;
    for (const line of copy.split(/(?<=\n)/)) {
      const found = bytes.indexOf(Buffer.from(line, "latin1"), at);
      assert.ok(found >= at, JSON.stringify([String(bytes), copy]));
      at = found + line.length;
    }
  }
});
