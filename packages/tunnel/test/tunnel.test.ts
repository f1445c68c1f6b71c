import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { Duplex } from "node:stream";
import { type TestContext, test } from "node:test";
import { connect as connectTls, TLSSocket, type TLSSocketOptions } from "node:tls";
import type { AgentNotice, SessionHello } from "@inpod/protocol";
import type { IncomingChannel, Tunnel, TunnelError, TunnelHandlers } from "../src/index.ts";
import {
  acceptTunnel,
  connectTunnel,
  peekAgent,
  rawFromPublicKey,
  resetSocket,
  splice,
  TunnelFailure,
} from "../src/index.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const KEY = rawFromPublicKey(publicKey);
const TCP = { kind: "tcp", host: "198.18.0.1", port: 80 } as const;
const PEER = { address: "198.18.0.1", port: 80 };

async function socketPair(t: TestContext): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const left = connect({ port: (server.address() as AddressInfo).port, allowHalfOpen: true });
  const [right] = (await once(server, "connection")) as [Socket];
  server.close();
  for (const socket of [left, right]) {
    socket.on("error", () => {});
    t.after(() => socket.destroy());
  }
  return [left, right];
}

const silent: TunnelHandlers = { onStream: (channel) => channel.reset("ECONNREFUSED") };

interface Ends {
  readonly session: Tunnel;
  readonly agent: Tunnel;
  readonly link: [Duplex, Duplex];
}

async function join(
  t: TestContext,
  agentHandlers: Partial<TunnelHandlers> = {},
  sessionHandlers: Partial<TunnelHandlers> = {},
  wrap: (stream: Duplex) => Duplex = (stream) => stream,
): Promise<Ends> {
  const sockets = await socketPair(t);
  const link: [Duplex, Duplex] = [wrap(sockets[0]), wrap(sockets[1])];
  const [session, agent] = await Promise.all([
    connectTunnel(link[0], {
      sessionId: "s1",
      privateKey,
      build: "test",
      handlers: { ...silent, ...sessionHandlers },
    }),
    acceptTunnel(link[1], {
      authorize: (_, isSignedBy) => isSignedBy(KEY),
      build: "test",
      sessionCount: () => 0,
      handlers: () => ({ ...silent, ...agentHandlers }),
    }),
  ]);
  t.after(() => session.close("the test is over"));
  return { session, agent, link };
}

const errnoOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: TunnelError) => error.errno,
  );

/** A Duplex that passes on one byte at a time. */
class Trickle extends Duplex {
  readonly #inner: Duplex;
  constructor(inner: Duplex) {
    super({ allowHalfOpen: true });
    this.#inner = inner;
    inner.on("data", (chunk: Buffer) => {
      for (const byte of chunk) this.push(Buffer.of(byte));
    });
    inner.on("end", () => this.push(null));
    inner.on("close", () => this.destroy());
  }
  override _read(): void {}
  override _write(chunk: Buffer, _: string, done: (error?: Error | null) => void): void {
    this.#inner.write(chunk, done);
  }
  override _final(done: () => void): void {
    this.#inner.end(done);
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#inner.destroy();
    done(error);
  }
}

for (const [how, wrap] of [
  ["over a socket", (stream: Duplex) => stream],
  ["one byte at a time", (stream: Duplex) => new Trickle(stream)],
] as const) {
  test(`a request is answered, and fails with the errno of the agent, ${how}`, async (t) => {
    const { session } = await join(
      t,
      {
        onRequest: async (method) => {
          if (method === "pause") return {};
          throw new TunnelFailure("EADDRINUSE", "held by another session");
        },
      },
      {},
      wrap,
    );
    assert.deepEqual(await session.call("pause", {}), {});
    await assert.rejects(session.call("incoming.steal", { port: 80 }), {
      errno: "EADDRINUSE",
      message: "held by another session",
    });
  });
}

test("what a handler did not mean to throw crosses as EIO", async (t) => {
  const { session } = await join(t, { onRequest: () => Promise.reject(new Error("oops")) });
  assert.equal(await errnoOf(session.call("pause", {})), "EIO");
});

