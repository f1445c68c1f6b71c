/** What the tables decide: no event reaches TypeScript for it, and one call that hangs keeps no other from its answer. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, Socket } from "node:net";
import { after, test } from "node:test";
import { encodeAddress } from "../src/index.ts";
import { compile, letGo, run, script, start, tap } from "./support.ts";

const CONNECTIONS = 1000;
/** Of them abreast. */
const CLIENTS = 10;
const isRoot = process.getuid?.() === 0;

after(() => tap.unref()); // its threads would keep this process alive

// First, because after a tree has listened loopback is asked about.

/** Each answer is the client's own port: it was connected to whoever listens here. */
const CLIENT = `import socket, sys
for _ in range(${CONNECTIONS}):
  c = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
  assert c.makefile().read() == str(c.getsockname()[1])
  c.close()
print('connected')
`;

test(`${CONNECTIONS} connects that the table keeps here are no event, but while somebody wants to know`, async (t) => {
  const server = createServer((socket) => socket.end(String(socket.remotePort)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  tap.setDestinations([{ bytes: [127], prefixLength: 8, isLocal: true }]);
  t.after(() => tap.setDestinations([]));
  const port = String((server.address() as AddressInfo).port);
  const connects = async (): Promise<number> => {
    let events = 0;
    const ran = await run(["python3", script("client.py", CLIENT), port], (event) => {
      if (event.kind === "connect") events += 1;
      letGo(event);
    });
    assert.equal(ran.stdout, "connected\n", ran.stderr);
    return events;
  };
  assert.equal(await connects(), 0);
  tap.wantReports("news");
  t.after(() => tap.wantReports("nothing"));
  assert.equal(await connects(), CONNECTIONS);
});

/** Blocking and not: accept4 tells the peer, and both names are asked for. */
const SERVER = `import select, socket, sys
s = socket.socket()
s.bind(('0.0.0.0', 8080))
s.listen(100)
if sys.argv[1] == 'nonblocking': s.setblocking(False)
said = 0
while said < ${CONNECTIONS}:
  try: c, peer = s.accept()
  except BlockingIOError:
    select.select([s], [], [])
    continue
  assert c.getpeername() == peer, (c.getpeername(), peer)
  c.setblocking(True)
  c.sendall(str(peer[1]).encode())
  c.getsockname()
  c.close()
  said += 1
print('served', said)
`;

/** Connects and checks that the server knows who did. */
async function visit(port: number): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port });
  let said = "";
  socket.setEncoding("latin1").on("data", (text: string) => {
    said += text;
  });
  await once(socket, "connect");
  const mine = String(socket.localPort);
  await once(socket, "close");
  assert.equal(said, mine);
}

for (const mode of ["blocking", "nonblocking"]) {
  test(`${CONNECTIONS} accepts of a ${mode} listener, and their names, are no event`, async () => {
    let events = 0;
    let onListening: (port: number) => void = () => {};
    const listening = new Promise<number>((resolve) => {
      onListening = resolve;
    });
    let port = 0;
    const { done } = await start(["python3", script("accepts.py", SERVER), mode], (event) => {
      if (event.kind === "bind") {
        port = tap.bindSocket(event.token, 0);
        tap.replyBound(event.token, event.address);
      } else if (event.kind === "listen") {
        assert.equal(tap.listenSocket(event.token), 0);
        tap.reply(event.token, 0);
        onListening(port);
      } else {
        if (event.kind !== "program") events += 1;
        letGo(event);
      }
    });
    const real = await listening;
    const { received } = tap.statistics();
    const visits = Array.from({ length: CLIENTS }, async () => {
      for (let at = 0; at < CONNECTIONS / CLIENTS; at++) await visit(real);
    });
    await Promise.all(visits);
    const ran = await done;
    assert.equal(ran.stdout, `served ${CONNECTIONS}\n`, ran.stderr);
    assert.equal(events, 0);
    const seen = tap.statistics().received - received;
    assert.ok(seen >= 3 * CONNECTIONS, `only ${seen} calls were stopped: this test sees nothing`);
  });
}

/** Keeps all connections, and says of each at its arrival and at the end who both ends are; a line for each arrival. */
const KEEPER = `import socket
s = socket.socket()
s.bind(('0.0.0.0', 8080))
s.listen(100)
kept = []
for _ in range(4):
  c, peer = s.accept()
  assert c.getpeername() == peer, (c.getpeername(), peer)
  kept.append((c, peer, c.getsockname()))
  c.sendall(b'seen')
for c, peer, own in kept:
  assert (c.getpeername(), c.getsockname()) == (peer, own)
  print(*peer, *own)
`;

