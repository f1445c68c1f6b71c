/**
 * Programs that a signal takes out of their calls, and what becomes of an answer that comes then: where the kernel does that
 * at any time. Where it does not: uninterrupted.test.ts.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { after, test } from "node:test";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { decodeAddress, encodeAddress, type TrappedCall } from "../src/index.ts";
import {
  compile,
  type Handler,
  letGo,
  ruleFor,
  run as runTree,
  start as startTree,
  tap,
} from "./support.ts";

const PEER = "198.18.0.9";
const POD = "198.18.0.1";
const DEADLINE_MS = 60_000;
/** Longer than an answer that nobody asks for again is kept: KEEP_MS in ../native/addon/op.c. */
const UNHEARD_MS = 5500;

after(() => tap.unref()); // its threads would keep this process alive

const INTERRUPTIBLE = { groups: ["network" as const, "files" as const, "interruptible" as const] };
const run = (command: [string], handler: Handler) => runTree(command, handler, INTERRUPTIBLE);
const start = (command: [string], handler: Handler) => startTree(command, handler, INTERRUPTIBLE);

async function until(isSo: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await turn();
  }
}

/** A signal without SA_RESTART, again and again until it is told to stop. */
const TIMER = `#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static void nothing(int s) { (void)s; }
static inline void every(int us) {
  struct sigaction a = {.sa_handler = nothing};
  struct itimerval t = {{0, us}, {0, us}};
  sigaction(SIGALRM, &a, NULL);
  setitimer(ITIMER_REAL, &t, NULL);
}
`;

test("an answer that comes after the program has gone on without it is not written into its memory", async () => {
  tap.setPathRules([ruleFor("/inpod/late")]);
  const source = `${TIMER}
static struct stat is;
int main(void) {
  every(5000);
  int result = stat("/inpod/late", &is), error = errno;
  every(0);
  memset(&is, 0x55, sizeof is); /* it is for something else now */
  printf("%d %s\\n", result, strerror(error));
  fflush(stdout);
  char go;
  if (read(0, &go, 1) != 1) return 1;
  int changed = 0;
  for (size_t i = 0; i < sizeof is; i++) changed += ((unsigned char *)&is)[i] != 0x55;
  printf("%d changed\\n", changed);
}`;
  const asked: TrappedCall[] = [];
  const { tree, done } = await start([compile("late", source)], (event) => {
    if (event.kind === "path") asked.push(event);
    else letGo(event);
  });
  const { stdin, stdout } = tree.child;
  if (stdout === null || stdin === null) throw new Error("no pipes");
  const [said] = (await once(stdout, "data")) as [Buffer];
  assert.equal(said.toString(), "-1 Interrupted system call\n");
  const { cancelled } = tap.statistics();
  const second = 1_000_000_000n;
  for (const { token } of asked)
    tap.replyStat(token, {
      ...{ mode: 0o100644, size: 4096n, ino: 1n, dev: 1n, nlink: 1, uid: 0, gid: 0, rdev: 0n },
      ...{ blksize: 4096, blocks: 8n, atimeNs: second, mtimeNs: second, ctimeNs: second },
    });
  await until(() => tap.statistics().cancelled > cancelled, "the late answer is refused");
  stdin.end("g");
  assert.match((await done).stdout, /\n0 changed\n$/);
});

test("a call that is made again is the same one, whatever is in the registers that it does not use", async () => {
  const source = `${TIMER}
int main(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
  inet_pton(AF_INET, "${PEER}", &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  every(2000);
  long result, i = 0;
  do {
    i++;
    result = syscall(SYS_connect, fd, &to, sizeof to, i, i + 1, i * 77);
  } while (result < 0 && errno == EINTR);
  printf("%s\\n", strerror(errno));
}`;
  const { joined } = tap.statistics();
  let asked = 0;
  const ran = await run([compile("registers", source)], (event) => {
    if (event.kind !== "connect") return letGo(event);
    asked += 1;
    void until(() => tap.statistics().joined > joined + 2, "the call is made again").then(() =>
      tap.reply(event.token, 0, 111),
    );
  });
  assert.equal(ran.stdout, "Connection refused\n");
  assert.equal(asked, 1);
});

