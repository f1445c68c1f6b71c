/** Who has been redirected to a relay before its rule went is served before the relay ends, though nobody has accepted him yet. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { allEnded } from "../src/incoming/draining.ts";
import { Relay } from "../src/incoming/relay.ts";
import { isInTable, isSomebodyComing } from "../src/incoming/still-coming.ts";

const HEAD =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
/** Port 8081 is 1F91. */
const row = (state: string, queues: string, port = "1F91"): string =>
  `${HEAD}   0: 0107A8C0:${port} 0907A8C0:C001 ${state} ${queues} 00:00000000 00000000     0        0 1 1 0\n`;

test("of the kernel's table count a handshake, a connection that nobody has accepted or ended, and bytes on their way", () => {
  const NOTHING = "00000000:00000000";
  const [listen, established, synRecv, finWait1, timeWait, closeWait] = [
    ...["0A", "01", "03", "04", "06", "08"],
  ] as [string, string, string, string, string, string];
  const counts = (text: string): boolean => isInTable(text, [80, 8081]);
  for (const state of [established, synRecv, closeWait]) assert.ok(counts(row(state, NOTHING)));
  for (const state of [listen, finWait1, timeWait]) assert.ok(!counts(row(state, NOTHING)), state);
  assert.ok(counts(row(finWait1, "00000001:00000000")), "not all acknowledged");
  assert.ok(counts(row(listen, "00000000:00000001")), "waits to be accepted");
  assert.ok(!counts(row(established, NOTHING, "1F92")), "another port's");
  assert.ok(
    counts(
      `${HEAD}   0: 00000000000000000000000001000000:0050 00000000000000000000000001000000:C001 03 ${NOTHING} `,
    ),
    "IPv6",
  );
  for (const text of ["", HEAD, `${HEAD}\n nonsense`]) assert.ok(!counts(text));
});

const CLIENT = `const { workerData: { port, shared } } = require("node:worker_threads");
  const socket = require("node:net").connect(port, "127.0.0.1", () => {
    socket.write("?");
    Atomics.store(new Int32Array(shared), 0, 1); Atomics.notify(new Int32Array(shared), 0);
  });
  socket.on("data", (bytes) => require("node:worker_threads").parentPort.postMessage(String(bytes)));
  socket.on("error", (error) => require("node:worker_threads").parentPort.postMessage(error.code));`;

test("who waits to be accepted when all are waited for has his answer first", async () => {
  const relay = await Relay.open({
    onConnection: (socket) => {
      socket.once("data", (bytes) => socket.end(`${bytes}!`));
      socket.resume();
    },
    onIdle: () => {},
  });
  const shared = new SharedArrayBuffer(4);
  const worker = new Worker(CLIENT, { eval: true, workerData: { port: relay.port, shared } });
  const answer = once(worker, "message");
  // Nothing is accepted here meanwhile.
  assert.notEqual(Atomics.wait(new Int32Array(shared), 0, 0, 20_000), "timed-out");
  assert.deepEqual([...relay.connections], []);
  const ended = allEnded([relay], 20_000).then(() => relay.close());
  assert.deepEqual(await answer, ["?!"]);
  await ended;
  await worker.terminate();
});

test("a client that has not read all of his answer keeps the relay, too", async (t) => {
  let accepted: () => void = () => {};
  const isAccepted = new Promise<void>((resolve) => {
    accepted = resolve;
  });
  const relay = await Relay.open({
    onConnection: (socket) => {
      socket.end(Buffer.alloc(16 * 1024 * 1024));
      accepted();
    },
    onIdle: () => {},
  });
  t.after(() => relay.close());
  const client = connect(relay.port, "127.0.0.1");
  client.pause();
  await isAccepted;
  assert.equal(await isSomebodyComing([relay.port]), true);
  const ended = allEnded([relay], 20_000);
  client.resume();
  await once(client, "end");
  await ended;
  client.destroy();
  assert.equal(await isSomebodyComing([relay.port]), false);
});
