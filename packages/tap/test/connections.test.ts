import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, Socket } from "node:net";
import { after, before, test } from "node:test";
import { decodeAddress, encodeAddress } from "../src/index.ts";
import { letGo, run, script, tap } from "./support.ts";

const POD = "198.18.200.2";
const PEER = "198.18.200.10";

/** Plays the relay: greets whoever connects, from a true peer that is elsewhere. */
const relay = createServer((socket) => socket.end("hello from afar\n"));
let relayPort = 0;
before(async () => {
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  relayPort = (relay.address() as AddressInfo).port;
  tap.setRelayPort(relayPort);
});
after(() => {
  relay.close();
  tap.unref(); // its threads would keep this process alive
});

const CLIENT = `import socket, sys
s = socket.socket()
s.connect(('${PEER}', 80))
print(s.getpeername(), s.getsockname())
print(s.recv(100).decode().strip())
`;

test("a blocking connect is relayed, and names tell where it seems to be", async () => {
  const ran = await run(["python3", script("client.py", CLIENT)], (event) => {
    if (event.kind !== "connect") return letGo(event);
    assert.equal(decodeAddress(event.address)?.address, PEER);
    assert.equal(event.isNonBlocking, false);
    tap.replyRelayed(event.token, relayPort, encodeAddress(POD, 40000), encodeAddress(PEER, 80));
  });
  assert.equal(ran.stdout, `('${PEER}', 80) ('${POD}', 40000)\nhello from afar\n`);
});

test("a refused connect fails with the errno we answer", async () => {
  const ran = await run(["python3", script("client.py", CLIENT)], (event) => {
    if (event.kind === "connect") tap.reply(event.token, 0, 113);
    else letGo(event);
  });
  assert.match(ran.stderr, /No route to host/);
});

test("a blocking connect whose socket is in progress waits for the verdict, and gets it as its result", async () => {
  const source = `${CLIENT}
print(s.connect_ex(('${PEER}', 80)), s.getblocking())
r = socket.socket()
print(r.connect_ex(('${PEER}', 81)), r.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
`;
  const ran = await run(["python3", script("held.py", source)], (event) => {
    if (event.kind !== "connect") return letGo(event);
    assert.deepEqual([event.isNonBlocking, event.canBePending], [false, true]);
    const port = tap.startPending(event.token);
    setTimeout(() => {
      if (decodeAddress(event.address)?.port === 81) return tap.failPending(event, port, 113);
      tap.setName("outgoing", port, encodeAddress(POD, 40000), encodeAddress(PEER, 80));
      const { fd } = tap.completePending(event, port);
      new Socket({ fd, writable: true }).end("hello at last\n");
    }, 50);
  });
  const lines = [`('${PEER}', 80) ('${POD}', 40000)`, "hello at last", "106 True", "113 0", ""];
  assert.equal(ran.stdout, lines.join("\n"), ran.stderr);
});

test("a socket that its program has disconnected connects again, blocking or not", async () => {
  const source = `import ctypes, select, socket
libc = ctypes.CDLL(None)
s = socket.socket()
for blocking in (True, False, True):
  s.setblocking(blocking)
  print(s.connect_ex(('${PEER}', 80)), flush=True)
  select.select([], [s], [])
  print(s.getpeername())
  print(libc.connect(s.fileno(), bytes(16), 16)) # AF_UNSPEC
`;
  let connects = 0;
  const ran = await run(["python3", script("again.py", source)], (event) => {
    if (event.kind !== "connect") return letGo(event);
    connects++;
    const port = tap.startPending(event.token);
    tap.setName("outgoing", port, encodeAddress(POD, 40000), encodeAddress(PEER, 80));
    new Socket({ fd: tap.completePending(event, port).fd, readable: false }).on("error", () => {});
  });
  const once = (result: number): string => `${result}\n('${PEER}', 80)\n0\n`;
  assert.equal(ran.stdout, once(0) + once(115) + once(0), ran.stderr);
  assert.equal(connects, 3);
});

