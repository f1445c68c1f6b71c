import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, Socket } from "node:net";
import { after, before, test } from "node:test";
import type { TapPathRule } from "../src/index.ts";
import { decodeAddress, encodeAddress } from "../src/index.ts";
import { compile, folder, letGo, run, script, start, tap } from "./support.ts";

const POD = "198.18.200.2";
const PEER = "198.18.200.10";
const rule = (text: string, verdict: TapPathRule["verdict"] = "ask"): TapPathRule => ({
  match: "exact",
  text,
  operations: 7,
  verdict,
});

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

test("a command under the tap keeps its output and its exit code", async () => {
  const ran = await run(["sh", "-c", "echo out; echo err >&2; exit 7"]);
  assert.deepEqual([ran.stdout, ran.stderr, ran.code], ["out\n", "err\n", 7]);
});

test("a command that ends by a signal is seen to end by it", async () => {
  const ran = await run(["sh", "-c", "kill -TERM $$"]);
  assert.equal(ran.signal, "SIGTERM");
});

test("a command that does not exist ends with 127, and nothing hangs", async () => {
  const ran = await run(["/nonexistent/program"]);
  assert.equal(ran.code, 127);
  assert.match(ran.stderr, /No such file/);
});

test("a file by rule is the content we give, with its mode and time", async () => {
  tap.setPathRules([rule("/etc/inpod-pod")]);
  const ran = await run(["sh", "-c", "cat /etc/inpod-pod; cat /etc/../etc/INPOD-pod"], (event) => {
    if (event.kind !== "path") return letGo(event);
    tap.replyFile(event.token, {
      name: event.path,
      content: Buffer.from(`${event.call} ${event.path}\n`),
      mode: 0o100640,
      mtimeNs: 1_700_000_000_123_456_789n,
    });
  });
  assert.equal(ran.stdout, "open /etc/inpod-pod\nopen /etc/INPOD-pod\n");
});

test("relative paths and descriptors of directories are resolved before the rules are asked", async () => {
  tap.setPathRules([rule("/etc/inpod-pod")]);
  const seen: string[] = [];
  const python = script(
    "relative.py",
    "import os\nfd = os.open('/etc', os.O_RDONLY)\nos.chdir('/usr')\n" +
      "for f in (lambda: os.stat('inpod-pod', dir_fd=fd), lambda: os.stat('../etc/./inpod-pod'), lambda: os.readlink('../etc/inpod-pod')):\n" +
      "  try: f()\n  except OSError as e: print(e.errno)\n",
  );
  const ran = await run(["python3", python], (event) => {
    if (event.kind !== "path") return letGo(event);
    seen.push(`${event.call} ${event.path}`);
    tap.reply(event.token, 0, 13);
  });
  assert.deepEqual(seen, ["stat /etc/inpod-pod", "stat /etc/inpod-pod", "readlink /etc/inpod-pod"]);
  assert.equal(ran.stdout, "13\n13\n13\n");
});

const STAT = {
  mode: 0o100640,
  size: 5_000_000_000n,
  ino: 42n,
  dev: 1n,
  nlink: 1,
  uid: 1234,
  gid: 5678,
  rdev: 0n,
  blksize: 4096,
  blocks: 8n,
  atimeNs: 1n,
  mtimeNs: 1_700_000_000_123_456_789n,
  ctimeNs: 1n,
};

test("stat tells what we answer, in the layout of each of its calls", async () => {
  tap.setPathRules([rule("/etc/inpod-pod")]);
  const source = `#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
  struct stat s; struct statx x;
  if (stat("/etc/inpod-pod", &s)) return 1;
  printf("%o %ld %lu %u %u %ld.%09ld\\n", s.st_mode, s.st_size, s.st_ino, s.st_uid, s.st_gid, s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  if (statx(AT_FDCWD, "/etc/inpod-pod", 0, STATX_BASIC_STATS, &x)) return 2;
  printf("%o %llu %llu %u %u %lld.%09u\\n", x.stx_mode, x.stx_size, x.stx_ino, x.stx_uid, x.stx_gid, (long long)x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec);
#ifdef SYS_lstat
  if (syscall(SYS_lstat, "/etc/inpod-pod", &s)) return 3;
  printf("%o %ld\\n", s.st_mode, s.st_size);
#endif
}`;
  const ran = await run([compile("stats", source)], (event) => {
    if (event.kind !== "path") return letGo(event);
    tap.replyStat(event.token, STAT);
  });
  const line = "100640 5000000000 42 1234 5678 1700000000.123456789\n";
  assert.ok(ran.stdout.startsWith(line + line), ran.stdout);
});

test("a path that a rule hides does not exist, without asking", async () => {
  tap.setPathRules([{ ...rule("/etc/passwd", "not-found") }]);
  const ran = await run(["cat", "/etc/passwd"], letGo);
  assert.match(ran.stderr, /No such file/);
});

