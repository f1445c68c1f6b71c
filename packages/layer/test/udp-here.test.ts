import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { isOfTree, isTakenHere, socketsAt } from "../src/outgoing/udp-here.ts";

const row = (address: string, port: string, inode: number): string =>
  `  466: ${address}:${port} 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 2 0000 0`;
const word = (count: number): string => "0".repeat(8 * count);

test("a datagram to loopback is had by who is bound to the address, to all of them, or to both families", () => {
  const table = [
    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    row("0100007F", "14B4", 1),
    row("3500007F", "14B4", 2),
    row("00000000", "14B4", 3),
    row("0100007F", "14B5", 4),
    row(word(4), "14B4", 5),
    row(`${word(3)}01000000`, "14B4", 6),
    row(`${word(2)}FFFF00000100007F`, "14B4", 7),
  ].join("\n");
  assert.deepEqual(socketsAt(table, { address: "127.0.0.1", port: 0x14b4 }), ["1", "3", "5", "7"]);
  assert.deepEqual(socketsAt(table, { address: "127.0.0.53", port: 0x14b4 }), ["2", "3", "5"]);
  assert.deepEqual(socketsAt(table, { address: "::1", port: 0x14b4 }), ["5", "6"]);
});

test("a port is taken as long as its socket is open, and is the tree's if one of its processes has it", async () => {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const to = { address: "127.0.0.1", port: socket.address().port };
  assert.ok(await isTakenHere(to));
  assert.ok(await isOfTree(to, process.pid, "INPOD_SESSION=none"));
  assert.ok(!(await isOfTree(to, 1, "INPOD_SESSION=none")));
  socket.close();
  await once(socket, "close");
  assert.ok(!(await isTakenHere(to)));
});