test("a request without an answer ends at its deadline", async (t) => {
  const { session } = await join(t, { onRequest: () => new Promise(() => {}) });
  assert.equal(await errnoOf(session.call("pause", {}, { timeoutMs: 30 })), "ETIMEDOUT");
});

test("notices reach the session", async (t) => {
  let told: (detail: string) => void = () => {};
  const heard = new Promise<string>((resolve) => {
    told = resolve;
  });
  const onNotice = (notice: AgentNotice): void =>
    told(notice.kind === "target-gone" ? notice.detail : notice.kind);
  const { agent } = await join(t, {}, { onNotice });
  agent.notify({ kind: "target-gone", detail: "exit code 1" });
  assert.equal(await heard, "exit code 1");
});

/** Splices each stream of the agent to a real server, as the agent does. */
const toServer =
  (port: number): TunnelHandlers["onStream"] =>
  (channel: IncomingChannel) => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.once("connect", () => {
      channel.accept({ kind: "tcp", local: PEER, peer: PEER });
      splice(socket, channel);
    });
    socket.once("error", () => channel.reset("ECONNREFUSED"));
  };

/** A socket whose other end is spliced to a new stream of the session. */
async function dial(t: TestContext, session: Tunnel): Promise<Socket> {
  const [ours, theirs] = await socketPair(t);
  const channel = session.open(TCP);
  splice(theirs, channel);
  await channel.opened;
  return ours;
}