test("signals that restart a connect in progress do not start another", async () => {
  const source = `import signal, socket
signal.signal(signal.SIGALRM, lambda *a: None)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
s = socket.socket()
s.connect(('${PEER}', 80))
signal.setitimer(signal.ITIMER_REAL, 0)
print(s.recv(100).decode().strip())
`;
  let operations = 0;
  const ran = await run(["python3", script("timer.py", source)], (event) => {
    if (event.kind !== "connect") return letGo(event);
    operations++;
    const port = tap.startPending(event.token);
    setTimeout(() => {
      const { fd } = tap.completePending(event, port);
      new Socket({ fd, writable: true }).end("hello at last\n");
    }, 100);
  });
  assert.equal(ran.stdout, "hello at last\n", ran.stderr);
  assert.equal(operations, 1);
});

const NON_BLOCKING = `import select, socket
s = socket.socket()
s.setblocking(False)
print(s.connect_ex(('${PEER}', 80)))
p = select.poll(); p.register(s, select.POLLOUT)
print(len(p.poll(50)))
print(len(p.poll(5000)))
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
try:
  print(s.getpeername())
  s.setblocking(True)
  print(s.recv(100).decode().strip())
except OSError as e: print(e.errno)
`;

test("a non-blocking connect stays in progress until it is completed", async () => {
  assert.ok(tap.canConnectLater);
  const ran = await run(["python3", script("later.py", NON_BLOCKING)], (event) => {
    if (event.kind !== "connect") return letGo(event);
    const port = tap.startPending(event.token);
    assert.ok(port > 0);
    setTimeout(() => {
      tap.setName("outgoing", port, encodeAddress(POD, 40000), encodeAddress(PEER, 80));
      const { fd } = tap.completePending(event, port);
      new Socket({ fd, writable: true }).end("hello later\n");
    }, 150);
  });
  assert.equal(ran.stdout, `115\n0\n1\n0 0\n('${PEER}', 80)\nhello later\n`);
});

test("a non-blocking connect that fails wakes its poll, and SO_ERROR tells our errno once", async () => {
  const ran = await run(["python3", script("later.py", NON_BLOCKING)], (event) => {
    if (event.kind !== "connect") return letGo(event);
    const port = tap.startPending(event.token);
    setTimeout(() => tap.failPending(event, port, 113), 150);
  });
  assert.equal(ran.stdout, "115\n0\n1\n113 0\n107\n");
});

test("a call that signals interrupt again and again is one operation", async () => {
  const source = `import signal, socket
signal.signal(signal.SIGALRM, lambda *a: None)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
s = socket.socket()
s.connect(('${PEER}', 80))
signal.setitimer(signal.ITIMER_REAL, 0)
print(s.recv(100).decode().strip())
`;
  let operations = 0;
  const ran = await run(["python3", script("timer.py", source)], (event) => {
    if (event.kind !== "connect") return letGo(event);
    operations++;
    setTimeout(
      () =>
        tap.replyRelayed(
          event.token,
          relayPort,
          encodeAddress(POD, 40000),
          encodeAddress(PEER, 80),
        ),
      100,
    );
  });
  assert.equal(ran.stdout, "hello from afar\n");
  assert.ok(operations <= 2, `${operations} operations`);
});

test("loopback stays native for a native port, and nscd is not there when it is hidden", async () => {
  tap.setNativePort(relayPort, true);
  tap.hideNscd(true);
  const source = `import socket
s = socket.create_connection(('127.0.0.1', ${relayPort}))
print(s.recv(100).decode().strip())
for path in ('/var/run/nscd/socket', '/run/inpod-no-such'):
  try: socket.socket(socket.AF_UNIX).connect(path)
  except OSError as e: print(e.errno)
`;
  const ran = await run(["python3", script("native.py", source)], (event) => {
    assert.notEqual(event.kind, "connect");
    letGo(event);
  });
  tap.setNativePort(relayPort, false);
  assert.equal(ran.stdout, "hello from afar\n2\n2\n");
});