test("the pod's connections have the pod's names, and others beside and before them their own", async (t) => {
  let onListening: (port: number) => void = () => {};
  const listening = new Promise<number>((resolve) => {
    onListening = resolve;
  });
  let port = 0;
  const { done } = await start(["python3", script("keeper.py", KEEPER)], (event) => {
    if (event.kind === "bind") {
      port = tap.bindSocket(event.token, 0);
      tap.replyBound(event.token, event.address);
    } else if (event.kind === "listen") {
      tap.listenSocket(event.token);
      tap.reply(event.token, 0);
      onListening(port);
    } else letGo(event);
  });
  const real = await listening;
  const own = encodeAddress("198.18.200.2", 8080);
  const expected: string[] = [];
  for (const client of [undefined, "198.18.200.10", undefined, "198.18.200.11"]) {
    const socket = client
      ? new Socket({ fd: await tap.connectToUser(real, false, own, encodeAddress(client, 40000)) })
      : connect(real, "127.0.0.1");
    t.after(() => socket.destroy());
    await once(socket, "data");
    const mine = `127.0.0.1 ${socket.localPort} 127.0.0.1 ${real}`;
    expected.push(client ? `${client} 40000 198.18.200.2 8080` : mine);
    if (client) t.after(tap.nameAt("incoming", socket.localPort ?? 0, real));
  }
  const ran = await done;
  assert.equal(ran.stdout, `${expected.join("\n")}\n`, ran.stderr);
});

/** Threads that accept, each in its way; a client's words are who it is, and what accept says is compared with them. */
const ACCEPTORS = `import ctypes, select, socket, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
s = socket.socket()
s.bind(('0.0.0.0', 8080))
s.listen(200)
wrong, left, lock = [], [${(2 * CONNECTIONS) / CLIENTS}], threading.Lock()
if sys.argv[1] == 'nonblocking': s.setblocking(False)
def accept_unnamed():
  fd = libc.accept(s.fileno(), None, None)
  if fd < 0: raise BlockingIOError()
  c = socket.socket(fileno=fd)
  return c, c.getpeername()
def take(accept):
  while True:
    with lock:
      if left[0] <= 0: return
      left[0] -= 1
    while True:
      try: c, peer = accept()
      except BlockingIOError: select.select([s], [], [])
      else: break
    c.setblocking(True)
    said = c.makefile().readline().strip()
    if said != f'{peer[0]}:{peer[1]}' or c.getpeername() != peer: wrong.append((said, peer, c.getpeername()))
    c.sendall(b'seen')
    c.close()
ways = [s.accept] * int(sys.argv[2]) + [accept_unnamed] * int(sys.argv[3])
threads = [threading.Thread(target=take, args=[way]) for way in ways]
for t in threads: t.start()
for t in threads: t.join()
print('wrong', wrong)
`;

for (const [mode, threads, unnamed] of [
  ["blocking", 1, 0],
  ["nonblocking", 1, 0],
  ["blocking", 4, 0],
  ["nonblocking", 4, 0],
  ["blocking", 2, 2],
  ["nonblocking", 2, 2],
] as const) {
  const acceptors = `${threads} accept, ${unnamed} without a name`;
  test(`connections of the pod's and others at once: each has its own peer (${mode}, ${acceptors})`, async () => {
    let onListening: (port: number) => void = () => {};
    const listening = new Promise<number>((resolve) => {
      onListening = resolve;
    });
    let port = 0;
    const argv = [mode, String(threads), String(unnamed)];
    const { done } = await start(
      ["python3", script("acceptors.py", ACCEPTORS), ...argv],
      (event) => {
        if (event.kind === "bind") {
          port = tap.bindSocket(event.token, 0);
          tap.replyBound(event.token, event.address);
        } else if (event.kind === "listen") {
          tap.listenSocket(event.token);
          tap.reply(event.token, 0);
          onListening(port);
        } else letGo(event);
      },
    );
    const real = await listening;
    const own = encodeAddress("198.18.200.2", 8080);
    let number = 0;
    const visit = async (isOfPod: boolean): Promise<void> => {
      const client = encodeAddress("198.18.200.10", ++number);
      const who = `198.18.200.10:${number}\n`;
      const socket = isOfPod
        ? new Socket({ fd: await tap.connectToUser(real, false, own, client) })
        : connect(real, "127.0.0.1");
      if (!isOfPod) await once(socket, "connect");
      socket.write(isOfPod ? who : `127.0.0.1:${socket.localPort}\n`);
      const forget = isOfPod ? tap.nameAt("incoming", socket.localPort ?? 0, real) : () => {};
      await once(socket, "data");
      await once(socket.end(), "close");
      forget();
    };
    const visits = Array.from({ length: CLIENTS }, async (_, at) => {
      for (let i = 0; i < (2 * CONNECTIONS) / CLIENTS / CLIENTS; i++)
        await visit((at + i) % 2 === 0);
    });
    await Promise.all(visits);
    assert.equal((await done).stdout, "wrong []\n");
  });
}