test("a skipped program is left alone, and its children are judged anew", async () => {
  tap.setPathRules([rule("/etc/inpod-pod")]);
  tap.setSkips(["python3", "python3.11", "inpod-skipped"]);
  const outer = script(
    "skipped.py",
    "import subprocess\ntry: open('/etc/inpod-pod')\nexcept OSError as e: print(e.errno, flush=True)\nsubprocess.run(['cat', '/etc/inpod-pod'])\n",
  );
  // exec -a sets argv[0], by which a program can be skipped too.
  const ran = await run(["bash", "-c", `exec -a inpod-skipped python3 ${outer}`], (event) => {
    if (event.kind !== "path") return letGo(event);
    tap.replyFile(event.token, {
      name: "x",
      content: Buffer.from("tapped\n"),
      mode: 0o644,
      mtimeNs: 0n,
    });
  });
  tap.setSkips([]);
  assert.equal(ran.stdout, "2\ntapped\n");
});

test("the host name is the one we set, the rest of uname is the machine's", async () => {
  tap.setHostname("orders-7d4f");
  const ran = await run(["sh", "-c", "uname -n; uname -s"]);
  assert.equal(ran.stdout, "orders-7d4f\nLinux\n");
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
    const port = tap.replyPending(event.token);
    assert.ok(port > 0);
    setTimeout(() => {
      tap.setName("outgoing", port, encodeAddress(POD, 40000), encodeAddress(PEER, 80));
      const fd = tap.completePending(port, event.isIPv6Only);
      new Socket({ fd, writable: true }).end("hello later\n");
    }, 150);
  });
  assert.equal(ran.stdout, `115\n0\n1\n0 0\n('${PEER}', 80)\nhello later\n`);
});

