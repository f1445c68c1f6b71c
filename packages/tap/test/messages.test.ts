import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { after, test } from "node:test";
import { decodeAddress, encodeAddress, type TapEvent } from "../src/index.ts";
import { compile, letGo, run, script, tap } from "./support.ts";

const POD = "198.18.200.2";
const PEER = "198.18.200.10";

after(() => tap.unref()); // its threads would keep this process alive

/** A socket of ours that stands for PEER:53, and says so. */
async function relay(t: { after(run: () => void): void }): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  const forget = tap.setName("datagram", port, encodeAddress(POD, 5000), encodeAddress(PEER, 53));
  t.after(() => {
    forget();
    socket.close();
  });
  return socket;
}

/** Sends what is sent to PEER to `port`; all else goes on natively. */
const turnTo =
  (port: number) =>
  (event: TapEvent): void => {
    if (event.kind === "sendto") tap.replySentTo(event.token, port);
    else if (event.kind === "connect") tap.replyConnectedDatagram(event.token, port);
    else if (event.kind === "bind" && tap.bindAsAsked(event.token) > 0)
      tap.replyBound(event.token, event.address);
    else letGo(event);
  };

test("UDP sockets have numbers from 900 on, each its own, and further ones are as the kernel makes them", async () => {
  const source = `import socket, threading, os, fcntl
made, lock = [], threading.Lock()
def make():
    for _ in range(20):
        s = socket.socket(socket.AF_INET6 if _ % 2 else socket.AF_INET, socket.SOCK_DGRAM)
        with lock: made.append(s)
threads = [threading.Thread(target=make) for _ in range(10)]
[t.start() for t in threads]; [t.join() for t in threads]
numbers = [s.fileno() for s in made]
high = [n for n in numbers if n >= 900]
print(len(set(numbers)), min(high), max(high), len(high))
print(len({os.fstat(n).st_ino for n in numbers}))
print(all(fcntl.fcntl(n, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for n in numbers))
s = made[0]; number = s.fileno(); s.close()
print(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK).fileno() == number or numbers.index(number))
print(socket.socket().fileno() < 900, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).fileno() < 900)
`;
  const { stdout, stderr } = await run(["python3", script("numbers.py", source)], letGo);
  assert.equal(stdout, "200 900 1023 124\n200\nTrue\nTrue\nTrue True\n", stderr);
});

test("where descriptors end before 900, UDP sockets are as the kernel makes them", async () => {
  const source = `import socket, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
print(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).fileno() < 256)
`;
  const { stdout, stderr } = await run(["python3", script("limit.py", source)], letGo);
  assert.equal(stdout, "True\n", stderr);
});

test("a datagram of several parts with control data goes to who stands for the peer; what comes has the peer's name", async (t) => {
  const peer = await relay(t);
  peer.on("message", (message, { port, address }) => {
    peer.send(`re: ${message}`, port, address);
  });
  const source = `import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 8, 1) # IP_PKTINFO
tos = (socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", 0x20))
print(s.sendmsg([b"one ", b"", b"two"], [tos], 0, ("${PEER}", 53)))
print(s.recvmsg(3, 0, socket.MSG_PEEK)[::3])
first, second = bytearray(5), bytearray(100)
length, control, flags, name = s.recvmsg_into([first, second], 500)
print(length, bytes(first), bytes(second[:length - 5]), flags, name)
print([(level, kind) for level, kind, _ in control], socket.inet_ntoa(control[0][2][8:12]))
s.sendmsg([b"three"], [], 0, ("${PEER}", 53))
print(s.recvmsg(4, 0, socket.MSG_TRUNC)[2:], socket.MSG_TRUNC)
s.settimeout(0.05)
try: s.recvmsg(100)
except TimeoutError: print("timeout")
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
b.sendmsg([b"known"], [], 0, ("${PEER}", 53)); b.recvmsg(100)
b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50000))
try: b.recvmsg(100)
except OSError as error: print(error.errno)
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.sendmsg([b"six"], [], 0, ("::ffff:${PEER}", 53))
print(six.recvmsg(100)[::3])
`;
  const { stdout, stderr } = await run(
    ["python3", script("messages.py", source)],
    turnTo(peer.address().port),
  );
  const from = `('${PEER}', 53)`;
  assert.deepEqual(
    stdout.trim().split("\n"),
    [
      "7",
      `(b're:', ${from})`,
      `11 b're: o' b'ne two' 0 ${from}`,
      "[(0, 8)] 198.18.200.2",
      // MSG_CTRUNC: there was no room for IP_PKTINFO, either.
      `(40, ${from}) 32`,
      "timeout",
      "11",
      `(b're: six', ('::ffff:${PEER}', 53, 0, 0))`,
    ],
    stderr,
  );
});

