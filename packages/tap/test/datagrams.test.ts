import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import { encodeAddress } from "../src/index.ts";
import { letGo, run, script, tap } from "./support.ts";

const POD = "198.18.200.2";
const PEER = "198.18.200.10";

after(() => tap.unref()); // its threads would keep this process alive

test("datagrams go to the socket that stands for the peer, and come back from the peer", async () => {
  const { createSocket } = await import("node:dgram");
  const peer = createSocket("udp4");
  peer.bind(0, "127.0.0.1");
  await once(peer, "listening");
  peer.on("message", (message, from) => peer.send(`re: ${message}`, from.port, from.address));
  const { port } = peer.address();
  const forget = tap.setName("datagram", port, encodeAddress(POD, 5000), encodeAddress(PEER, 53));
  const source = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b'one', ('${PEER}', 53))
print(s.recvfrom(100))
s.settimeout(0.05)
try: s.recvfrom(100)
except TimeoutError: print('timeout')
c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
c.connect(('${PEER}', 53))
print(c.getpeername(), c.getsockname())
c.send(b'two')
print(c.recvfrom(100))
`;
  const ran = await run(["python3", script("datagrams.py", source)], (event) => {
    if (event.kind === "sendto") tap.replySentTo(event.token, port);
    else if (event.kind === "connect") tap.replyConnectedDatagram(event.token, port);
    else letGo(event);
  });
  peer.close();
  forget();
  assert.equal(
    ran.stdout,
    `(b're: one', ('${PEER}', 53))\ntimeout\n('${PEER}', 53) ('${POD}', 5000)\n(b're: two', ('${PEER}', 53))\n`,
    ran.stderr,
  );
});
