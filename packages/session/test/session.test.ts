import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import type { Duplex } from "node:stream";
import { type TestContext, test } from "node:test";
import type { SessionEvent } from "@inpod/protocol";
import type { Tunnel, TunnelError, TunnelHandlers } from "@inpod/tunnel";
import { acceptTunnel, TunnelFailure } from "@inpod/tunnel";
import { newSessionKey, type Session, startSession } from "../src/index.ts";

const PEER = { address: "198.18.0.1", port: 80 };
const DESCRIPTION = {
  hostname: "pod-x",
  addresses: ["198.18.0.2"],
  environment: [],
  uid: 0,
  gid: 0,
  missing: {},
};
const STAT = {
  ...{ mode: 0o100644, size: 1, ino: "1", dev: "1", nlink: 1, uid: 0, gid: 0, rdev: "0" },
  ...{ blksize: 4096, blocks: 8, atimeNs: "0", mtimeNs: "0", ctimeNs: "0" },
};

interface Lab {
  readonly session: Session;
  /** What the agent was asked, in order. */
  readonly asked: string[];
  readonly tunnels: Tunnel[];
  readonly sockets: Socket[];
  readonly server: Server;
  event<K extends SessionEvent["kind"]>(kind: K): Promise<Extract<SessionEvent, { kind: K }>>;
}

/** A session and, at the other end of real sockets, an agent that this test plays. */
async function lab(
  t: TestContext,
  options: { agentKey?: string; answer?: () => Promise<unknown> } = {},
): Promise<Lab> {
  const key = newSessionKey();
  const { agentKey = key.publicKey, answer = async () => ({}) } = options;
  const asked: string[] = [];
  const tunnels: Tunnel[] = [];
  const sockets: Socket[] = [];
  const events: SessionEvent[] = [];
  let wake: () => void = () => {};
  const handlers: TunnelHandlers = {
    onStream: (channel) => channel.accept({ kind: "tcp", local: PEER, peer: PEER }),
    onRequest: async (method, params) => {
      asked.push(`${method} ${JSON.stringify(params)}`);
      return method === "describe" ? DESCRIPTION : method.startsWith("file") ? answer() : {};
    },
  };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    sockets.push(socket);
    acceptTunnel(socket, {
      authorize: () => [agentKey],
      build: "test",
      handlers: () => handlers,
    }).then(
      (tunnel) => tunnels.push(tunnel),
      () => {},
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const dial = async (signal: AbortSignal): Promise<Duplex> => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("error", () => {});
    await once(socket, "connect", { signal });
    return socket;
  };
  const session = await startSession({
    ...{ key, dial, build: "test", graceMs: 3000, gone: new Promise<string>(() => {}) },
    signal: new AbortController().signal,
    onEvent: (event) => {
      events.push(event);
      wake();
    },
  });
  t.after(() => session.end());
  return {
    ...{ session, asked, tunnels, sockets, server },
    async event(kind) {
      for (;;) {
        const at = events.findIndex((event) => event.kind === kind);
        if (at >= 0) return events.splice(at, 1)[0] as never;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

const errnoOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: TunnelError) => error.errno,
  );

test("a session begins with what the agent knows of its target", async (t) => {
  const { session } = await lab(t);
  assert.equal(session.target.hostname, "pod-x");
});

test("a session whose key the agent does not know fails with EACCES and does not redial", async (t) => {
  const refused = lab(t, { agentKey: newSessionKey().publicKey });
  assert.equal(await errnoOf(refused), "EACCES");
});

test("a cut tunnel resets its streams, is redialled, and steals the same ports again", async (t) => {
  const { session, asked, sockets, event } = await lab(t);
  await session.steal(3000, () => {});
  await session.steal(3001, () => {});
  const { channel } = await session.connectTcp("198.18.0.1", 80);
  const reset = new Promise((resolve) => {
    channel.onReset = resolve;
  });
  channel.write(Buffer.alloc(1024 * 1024));
  asked.length = 0;
  sockets[0]?.destroy();
  assert.equal(await reset, "ECONNRESET");
  assert.deepEqual((await event("resumed")).ports, [3000, 3001]);
  assert.deepEqual(asked, ['incoming.steal {"port":3000}', 'incoming.steal {"port":3001}']);
});

test("a request made while the tunnel is redialled waits for it", async (t) => {
  const { session, sockets, event } = await lab(t, { answer: async () => STAT });
  sockets[0]?.destroy();
  await event("tunnel-lost");
  assert.deepEqual(await session.files.stat("/etc/hosts"), STAT);
});

test("a port released while the tunnel is lost is released after the redial, and not stolen", async (t) => {
  const { session, asked, sockets, event } = await lab(t);
  const stolen = await session.steal(3000, () => {});
  asked.length = 0;
  sockets[0]?.destroy();
  await event("tunnel-lost");
  await stolen.release();
  await event("resumed");
  assert.deepEqual(asked, ['incoming.release {"port":3000}']);
});

test("equal questions are asked once, and their answers kept, also that there is no such file", async (t) => {
  const { session, asked } = await lab(t, {
    answer: () => Promise.reject(new TunnelFailure("ENOENT", "no such file")),
  });
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => errnoOf(session.files.stat("/no/such"))),
  );
  assert.deepEqual(new Set(answers), new Set(["ENOENT"]));
  assert.equal(await errnoOf(session.files.stat("/no/such")), "ENOENT");
  assert.equal(asked.filter((line) => line.startsWith("file.stat")).length, 1);
});

test("end() tells the agent, and nothing is redialled", async (t) => {
  const { session, asked, tunnels } = await lab(t);
  await session.end();
  assert.equal(asked.at(-1), "end {}");
  assert.equal((await tunnels[0]?.closed)?.clean, true);
  assert.equal(tunnels.length, 1);
});

test("an agent that does not come back within the grace is given up with the reason", async (t) => {
  const { session, sockets, server } = await lab(t);
  server.close();
  sockets[0]?.destroy();
  assert.match(await session.lost, /ECONNREFUSED/);
});