const MANY = `#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
enum { COUNT = 5 };
static void told(const char *call, long result) { printf("%s %ld %s\\n", call, result, strerrorname_np(errno)); }
int main(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)}, from[COUNT + 1];
  inet_pton(AF_INET, "${PEER}", &to.sin_addr);
  struct mmsghdr out[COUNT] = {0}, in[COUNT + 1] = {0};
  struct iovec sent[COUNT], got[COUNT + 1];
  char text[COUNT + 1][64];
  for (int i = 0; i < COUNT; i++) {
    sent[i] = (struct iovec){"abcdef", i + 1};
    out[i].msg_hdr = (struct msghdr){.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &sent[i], .msg_iovlen = 1};
  }
  int done = 0, calls = 0;
  for (; done < COUNT; calls++) {
    int more = sendmmsg(fd, out + done, COUNT - done, 0);
    if (more < 1) { perror("sendmmsg"); return 1; }
    done += more;
  }
  printf("%d sent, last %u\\n", done, out[COUNT - 1].msg_len);
  int total = 0;
  while (total < COUNT) {
    for (int i = 0; i <= COUNT; i++) {
      got[i] = (struct iovec){text[i], sizeof text[i]};
      in[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof *from, .msg_iov = &got[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(fd, in, COUNT + 1, MSG_WAITFORONE, NULL);
    if (count < 1) { perror("recvmmsg"); return 1; }
    for (int i = 0; i < count; i++)
      printf("%.*s from %s:%d, %u\\n", (int)in[i].msg_len, text[i], inet_ntoa(from[i].sin_addr), ntohs(from[i].sin_port),
             in[i].msg_hdr.msg_namelen);
    total += count;
  }
  told("recvmmsg", recvmmsg(fd, in, 2, MSG_DONTWAIT, NULL));
  /* Where nothing can be read or written the program hears so. */
  void *nothing = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  told("sendmsg", sendmsg(fd, nothing, 0));
  told("recvmsg", recvmsg(fd, nothing, MSG_DONTWAIT));
  struct msghdr bad = {.msg_name = nothing, .msg_namelen = 16};
  told("sendmsg", sendmsg(fd, &bad, 0));
  bad = (struct msghdr){.msg_iov = nothing, .msg_iovlen = 1u << 20};
  told("recvmsg", recvmsg(fd, &bad, MSG_DONTWAIT));
  return 0;
}`;

test("several at once: all are sent, and received with their sender; bad addresses are errors of the program's", async (t) => {
  const peer = await relay(t);
  peer.on("message", (message, { port, address }) => peer.send(message, port, address));
  const { stdout, stderr } = await run([compile("many", MANY)], turnTo(peer.address().port));
  assert.deepEqual(
    stdout.trim().split("\n"),
    [
      "5 sent, last 5",
      ...["a", "ab", "abc", "abcd", "abcde"].map((text) => `${text} from ${PEER}:53, 16`),
      "recvmmsg -1 EAGAIN",
      ...["sendmsg -1 EFAULT", "recvmsg -1 EFAULT", "sendmsg -1 EFAULT", "recvmsg -1 EMSGSIZE"],
    ],
    stderr,
  );
});

test("a socket that is bound for the pod answers who stands for a client, on loopback, too", async (t) => {
  const peer = await relay(t);
  tap.setName(
    "datagram",
    peer.address().port,
    encodeAddress("127.0.0.1", 9),
    encodeAddress("127.0.0.1", 7777),
  );
  const answers: string[] = [];
  peer.on("message", (message) => answers.push(String(message)));
  const source = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 21753)); print(s.getsockname(), flush=True)
for _ in range(2):
    text, name = s.recvfrom(100) if _ else s.recvmsg(100)[::3]
    print(text, name)
    s.sendto(b"answer", name) if _ else s.sendmsg([b"answer"], [], 0, name)
t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try: t.bind(("127.0.0.1", 21753))
except OSError as error: print(error.errno)
`;
  const { port } = peer.address();
  const { stdout, stderr } = await run(["python3", script("bound.py", source)], (event) => {
    if (event.kind !== "bind") turnTo(port)(event);
    else {
      const real = tap.bindAsAsked(event.token);
      if (real < 0) tap.reply(event.token, 0, -real);
      else {
        tap.replyBound(event.token, event.address);
        for (const text of ["one", "two"]) peer.send(text, real, "127.0.0.1");
      }
    }
  });
  const name = "('127.0.0.1', 7777)";
  assert.equal(stdout, `('127.0.0.1', 21753)\nb'one' ${name}\nb'two' ${name}\n98\n`, stderr);
  assert.deepEqual(answers, ["answer", "answer"]);
});

test("a client of IPv6 is seen as such by a socket of both families, and is answered", async (t) => {
  const peer = await relay(t);
  const { port } = peer.address();
  const client = "2001:db8::7";
  tap.setName("datagram", port, encodeAddress("2001:db8::1", 9), encodeAddress(client, 7777));
  const answers: string[] = [];
  peer.on("message", (message) => answers.push(String(message)));
  const source = `import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 21754))
for call in ("recvfrom", "recvmsg"):
    got = getattr(s, call)(100)
    print(got[0], got[-1])
    s.sendto(b"to " + call.encode(), got[-1])
s.connect(got[-1])
print(s.getpeername(), s.getsockname())
s.send(b"connected")
print(s.recv(100))
`;
  const sent: string[] = [];
  const { stdout, stderr } = await run(["python3", script("six.py", source)], (event) => {
    if (event.kind === "sendto" || event.kind === "connect") {
      const to = decodeAddress(event.address);
      sent.push(`${event.kind} ${to?.address} ${to?.port}`);
    }
    if (event.kind !== "bind") turnTo(port)(event);
    else {
      const real = tap.bindAsAsked(event.token);
      tap.replyBound(event.token, event.address);
      for (const text of ["one", "two", "three"]) peer.send(text, real, "127.0.0.1");
    }
  });
  const name = `('${client}', 7777, 0, 0)`;
  assert.equal(
    stdout,
    `b'one' ${name}\nb'two' ${name}\n${name} ('2001:db8::1', 9, 0, 0)\nb'three'\n`,
    stderr,
  );
  assert.deepEqual(
    sent,
    ["sendto", "sendto", "connect"].map((kind) => `${kind} ${client} 7777`),
  );
  assert.deepEqual(answers, ["to recvfrom", "to recvmsg", "connected"]);
});
