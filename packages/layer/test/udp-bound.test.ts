import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { boundUdpPorts, portsIn } from "../src/incoming/udp-bound.ts";

const TABLE = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  277: 00000000:14B4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 14141 2 0000000000000000 0
16312: 0100007F:0035 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 14142 2 0000000000000000 0
  312: 00000000000000000000000000000000:14B6 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 0
`;

test("the ports of a table of UDP sockets are those of their own ends", () => {
  assert.deepEqual([...portsIn(TABLE)], [0x14b4, 53, 0x14b6]);
  assert.deepEqual([...portsIn("")], []);
});

for (const [type, address] of [
  ["udp4", "127.0.0.1"],
  ["udp6", "::1"],
] as const) {
  test(`a socket on ${address} is bound until it is closed`, async () => {
    const socket = createSocket(type);
    socket.bind(0, address);
    await once(socket, "listening");
    const { port } = socket.address();
    assert.ok((await boundUdpPorts())?.has(port));
    socket.close();
    await once(socket, "close");
    assert.ok(!(await boundUdpPorts())?.has(port));
  });
}