async function serve(t: TestContext, onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    t.after(() => socket.destroy());
    onConnection(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test("many streams carry megabytes both ways at once, unchanged", async (t) => {
  const port = await serve(t, (socket) => socket.pipe(socket));
  const { session } = await join(t, { onStream: toServer(port) });
  await Promise.all(
    Array.from({ length: 12 }, async (_, i) => {
      const socket = await dial(t, session);
      const sent = randomBytes(2 * 1024 * 1024 + i);
      const hash = createHash("sha256");
      socket.on("data", (chunk) => hash.update(chunk));
      socket.end(sent);
      await once(socket, "end");
      assert.equal(hash.digest("hex"), createHash("sha256").update(sent).digest("hex"));
    }),
  );
});

test("an answer that comes after the question has ended arrives whole (half-close)", async (t) => {
  const port = await serve(t, (socket) => {
    let question = "";
    socket.on("data", (chunk) => {
      question += String(chunk);
    });
    socket.on("end", () => socket.end(`you said ${question}`));
  });
  const { session } = await join(t, { onStream: toServer(port) });
  const socket = await dial(t, session);
  let answer = "";
  socket.on("data", (chunk) => {
    answer += String(chunk);
  });
  socket.end("hello");
  await once(socket, "end");
  assert.equal(answer, "you said hello");
});

test("a reset of the server is a reset for the client, and the other way round", async (t) => {
  let atServer: Socket | undefined;
  const port = await serve(t, (socket) => {
    atServer = socket;
    socket.on("data", (chunk) => {
      if (String(chunk) === "die") resetSocket(socket);
    });
  });
  const { session } = await join(t, { onStream: toServer(port) });
  const first = await dial(t, session);
  const firstSees = new Promise((resolve) =>
    first.on("error", (error: NodeJS.ErrnoException) => resolve(error.code)),
  );
  first.write("die");
  assert.equal(await firstSees, "ECONNRESET");

  const second = await dial(t, session);
  while (!atServer || atServer.destroyed) await new Promise((r) => setImmediate(r));
  second.write("hello");
  await once(atServer, "data");
  const serverSees = new Promise((resolve) =>
    atServer?.on("error", (error: NodeJS.ErrnoException) => resolve(error.code)),
  );
  resetSocket(second);
  assert.equal(await serverSees, "ECONNRESET");
});

test("a reader that stalls holds back its writer, and no other stream", async (t) => {
  let isStalled = true;
  const port = await serve(t, (socket) => {
    if (isStalled) socket.pause();
    else socket.pipe(socket);
    isStalled = false;
  });
  const { session } = await join(t, { onStream: toServer(port) });
  const stalled = await dial(t, session);
  let accepted = 0;
  const block = Buffer.alloc(1024 * 1024);
  const fill = (): void => {
    while (accepted < 200 && stalled.write(block)) accepted++;
    if (accepted < 200)
      stalled.once("drain", () => {
        accepted++;
        fill();
      });
  };
  fill();
  const other = await dial(t, session);
  other.write("ping");
  const [pong] = await once(other, "data");
  assert.equal(String(pong), "ping");
  assert.ok(accepted < 60, `${accepted} MiB were taken for a reader that reads nothing`);
});

test("a lost link resets every stream and every request", async (t) => {
  const { session, link } = await join(t, {
    onStream: (channel) => channel.accept({ kind: "tcp", local: PEER, peer: PEER }),
    onRequest: () => new Promise(() => {}),
  });
  const channel = session.open(TCP);
  await channel.opened;
  const reset = new Promise((resolve) => {
    channel.onReset = resolve;
  });
  const call = errnoOf(session.call("pause", {}));
  link[1].destroy();
  assert.equal(await reset, "ECONNRESET");
  assert.equal(await call, "ECONNRESET");
  assert.equal((await session.closed).clean, false);
  assert.throws(() => session.open(TCP), TunnelFailure);
});

test("an end that was announced is clean, and says why", async (t) => {
  const { session, agent } = await join(t);
  agent.close("the target is gone");
  assert.deepEqual(await session.closed, { clean: true, why: "the target is gone" });
});

test("the round trip is measured", async (t) => {
  const { session } = await join(t);
  while (session.rttMs() === undefined) await new Promise((r) => setImmediate(r));
  assert.ok((session.rttMs() ?? -1) >= 0);
});

// ---- who speaks

const connectOptions = { sessionId: "s1", privateKey, build: "test", handlers: silent };
const acceptOptions = { build: "test", sessionCount: () => 3, handlers: () => silent };

test("a session with another key is refused, and is told so", async (t) => {
  const [left, right] = await socketPair(t);
  const other = generateKeyPairSync("ed25519");
  const accepted = errnoOf(
    acceptTunnel(right, { ...acceptOptions, authorize: (_, isSignedBy) => isSignedBy(KEY) }),
  );
  await assert.rejects(
    connectTunnel(left, { ...connectOptions, privateKey: other.privateKey }),
    (error: TunnelError) => {
      assert.equal(error.errno, "EACCES");
      assert.match(error.message, /key is not the one/);
      return true;
    },
  );
  assert.equal(await accepted, "EACCES");
});

test("a greeting that was signed for another connection is worth nothing", async (t) => {
  const hellos: Buffer[] = [];
  const [left, right] = await socketPair(t);
  const write = left.write.bind(left);
  left.write = (chunk: Uint8Array) => {
    hellos.push(Buffer.from(chunk));
    return write(chunk);
  };
  const first = acceptTunnel(right, {
    ...acceptOptions,
    authorize: (_, isSignedBy) => isSignedBy(KEY),
  });
  const session = await connectTunnel(left, connectOptions);
  await first;
  session.close("recorded");
  const [again, agent] = await socketPair(t);
  const accepted = errnoOf(
    acceptTunnel(agent, { ...acceptOptions, authorize: (_, isSignedBy) => isSignedBy(KEY) }),
  );
  again.write(Buffer.concat(hellos));
  assert.equal(await accepted, "EACCES");
});

for (const [what, bytes] of [
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n")],
  ["a TLS greeting", Buffer.from([0x16, 3, 1, 2, 0, 1])],
  ["a frame that is no greeting", Buffer.from([4, 0, 0, 1, 0, 0, 0, 1, 65])],
  ["a greeting that is too long", Buffer.from([1, 0xff, 0xff, 0xff, 0, 0, 0, 0])],
  ["a greeting that is no JSON", Buffer.from([1, 0, 0, 1, 0, 0, 0, 0, 65])],
] as const) {
  test(`${what} ends the connection at once, at either end`, async (t) => {
    const [left, agent] = await socketPair(t);
    const accepted = errnoOf(
      acceptTunnel(agent, { ...acceptOptions, authorize: (_, isSignedBy) => isSignedBy(KEY) }),
    );
    left.write(bytes);
    assert.match(await accepted, /EPROTO/);
    const [right, session] = await socketPair(t);
    const connected = errnoOf(connectTunnel(session, connectOptions));
    right.write(bytes);
    assert.match(await connected, /EPROTO/);
  });
}

test("an agent tells whoever looks how many sessions it has, and nobody becomes one by looking", async (t) => {
  const [left, right] = await socketPair(t);
  const accepted = errnoOf(
    acceptTunnel(right, { ...acceptOptions, authorize: (_, isSignedBy) => isSignedBy(KEY) }),
  );
  assert.equal((await peekAgent(left)).sessions, 3);
  assert.equal(await accepted, "ECONNRESET");
});

test("who looks at something else is told that it is no agent", async (t) => {
  const [left, right] = await socketPair(t);
  right.write("HTTP/1.1 400 Bad Request\r\n\r\n");
  assert.equal(await errnoOf(peekAgent(left)), "EPROTO");
});

test("an agent of another protocol is named with both versions", async (t) => {
  const [left, right] = await socketPair(t);
  const hello = {
    role: "agent",
    versions: [7, 9],
    build: "9.1.0",
    nonce: randomBytes(32).toString("base64"),
    features: [],
    sessions: 0,
  };
  const payload = Buffer.from(JSON.stringify(hello));
  right.write(Buffer.concat([Buffer.from([1, 0, 0, payload.length, 0, 0, 0, 0]), payload]));
  await assert.rejects(connectTunnel(left, connectOptions), (error: TunnelError) => {
    assert.equal(error.errno, "EPROTONOSUPPORT");
    assert.match(error.message, /9\.1\.0.*7 to 9.*speaks 1/);
    return true;
  });
});

test("garbage in mid-session ends the tunnel for both, and nothing hangs", async (t) => {
  const { session, agent, link } = await join(t, { onRequest: () => new Promise(() => {}) });
  const call = errnoOf(session.call("pause", {}));
  // Not by chance the beginning of a frame that is still to come.
  link[1].write(Buffer.concat([Buffer.of(0x7f, 0xff, 0xff, 0xff), randomBytes(4092)]));
  assert.equal(await call, "ECONNRESET");
  assert.match((await session.closed).why, /broke the protocol/);
  await agent.closed;
});

test("the agent learns who the session says it is", async (t) => {
  const { agent } = await join(t);
  assert.equal((agent.peer as SessionHello).sessionId, "s1");
});

test("a reset is not announced by a clean end", async (t) => {
  for (let round = 0; round < 20; round++) {
    const [left, right] = await socketPair(t);
    let hasEnded = false;
    right.on("end", () => {
      hasEnded = true;
    });
    const seen = new Promise((resolve) =>
      right.on("error", (error: NodeJS.ErrnoException) => resolve(error.code)),
    );
    left.write("data");
    // libuv itself reads data with a reset right behind it as an end (uv__stream_io), so let it read first.
    await once(right, "data");
    resetSocket(left);
    assert.equal(await seen, "ECONNRESET");
    assert.equal(hasEnded, false);
  }
});

/** What a socket that is not closed keeps, whatever Node's own objects say of it. */
const openSockets = (): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      return false; // that of readdir itself
    }
  }).length;

