import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { Duplex } from "node:stream";
import { type TestContext, test } from "node:test";
import type { AgentNotice } from "@inpod/protocol";
import type { IncomingChannel, Tunnel, TunnelHandlers } from "../src/index.ts";
import { resetSocket, splice, TunnelFailure } from "../src/index.ts";
import { errnoOf, join, socketPair } from "./support.ts";

const TCP = { kind: "tcp", host: "198.18.0.1", port: 80 } as const;
const PEER = { address: "198.18.0.1", port: 80 };

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

test("garbage in mid-session ends the tunnel for both, and nothing hangs", async (t) => {
  const { session, agent, link } = await join(t, { onRequest: () => new Promise(() => {}) });
  const call = errnoOf(session.call("pause", {}));
  // Not by chance the beginning of a frame that is still to come.
  link[1].write(Buffer.concat([Buffer.of(0x7f, 0xff, 0xff, 0xff), randomBytes(4092)]));
  assert.equal(await call, "ECONNRESET");
  assert.match((await session.closed).why, /broke the protocol/);
  await agent.closed;
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
