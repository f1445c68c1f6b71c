import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { after, test } from "node:test";
import { encodeAddress } from "../src/index.ts";
import { letGo, run, script, tap } from "./support.ts";

const POD = "198.18.200.2";

after(() => tap.unref()); // its threads would keep this process alive

/** Python tells the peer by accept4's address, as Go, Java and C servers do. */
const SERVER = `import socket, sys
s = socket.socket()
s.bind(('0.0.0.0', 8080))
s.listen(5)
print(s.getsockname(), flush=True)
c, peer = s.accept()
print(peer, c.getsockname(), c.getpeername(), flush=True)
print(c.recv(100).decode())
`;

test("a listener is elsewhere and does not know it; accept tells the true client", async () => {
  let port = 0;
  const ran = await run(["python3", script("server.py", SERVER)], (event) => {
    if (event.kind === "bind") {
      port = tap.bindSocket(event.token, 0);
      tap.replyBound(event.token, event.address);
    } else if (event.kind === "listen") {
      assert.equal(tap.listenSocket(event.token), 0);
      tap.reply(event.token, 0);
      setTimeout(async () => {
        const fd = await tap.connectToUser(
          port,
          false,
          encodeAddress(POD, 8080),
          encodeAddress("198.18.200.9", 44321),
        );
        assert.ok(fd > 0);
        new Socket({ fd, writable: true }).end("request");
      }, 50);
    } else letGo(event);
  });
  assert.equal(
    ran.stdout,
    `('0.0.0.0', 8080)\n('198.18.200.9', 44321) ('${POD}', 8080) ('198.18.200.9', 44321)\nrequest\n`,
    ran.stderr,
  );
});

test("a blocking accept can be interrupted, and times out by SO_RCVTIMEO", async () => {
  const source = `import signal, socket, struct
s = socket.socket()
s.bind(('0.0.0.0', 8080))
s.listen(5)
def handler(*a): raise InterruptedError
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.1)
try: s.accept()
except InterruptedError: print('interrupted')
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 0, 100000))
try: s.accept()
except OSError as e: print(e.errno)
`;
  const ran = await run(["python3", script("accept.py", source)], (event) => {
    if (event.kind === "bind") {
      tap.bindSocket(event.token, 0);
      tap.replyBound(event.token, event.address);
    } else if (event.kind === "listen") {
      tap.listenSocket(event.token);
      tap.reply(event.token, 0);
    } else letGo(event);
  });
  assert.equal(ran.stdout, "interrupted\n11\n", ran.stderr);
});

test("who listens is known at once, by kind, and not any more when it is closed", async (t) => {
  const hosts = { ipv4: "127.0.0.1", ipv6: "::1" };
  const servers = Object.entries(hosts).map(([kind, host]) => ({ kind, host, it: createServer() }));
  const others = Array.from({ length: 600 }, () => createServer());
  t.after(() => {
    for (const server of others) server.close();
  });
  for (const server of others) await once(server.listen(0, "127.0.0.1"), "listening");
  for (const { kind, host, it } of servers) {
    if (kind === "ipv6" && !networkInterfaces().lo?.some(({ address }) => address === host))
      continue;
    await once(it.listen(0, host), "listening");
    const { port } = it.address() as AddressInfo;
    const found = tap.listeningPorts();
    assert.deepEqual(
      [found?.ipv4.has(port), found?.ipv6.has(port)],
      [kind === "ipv4", kind === "ipv6"],
    );
    for (const other of others) {
      const { port: another } = other.address() as AddressInfo;
      assert.ok(found?.ipv4.has(another), "a list of several parts is whole");
    }
    it.close();
    await once(it, "close");
    const left = tap.listeningPorts();
    assert.ok(left && !left.ipv4.has(port) && !left.ipv6.has(port));
  }
});