/** Else they would wait for ever. */
const WITHIN = { timeout: 20_000 };

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.once("close", () => resolve());
  });

test("a reset in the turn of an end, or of a connect, closes the socket too", WITHIN, async (t) => {
  const before = openSockets();
  const [left, right] = await socketPair(t);
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const early = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1" });
  early.on("error", () => {});

  left.end();
  const all = [left, early].map((socket) => {
    resetSocket(socket);
    return closed(socket);
  });
  await Promise.all(all);
  // The FIN or the RST, whichever it sees first.
  right.once("end", () => right.write("nobody reads")).resume();
  await closed(right);
  await new Promise((resolve) => server.close(resolve));
  assert.equal(openSockets(), before);
});

test("an end that waits behind bytes nobody reads is not told before the reset", async (t) => {
  const [left, right] = await socketPair(t);
  let hasEnded = false;
  right.on("end", () => {
    hasEnded = true;
  });
  while (left.write(Buffer.alloc(1024 * 1024))) await new Promise((r) => setImmediate(r));
  left.end();
  resetSocket(left);
  right.resume();
  await Promise.all([closed(left), closed(right)]);
  assert.equal(hasEnded, false);
});

test("a reset in the turn of an end closes a socket below TLS, too", WITHIN, async (t) => {
  const before = openSockets();
  const [left, right] = await socketPair(t);
  const [psk, ciphers] = [Buffer.alloc(16, 1), "PSK"]; // keys instead of certificates
  const [inside, tls] = [
    new TLSSocket(right, { isServer: true, pskCallback: () => psk, ciphers } as TLSSocketOptions),
    connectTls({
      ...{ socket: left, ciphers, checkServerIdentity: () => undefined },
      pskCallback: () => ({ psk, identity: "a" }),
    }),
  ];
  for (const each of [inside, tls]) each.on("error", () => {});
  await once(tls, "secureConnect");
  tls.end();
  resetSocket(left, tls);
  await closed(left);
  right.destroy();
  await closed(right);
  assert.equal(openSockets(), before);
});