test("of a socket that is connected already the kernel's answer is told, and nobody is asked whose it is", async () => {
  const server = createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const source = `${TIMER}
static const char *try(int fd, struct sockaddr_in *to) {
  return connect(fd, (struct sockaddr *)to, sizeof *to) ? strerror(errno) : "0";
}
int main(void) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(${port})}, there = here;
  inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
  inet_pton(AF_INET, "${PEER}", &there.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  printf("%s\\n", try(fd, &here));
  printf("%s\\n", try(fd, &there));
}`;
  const asked: (string | undefined)[] = [];
  const ran = await run([compile("begun", source)], (event) => {
    if (event.kind === "connect") asked.push(decodeAddress(event.address)?.address);
    letGo(event);
  });
  server.close();
  assert.equal(ran.stdout, "0\nTransport endpoint is already connected\n");
  assert.deepEqual(asked, ["127.0.0.1"]);
});

test("whoever forgets a socket's name does not forget the one of the next socket at that port", async () => {
  const { createSocket } = await import("node:dgram");
  const stands = createSocket("udp4").bind(0, "127.0.0.1");
  await once(stands, "listening");
  const { port } = stands.address();
  const forgetFirst = tap.setName("datagram", port, encodeAddress(POD, 1), encodeAddress(POD, 2));
  const second = encodeAddress(PEER, 53);
  const forget = tap.setName("datagram", port, encodeAddress(POD, 5000), second);
  forgetFirst();
  const source = `${TIMER}
int main(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)}, peer = {0};
  inet_pton(AF_INET, "${PEER}", &to.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) return 1;
  for (int i = 0; i < 2; i++) {
    socklen_t length = sizeof peer;
    getpeername(fd, (struct sockaddr *)&peer, &length);
    printf("%s\\n", inet_ntoa(peer.sin_addr));
    fflush(stdout);
    char go;
    if (read(0, &go, 1) != 1) return 1;
  }
}`;
  const { tree, done } = await start([compile("names", source)], (event) => {
    if (event.kind === "connect") tap.replyConnectedDatagram(event.token, port);
    else letGo(event);
  });
  const { stdin, stdout } = tree.child;
  if (stdout === null || stdin === null) throw new Error("no pipes");
  await once(stdout, "data");
  forget();
  stdin.end("gg");
  assert.equal((await done).stdout, `${PEER}\n127.0.0.1\n`);
  stands.close();
});

test("what a datagram's call was told is told again when a signal has taken it away before", async () => {
  const { createSocket } = await import("node:dgram");
  const peer = createSocket("udp4").bind(0, "127.0.0.1");
  await once(peer, "listening");
  peer.on("message", (message, from) => peer.send(message, from.port, from.address));
  const { port } = peer.address();
  const forget = tap.setName("datagram", port, encodeAddress(POD, 1), encodeAddress(PEER, 53));
  const source = `${TIMER}
static long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
int main(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)}, from;
  inet_pton(AF_INET, "${PEER}", &to.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM, 0), wrong = 0, right = 0;
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) return 1;
  every(700);
  for (unsigned i = 1; i <= 1000; i++) {
    unsigned got;
    ssize_t result;
    long until = now_ms() + 100;
    if (send(fd, &i, sizeof i, 0) != sizeof i) continue;
    do {
      socklen_t length = sizeof from;
      memset(&from, 0, sizeof from);
      got = 0;
      result = recvfrom(fd, &got, sizeof got, 0, (struct sockaddr *)&from, &length);
    } while (result < 0 && errno == EINTR && now_ms() < until);
    if (result != sizeof got) continue; /* the kernel may lose an answer */
    if (got == 0 || from.sin_addr.s_addr != to.sin_addr.s_addr) wrong++;
    else right++;
  }
  every(0);
  printf("%d wrong, %s\\n", wrong, right > 0 ? "some right" : "none right");
}`;
  const ran = await run([compile("again", source)], (event) => {
    if (event.kind === "connect") tap.replyConnectedDatagram(event.token, port);
    else letGo(event);
  });
  peer.close();
  forget();
  assert.equal(ran.stdout, "0 wrong, some right\n");
});

