import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import { decodeAddress, encodeAddress } from "../src/index.ts";
import { letGo, run, script, tap } from "./support.ts";

const POD = "198.18.200.2";
const PEER = "198.18.200.10";

after(() => tap.unref()); // its threads would keep this process alive

test("to whom of this machine datagrams go is asked once a second, but of a socket that has a port of the pod", async () => {
  const source = `import socket, time
def new():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
    return s
here, other, pods = new(), new(), new()
here.bind(('127.0.0.1', 0)); other.bind(('127.0.0.1', 0)); pods.bind(('0.0.0.0', 5000))
def send(s, to):
    s.sendto(b'x', to.getsockname()); return to.recv(1).decode()
print(*[send(new(), here) for _ in range(50)], sep='')
new().sendmsg([b'x'], [], 0, here.getsockname()); here.recv(1)
send(new(), other)
for _ in range(3): send(pods, here)
time.sleep(1.1)
send(new(), here)
print(here.getsockname()[1], other.getsockname()[1])
`;
  const asked: number[] = [];
  const ran = await run(["python3", script("here.py", source)], (event) => {
    if (event.kind === "sendto") {
      asked.push(decodeAddress(event.address)?.port ?? 0);
      tap.continueHere(event.token);
    } else if (event.kind === "bind" && decodeAddress(event.address)?.port === 5000) {
      tap.bindSocket(event.token, 0);
      tap.replyBound(event.token, event.address);
    } else letGo(event);
  });
  const [all, ports = ""] = ran.stdout.split("\n");
  assert.equal(all, "x".repeat(50), ran.stderr);
  const [here, other] = ports.split(" ").map(Number);
  assert.deepEqual(asked, [here, other, here, here, here, here]);
});

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
