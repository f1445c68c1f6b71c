/** resetSocket(): the other end hears of a reset and of nothing else, and no descriptor is left. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls, TLSSocket, type TLSSocketOptions } from "node:tls";
import { resetSocket } from "../src/index.ts";
import { socketPair } from "./support.ts";

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
const WITHIN = { timeout: 120_000 };

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