test("connections that share a port, because they lead to different ones, have each its own name", async () => {
  const clients = ["203.0.113.1", "203.0.113.2"];
  const source = `${TIMER}
int main(void) {
  int listeners[2], accepted[2];
  for (int i = 0; i < 2; i++) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof own;
    listeners[i] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listeners[i], (struct sockaddr *)&own, sizeof own) || listen(listeners[i], 1)) return 1;
    getsockname(listeners[i], (struct sockaddr *)&own, &length);
    printf("%d ", ntohs(own.sin_port));
  }
  puts("");
  fflush(stdout);
  for (int i = 0; i < 2; i++) accepted[i] = accept(listeners[i], NULL, NULL);
  for (int i = 0; i < 2; i++) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    char byte;
    if (read(accepted[i], &byte, 1) != 1) return 1;
    getpeername(accepted[i], (struct sockaddr *)&peer, &length);
    printf("%s\\n", inet_ntoa(peer.sin_addr));
  }
}`;
  const { tree, done } = await start([compile("shared", source)], letGo);
  const { stdout } = tree.child;
  if (stdout === null) throw new Error("no pipe");
  const [said] = (await once(stdout, "data")) as [Buffer];
  const ports = said.toString().trim().split(" ").map(Number);
  const sockets: Socket[] = [];
  for (const [index, port] of ports.entries()) {
    const from = { host: "127.0.0.1", port, localAddress: "127.0.0.1" };
    const socket = connect({ ...from, localPort: sockets[0]?.localPort ?? 0 });
    await once(socket, "connect");
    const client = encodeAddress(clients[index] ?? "", 4000);
    tap.setName("incoming", socket.localPort ?? 0, encodeAddress(POD, 80), client, port);
    sockets.push(socket);
  }
  assert.equal(sockets[0]?.localPort, sockets[1]?.localPort);
  for (const socket of sockets) socket.write("x");
  assert.equal((await done).stdout, `${said}${clients.join("\n")}\n`);
  for (const socket of sockets) socket.destroy();
});

test("an answer that comes while the program is stopped waits until it is continued", async () => {
  const { createSocket } = await import("node:dgram");
  const peer = createSocket("udp4").bind(0, "127.0.0.1");
  await once(peer, "listening");
  let came = 0;
  peer.on("message", () => {
    came += 1;
  });
  const source = `${TIMER}
int main(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
  inet_pton(AF_INET, "${PEER}", &to.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  printf("sent %zd\\n", sendto(fd, "once", 4, 0, (struct sockaddr *)&to, sizeof to));
}`;
  const tokens: number[] = [];
  const { tree, done } = await start([compile("stopped", source)], (event) => {
    if (event.kind === "sendto") tokens.push(event.token);
    else letGo(event);
  });
  const pid = tree.child.pid ?? 0;
  await until(() => tokens.length === 1, "it sends");
  process.kill(pid, "SIGSTOP");
  const state = (): string => readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.[0] ?? "";
  await until(() => state() === "T", "it is stopped");
  const { cancelled } = tap.statistics();
  for (const token of tokens) tap.replySentTo(token, peer.address().port);
  await until(() => tap.statistics().cancelled > cancelled && came === 1, "it is sent for nobody");
  await delay(UNHEARD_MS);
  process.kill(pid, "SIGCONT");
  assert.equal((await done).stdout, "sent 4\n");
  peer.close();
  assert.deepEqual([came, tokens.length], [1, 1]);
});