test("an answer of the wrong shape fails its request, and ends the tunnel for both", async (t) => {
  const { session, agent } = await join(t, { onRequest: async () => ({ hostname: 7 }) });
  assert.equal(await errnoOf(session.call("describe", {})), "EPROTO");
  assert.match((await session.closed).why, /broke the protocol/);
  const told = await agent.closed;
  assert.equal(told.clean, false);
  assert.match(told.why, /broke the protocol/);
});

test("an answer that is too long for a frame fails with EMSGSIZE, and the tunnel lives on", async (t) => {
  const { session } = await join(t, {
    onRequest: async (method) => (method === "pause" ? {} : { hostname: "x".repeat(9_000_000) }),
  });
  assert.equal(await errnoOf(session.call("describe", {})), "EMSGSIZE");
  assert.deepEqual(await session.call("pause", {}), {});
});

test("what was written before close() still arrives", async (t) => {
  let received = 0;
  const { session, agent } = await join(t, {
    onStream: (channel) => {
      channel.accept({ kind: "tcp", local: PEER, peer: PEER });
      channel.onData = (bytes) => {
        received += bytes.length;
      };
    },
  });
  const channel = session.open(TCP);
  await channel.opened;
  channel.write(randomBytes(200 * 1024));
  session.close("done");
  assert.deepEqual(await agent.closed, { clean: true, why: "done" });
  assert.equal(received, 200 * 1024);
});

test("what the tunnel has read at once is one write of the socket, though frames cut it", async (t) => {
  const [near, far] = await socketPair(t);
  const writes: number[] = [];
  const { _write: write, _writev: writev } = near;
  near._write = (...given) => {
    writes.push(given[0].length);
    write.apply(near, given);
  };
  near._writev = (chunks, done) => {
    writes.push(chunks.reduce((sum, { chunk }) => sum + chunk.length, 0));
    writev?.call(near, chunks, done);
  };
  let consumed = 0;
  const channel = {
    id: 1,
    header: TCP,
    queuedBytes: 0,
    write: () => true,
    end: () => {},
    reset: () => {},
    consumed: (bytes: number) => {
      consumed += bytes;
    },
    datagram: () => true,
  } as unknown as IncomingChannel;
  splice(near, channel);
  const parts = [952, 32_768, 31_816];
  for (let turn = 0; turn < 3; turn++) {
    for (const length of parts) channel.onData?.(new Uint8Array(length));
    await new Promise(setImmediate);
  }
  channel.onEnd?.();
  let got = 0;
  for await (const bytes of far) got += bytes.length;
  assert.equal(got, 3 * 65_536, "and the end comes behind it");
  assert.deepEqual(writes, [65_536, 65_536, 65_536]);
  assert.equal(consumed, 3 * 65_536);
});
