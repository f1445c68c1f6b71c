/** Both ends of a tunnel over a pair of sockets. */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import type { Tunnel, TunnelError, TunnelHandlers } from "../src/index.ts";
import { acceptTunnel, connectTunnel, rawFromPublicKey } from "../src/index.ts";

export const { privateKey, publicKey } = generateKeyPairSync("ed25519");
export const KEY = rawFromPublicKey(publicKey);

export async function socketPair(t: TestContext): Promise<[Socket, Socket]> {
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

export const silent: TunnelHandlers = { onStream: (channel) => channel.reset("ECONNREFUSED") };

export interface Ends {
  readonly session: Tunnel;
  readonly agent: Tunnel;
  readonly link: [Duplex, Duplex];
}

export async function join(
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

export const errnoOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: TunnelError) => error.errno,
  );