test("a non-blocking connect that fails wakes its poll, and SO_ERROR tells our errno once", async () => {
  const ran = await run(["python3", script("later.py", NON_BLOCKING)], (event) => {
    if (event.kind !== "connect") return letGo(event);
    const port = tap.replyPending(event.token);
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
      setTimeout(() => {
        const fd = tap.connectToUser(
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

test("datagrams go to the socket that stands for the peer, and come back from the peer", async () => {
  const { createSocket } = await import("node:dgram");
  const peer = createSocket("udp4");
  peer.bind(0, "127.0.0.1");
  await once(peer, "listening");
  peer.on("message", (message, from) => peer.send(`re: ${message}`, from.port, from.address));
  const { port } = peer.address();
  tap.setName("datagram", port, encodeAddress(POD, 5000), encodeAddress(PEER, 53));
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
  tap.forgetName("datagram", port);
  assert.equal(
    ran.stdout,
    `(b're: one', ('${PEER}', 53))\ntimeout\n('${PEER}', 53) ('${POD}', 5000)\n(b're: two', ('${PEER}', 53))\n`,
    ran.stderr,
  );
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

test("io_uring cannot go past the tap", async () => {
  const source = `#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) { long r = syscall(SYS_io_uring_setup, 1, 0); printf("%ld %d\\n", r, errno); }`;
  const ran = await run([compile("ring", source)]);
  assert.equal(ran.stdout, "-1 38\n");
});

test("an unanswered call is answered by its deadline, and a thousand threads lose none", async () => {
  tap.setPathRules([rule("/etc/inpod-pod")]);
  const source = `#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static int opened;
static void *work(void *x) {
  for (int i = 0; i < 5; i++) {
    int fd = open("/etc/inpod-pod", O_RDONLY);
    if (fd >= 0) { __atomic_add_fetch(&opened, 1, __ATOMIC_SEQ_CST); close(fd); }
  }
  return x;
}
int main(void) {
  static pthread_t t[1000];
  pthread_attr_t a; pthread_attr_init(&a); pthread_attr_setstacksize(&a, 65536);
  for (int i = 0; i < 1000; i++) pthread_create(&t[i], &a, work, 0);
  for (int i = 0; i < 1000; i++) pthread_join(t[i], 0);
  printf("%d\\n", opened);
}`;
  const ran = await run([compile("threads", source, "-pthread")], (event) => {
    if (event.kind !== "path") return letGo(event);
    tap.replyFile(event.token, { name: "x", content: Buffer.from("x"), mode: 0o644, mtimeNs: 0n });
  });
  assert.equal(ran.stdout, "5000\n");
});

test("calls in quick succession with the same arguments are calls of their own", async () => {
  tap.setPathRules([{ ...rule("/etc/inpod-"), match: "prefix" }]);
  const source = `#include <stdio.h>
#include <sys/stat.h>
int main(void) {
  static char path[64];
  static struct stat s;
  int right = 0;
  for (int i = 0; i < 3000; i++) {
    snprintf(path, sizeof path, "/etc/inpod-%d", i);
    if (lstat(path, &s) == 0 && s.st_size == i) right++;
  }
  printf("%d\\n", right);
}`;
  const ran = await run([compile("succession", source)], (event) => {
    if (event.kind !== "path") return letGo(event);
    tap.replyStat(event.token, { ...STAT, size: BigInt(event.path.slice("/etc/inpod-".length)) });
  });
  assert.equal(ran.stdout, "3000\n");
});

test("random bytes for addresses and paths give an errno, never a crash of ours", async () => {
  tap.setPathRules([{ ...rule("/"), match: "prefix" }]);
  const source = `#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
  signal(SIGPIPE, SIG_IGN); /* sendto of an unconnected stream raises it */
  fcntl(0, F_SETFL, O_NONBLOCK); /* it is a socket: recvfrom would wait for ever */
  if (chdir(getenv("TMPDIR"))) return 1; /* sockets of random names come into being */
  srand(7);
  /* a page, and nothing mapped behind it */
  char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(page + 4096, 4096);
  long calls[] = {SYS_connect, SYS_bind, SYS_openat, SYS_statx, SYS_newfstatat, SYS_readlinkat, SYS_sendto, SYS_recvfrom, SYS_getsockname, SYS_getpeername, SYS_accept4, SYS_faccessat, SYS_openat2, SYS_getsockopt};
  int sockets[] = {socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), 98, 99, -1, AT_FDCWD};
  for (int i = 0; i < 3000; i++) {
    for (int j = 0; j < 64; j++) page[rand() % 4096] = (char)rand();
    uintptr_t at = (uintptr_t)page + (rand() % 3 ? 4096 - rand() % 130 : rand() % 4200);
    if (at + 2 <= (uintptr_t)page + 4096) *(uint16_t *)at = rand() % 2 ? 1 : rand() % 2 ? 0xffff : 12345;
    long length = rand() % 5 ? rand() % 140 : (long)rand() * rand();
    long nr = calls[rand() % (sizeof calls / sizeof *calls)];
    syscall(nr, sockets[rand() % 8], rand() % 9 ? at : (uintptr_t)rand(), length, rand() % 2 ? 0 : at, rand() % 2 ? at : 0, rand() % 140);
  }
  puts("alive");
}`;
  const ran = await run(
    [compile("fuzz", source, "-static")],
    (event) => {
      if (event.kind === "path") tap.reply(event.token, 0, 2);
      else if ("token" in event && event.kind !== "relayed") tap.reply(event.token, 0, 111);
    },
    { env: { TMPDIR: folder } },
  );
  tap.setPathRules([]);
  assert.equal(ran.stdout, "alive\n", `${ran.code} ${ran.signal} ${ran.stderr}`);
});

test("a program started inside the tap may use a plain seccomp filter of its own", async () => {
  const ran = await run([
    "setpriv",
    "--no-new-privs",
    "sh",
    "-c",
    "cat /proc/self/status | grep -c ^Seccomp",
  ]);
  assert.equal(ran.stdout, "2\n");
});

test("when we are killed the keeper ends the tree, and its calls never fail with ENOSYS", async () => {
  const holder = script(
    "holder.mts",
    `import { launch, Tap } from ${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)};
const tap = new Tap((event) => { if ("token" in event && event.kind !== "relayed") tap.continue(event.token); });
const tree = await launch(tap, { command: ["python3", process.argv[2]!, String(process.pid)], environment: { PATH: process.env.PATH!, INPOD_SESSION: process.argv[3]! }, groups: ["network", "files"], mark: "INPOD_SESSION=" + process.argv[3], onDeath: process.argv[3] as "stop" });
console.log(tree.child.pid);
`,
  );
  const child = script(
    "child.py",
    `import os, sys, time, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
end = time.time() + 10
parent = int(sys.argv[1])
open('${script("started", "")}', 'a').write('ok ')
while time.time() < end and os.getppid() == parent: time.sleep(0.01)
for i in range(100): os.stat('/etc/hosts')
open('${script("result", "")}', 'a').write('ok ')
time.sleep(30)
`,
  );
  const result = child.replace("child.py", "result");
  const started = child.replace("child.py", "started");
  let rounds = 0;
  const alive = (pid: number) => {
    try {
      return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
    } catch {
      return false;
    }
  };
  for (const mode of ["stop", "continue"] as const) {
    const us = spawn(process.execPath, ["--import", "tsx", holder, child, mode], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(us.stdout, "data");
    const pid = Number(String(line));
    assert.ok(alive(pid));
    // Then it makes no calls: one that we had received and not answered would wait for an answer for ever.
    rounds++;
    while (readFileSync(started, "latin1").length < "ok ".length * rounds) {
      await new Promise((r) => setTimeout(r, 10));
    }
    us.kill("SIGKILL");
    await once(us, "exit");
    const until = Date.now() + 5000;
    const isDone = () =>
      mode === "stop" ? !alive(pid) : readFileSync(result, "latin1").includes("ok");
    while (!isDone() && Date.now() < until) await new Promise((r) => setTimeout(r, 20));
    assert.ok(isDone(), mode);
    if (mode === "continue") process.kill(pid, "SIGKILL");
  }
});

test("children of the tree are seen to the last: the end comes after the first command's", async () => {
  const running = await start(["sh", "-c", "sleep 0.3 & exit 3"], letGo);
  let isOver = false;
  void running.done.then(() => {
    isOver = true;
  });
  const [code] = await once(running.tree.child, "exit");
  assert.equal(code, 3);
  assert.equal(isOver, false);
  await running.done;
});
