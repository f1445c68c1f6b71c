/** What a client has done in time counts, also when the process could not look. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { firstSign } from "../src/incoming/first-sign.ts";

const PATIENCE_MS = 50;
const CLIENT = `const { workerData: { port, says, shared } } = require("node:worker_threads");
  const told = new Int32Array(shared);
  const done = () => { Atomics.store(told, 0, 1); Atomics.notify(told, 0); };
  require("node:net").connect(port, "127.0.0.1", function () {
    Atomics.wait(told, 1, 0);
    if (says === "") this.end(done); else this.write(says, done);
  }).on("error", () => {}).resume();`;

/** The sign of a client that does one thing while this process stands still for longer than its patience. */
async function signOf(t: TestContext, says: string): Promise<string> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  t.after(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const shared = new SharedArrayBuffer(8);
  const told = new Int32Array(shared);
  const { port } = server.address() as { port: number };
  const worker = new Worker(CLIENT, { eval: true, workerData: { port, says, shared } });
  t.after(() => worker.terminate());
  const [socket] = (await once(server, "connection")) as [Socket];
  t.after(() => socket.destroy());
  const sign = new Promise<string>((resolve) => firstSign(socket, PATIENCE_MS, resolve));
  // The client begins when the patience has, and is heard of after it is over.
  Atomics.store(told, 1, 1);
  Atomics.notify(told, 1);
  assert.notEqual(Atomics.wait(told, 0, 0, 20_000), "timed-out");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * PATIENCE_MS);
  return sign;
}

test("a FIN that has come while the process stood still is no silence", async (t) => {
  assert.equal(await signOf(t, ""), "ended");
});

test("nor are bytes", async (t) => {
  assert.equal(await signOf(t, "GET"), "bytes");
});