const FLAGS = `import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
s = socket.socket()
s.bind(('0.0.0.0', 0))
s.listen(5)
s.setblocking(False)
c = socket.create_connection(('127.0.0.1', s.getsockname()[1]))
room = ctypes.create_string_buffer(128)
for flags in [1, 0, 0]:
  fd = libc.accept4(s.fileno(), room, ctypes.byref(ctypes.c_int(128)), flags)
  print('accepted' if fd >= 0 else errno.errorcode[ctypes.get_errno()])
`;

test("accept4 of flags that there are not is EINVAL, and of no connection EAGAIN", async () => {
  const ran = await run(["python3", script("flags.py", FLAGS)], (event) => {
    if (event.kind === "bind") {
      const port = tap.bindSocket(event.token, 0);
      tap.replyBound(event.token, encodeAddress("0.0.0.0", port));
    } else if (event.kind === "listen") {
      assert.equal(tap.listenSocket(event.token), 0);
      tap.reply(event.token, 0);
    } else letGo(event);
  });
  assert.equal(ran.stdout, "EINVAL\naccepted\nEAGAIN\n", ran.stderr);
});

test("who is tapped is not slowed as one that is confined", async () => {
  const argv = ["grep", "Speculation", "/proc/self/status"] as const;
  const ran = await run(argv);
  assert.equal(ran.stdout, execFileSync(argv[0], argv.slice(1), { encoding: "utf8" }));
});

/**
 * One thread opens a path whose page nobody has filled (userfaultfd), so that whoever reads it waits. When somebody does,
 * another thread makes calls that are stopped, too, and fills the page only when they are all answered.
 */
const STUCK = `
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *page;
static void *open_it(void *unused) {
  (void)unused;
  return (void *)(long)open(page, O_RDONLY);
}

int main(void) {
  struct uffdio_api api = {.api = UFFD_API};
  int faults = (int)syscall(__NR_userfaultfd, O_CLOEXEC);
  if (faults < 0 || ioctl(faults, UFFDIO_API, &api)) return puts("no userfaultfd"), 0;
  page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct uffdio_register all = {.range = {(unsigned long)page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  if (ioctl(faults, UFFDIO_REGISTER, &all)) return perror("register"), 1;
  pthread_t thread;
  pthread_create(&thread, NULL, open_it, NULL);
  struct uffd_msg fault;
  if (read(faults, &fault, sizeof fault) != sizeof fault) return perror("read"), 1;
  struct stat unused;
  for (int i = 0; i < 200; i++) stat("/", &unused);
  static char filled[4096] __attribute__((aligned(4096))) = "/dev/null";
  struct uffdio_copy copy = {.dst = (unsigned long)page, .src = (unsigned long)filled, .len = 4096};
  if (ioctl(faults, UFFDIO_COPY, &copy)) return perror("copy"), 1;
  void *opened;
  pthread_join(thread, &opened);
  puts((long)opened >= 0 ? "opened" : "not opened");
  return 0;
}
`;

test("a call that hangs while its memory is read keeps no other call waiting", {
  skip: isRoot ? false : "userfaultfd of the kernel's own faults needs root",
  timeout: 120_000,
}, async (t) => {
  const ran = await run([compile("stuck", STUCK, "-pthread")]);
  if (ran.stdout === "no userfaultfd\n") t.skip("this kernel has no userfaultfd");
  else assert.equal(ran.stdout, "opened\n", ran.stderr);
});
