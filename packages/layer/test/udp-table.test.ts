import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { parseUdpTable, udpPorts } from "../src/outgoing/udp-table.ts";

test("the ports of both tables are read, and headings and half lines are none", () => {
  const { bound, peers } = parseUdpTable(`   sl  local_address rem_address   st tx_queue rx_queue
  466: 0100007F:14B4 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
   12: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000
   13: 0100007F:14B5`);
  assert.deepEqual([...bound], [0x14b4, 0x35]);
  assert.deepEqual([...peers], [0x9c40, 0]);
});

test("a socket's own port and its peer's are in the table until it is closed", async () => {
  const peer = createSocket("udp4").bind(0, "127.0.0.1");
  await once(peer, "listening");
  const socket = createSocket("udp4");
  socket.connect(peer.address().port, "127.0.0.1");
  await once(socket, "connect");
  const { port } = socket.address();
  const open = await udpPorts();
  assert.ok(open?.bound.has(port) && open.peers.has(peer.address().port));
  socket.close();
  await once(socket, "close");
  const closed = await udpPorts();
  assert.ok(!closed?.peers.has(peer.address().port));
  peer.close();
});
