import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, test } from "node:test";
import { NETWORK, type WitnessName } from "@inpod/sandbox";
import { type Run, startInpod, until, useSandbox, witness } from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

const { address: pod, udpPort } = NETWORK.pod;
const STEAL = { flags: ["--steal"] };
const TAKEN = `datagrams to UDP port ${udpPort} of the target now arrive at your process`;
const COPIED = `datagrams that clients send to UDP port ${udpPort} of the target are copied`;

/**
 * Written for `node -e`: connected sockets, to which the kernel gives only what comes from the pod's port. Each line of
 * stdin, "SOCKET TEXT", is a datagram; prints each socket's address first, then "SOCKET ANSWER".
 */
const CLIENT = `const [host, port, count] = process.argv.slice(1);
  const dgram = require("dgram");
  const sockets = Array.from({ length: +count }, (_, i) => {
    const u = dgram.createSocket("udp4");
    u.on("message", (m) => console.log(i + " " + m));
    u.on("error", (e) => console.log(i + " " + e.code));
    u.connect(+port, host, () => console.log("at " + i + " " + u.address().address + ":" + u.address().port));
    return u;
  });
  require("readline").createInterface({ input: process.stdin }).on("line", (l) => {
    const [i, text] = l.split(" "); sockets[+i].send(text); });`;

interface UdpClients {
  /** ADDRESS:PORT of each. */
  readonly at: readonly string[];
  send(index: number, text: string): void;
  /** What answers it. */
  ask(index: number, text: string): Promise<string>;
  /** All that came, oldest first. */
  readonly heard: readonly string[];
  close(): void;
}

const clients: UdpClients[] = [];

async function udpClients(
  count = 1,
  where: "inClient" | "inPod" = "inClient",
  host: string = pod,
): Promise<UdpClients> {
  const argv = [process.execPath, "-e", CLIENT, host, String(udpPort), String(count)];
  const child = sandbox[where](argv, { stdio: ["pipe", "pipe", "inherit"] });
  const at: string[] = [];
  const heard: string[] = [];
  const waiting = new Set<() => void>();
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
    const [first, index, address] = line.split(" ");
    if (first === "at") at[Number(index)] = address ?? "";
    else heard.push(line);
    for (const wake of waiting) wake();
  });
  const has = async (isSo: () => boolean): Promise<void> => {
    const deadline = performance.now() + 60_000;
    while (!isSo()) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`nothing within 60 s after: ${heard.join("; ")}`);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, left);
        waiting.add(wake);
      });
    }
  };
  const send = (index: number, text: string): void => {
    child.stdin?.write(`${index} ${text}\n`);
  };
  const all: UdpClients = {
    at,
    heard,
    send,
    ask: async (index, text) => {
      const before = heard.length;
      send(index, text);
      await has(() => heard.slice(before).some((line) => line.startsWith(`${index} `)));
      return heard
        .slice(before)
        .filter((line) => line.startsWith(`${index} `))
        .map((line) => line.slice(`${index} `.length))
        .join("; ");
    },
    close: () => child.kill("SIGKILL"),
  };
  clients.push(all);
  await has(() => at.filter(Boolean).length === count);
  return all;
}

async function interrupted(run: Run): Promise<void> {
  run.signalGroup("SIGINT");
  await run.ended;
  await inventory.assertAsBefore(folder);
}

const python = async (name: string, source: string): Promise<string[]> => {
  const path = join(folder, name);
  await writeFile(path, source);
  return ["python3", path];
};

for (const [name, ...args] of [
  ["c-udp"],
  ["c-udp", "recvfrom", "4"],
  ["c-udp", "recvmsg"],
  ["c-udp", "recvmmsg"],
  ["c-udp", "connect"],
  ["go-udp"],
  ["go-udp", "msg"],
  ["node-udp"],
  ["python-udp"],
  ["python-udp", "msg"],
  ["python-udp", "asyncio"],
] as const) {
  test(`${[name, ...args].join(" ")}: a UDP server sees its clients' true addresses and answers from the pod's, a flow from before is its at once and the pod's again at the end`, async (t) => {
    const argv = await witness(name as WitnessName, t);
    if (argv === undefined) return;
    const language = name.split("-")[0];
    const peers = await udpClients(3);
    const fromPod = (index: number, text: string): string =>
      `I am the pod, you are ${peers.at[index]}: ${text}`;
    assert.equal(await peers.ask(0, "before"), fromPod(0, "before"));
    const run = await startInpod(sandbox, [...argv, String(udpPort), ...args], STEAL);
    await run.said(`bound ${udpPort}`);
    await run.said(TAKEN, "stderr");
    const asked = await Promise.all([0, 1, 2].map((each) => peers.ask(each, `one${each}`)));
    assert.deepEqual(
      asked,
      [0, 1, 2].map((each) => `local ${language} sees ${peers.at[each]}: one${each}`),
    );
    // A socket that is connected to its client gets the rest.
    const two = args[0] === "connect" ? "two again" : "two";
    assert.equal(await peers.ask(1, "two"), `local ${language} sees ${peers.at[1]}: ${two}`);
    await interrupted(run);
    assert.equal(await peers.ask(0, "after"), fromPod(0, "after"));
    assert.deepEqual(peers.heard.length, 6);
  });
}

test("without --steal the pod answers, and the program gets the same datagrams; its own answers go nowhere", async (t) => {
  const argv = await witness("c-udp", t);
  if (argv === undefined) return;
  const peers = await udpClients(2);
  const source = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", ${udpPort})); print("bound", flush=True)
while True:
    text, peer = s.recvfrom(2048)
    s.sendto(b"from the program", peer)
    print(text.decode(), "%s:%d" % peer, flush=True)
`;
  const run = await startInpod(sandbox, await python("mirror.py", source));
  await run.said("bound");
  await run.said(COPIED, "stderr");
  assert.equal(await sandbox.ruleset(), "");
  for (const [index, text] of [
    [0, "a"],
    [1, "b"],
    [0, "c"],
  ] as const) {
    assert.equal(await peers.ask(index, text), `I am the pod, you are ${peers.at[index]}: ${text}`);
    await run.said(`${text} ${peers.at[index]}\n`);
  }
  assert.equal(peers.heard.length, 3);
  await interrupted(run);
});

test("a program that closes its socket gives the port back to the pod, and has it again when it binds again", async () => {
  const source = `
import socket, sys
while True:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", ${udpPort})); print("bound", flush=True)
    text, peer = s.recvfrom(2048)
    s.sendto(b"program " + text, peer)
    s.close()
    print("closed", flush=True)
    sys.stdin.readline()
`;
  const run = await startInpod(sandbox, await python("close.py", source), {
    ...STEAL,
    stdin: "pipe",
  });
  await run.said("bound");
  const peers = await udpClients();
  assert.equal(await peers.ask(0, "one"), "program one");
  await run.said("closed");
  await until("the pod has its port", async () => !/ : /.test(await sandbox.ruleset()));
  assert.match(await peers.ask(0, "closed"), /^I am the pod/);
  run.child.stdin?.write("\n");
  await until("bound again", () => run.stdout.split("bound").length === 3);
  assert.equal(await peers.ask(0, "again"), "program again");
  await until("closed again", () => run.stdout.split("closed").length === 3);
  // The first that finds nobody is lost, if it comes before the program is missed.
  await until("the pod answers at once", () => {
    peers.send(0, "lost");
    return peers.heard.some((line) => line.includes("I am the pod") && line.includes("lost"));
  });
  await interrupted(run);
});

test("clients on the pod's own loopback reach the program, and its answers reach them", async (t) => {
  const argv = await witness("c-udp", t);
  if (argv === undefined) return;
  const run = await startInpod(sandbox, [...argv, String(udpPort)], STEAL);
  await run.said(TAKEN, "stderr");
  const inside = await udpClients(1, "inPod", "127.0.0.1");
  assert.equal(await inside.ask(0, "x"), `local c sees ${inside.at[0]}: x`);
  assert.match(inside.at[0] ?? "", /^127\.0\.0\.1:/);
  inside.close();
  await interrupted(run);
});

test("sockets without a port of their own, and programs that only send, are as before; nothing is taken for them", async () => {
  const source = `
import socket
free = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); free.bind(("0.0.0.0", 0))
named = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); named.bind(("0.0.0.0", ${udpPort + 1}))
named.connect(("${NETWORK.services.greetings}", ${NETWORK.services.udpEchoPort})); named.send(b"connected")
print(named.recv(100).decode(), named.getpeername())
for name, s in (("free", free),):
    s.sendto(name.encode(), ("${NETWORK.services.greetings}", ${NETWORK.services.udpEchoPort}))
    text, peer = s.recvfrom(100)
    print(text.decode(), peer)
print("done", flush=True)
input()
`;
  const run = await startInpod(sandbox, await python("client.py", source), {
    ...STEAL,
    stdin: "pipe",
  });
  await run.said("done");
  const peer = `('${NETWORK.services.greetings}', ${NETWORK.services.udpEchoPort})`;
  assert.equal(run.stdout, `connected ${peer}\nfree ${peer}\ndone\n`);
  await until(
    "the port of a socket that is a client's is the pod's",
    async () => !/ : /.test(await sandbox.ruleset()),
  );
  await interrupted(run);
});

test("loopback is the program's own sockets by whatever port the kernel gave them, and else the pod's, connected or not", async () => {
  const source = `
import socket
def new(address=None):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
    if address: s.bind((address, 0))
    return s
def got(s): return s.recv(100).decode()
a, b = new("127.0.0.1"), new("127.0.0.1")
a.connect(b.getsockname()); b.connect(a.getsockname())
a.send(b"pair"); print(got(b)); b.send(b"and back"); print(got(a))
print(a.getpeername() == b.getsockname())
me = new("127.0.0.1"); me.connect(me.getsockname()); me.send(b"me"); print(got(me))
everywhere, client = new("0.0.0.0"), new()
client.sendto(b"unconnected", ("127.0.0.1", everywhere.getsockname()[1]))
text, peer = everywhere.recvfrom(100); print(text.decode(), peer == ("127.0.0.1", client.getsockname()[1]))
everywhere.sendto(b"answered", peer); print(got(client))
for s in (new(), new("127.0.0.1")):
    s.sendto(b"sidecar", ("127.0.0.1", ${udpPort}))
    text, peer = s.recvfrom(100); print(text.decode()[:12], peer)
connected = new(); connected.connect(("127.0.0.1", ${udpPort})); connected.send(b"x"); print(got(connected)[:12])
`;
  const run = await startInpod(sandbox, await python("loopback.py", source), STEAL);
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  const sidecar = `I am the pod ('127.0.0.1', ${udpPort})`;
  const own = ["pair", "and back", "True", "me", "unconnected True", "answered"];
  assert.deepEqual(stdout.trim().split("\n"), [...own, sidecar, sidecar, "I am the pod"]);
});

test("a datagram has come to the pod's address, which may be where its answer leaves from (IP_PKTINFO)", async () => {
  const source = `
import socket, struct
PKTINFO = 8
def own(control): return [socket.inet_ntoa(data[i:i + 4]) for _, kind, data in control if kind == PKTINFO for i in (4, 8)]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
s.setsockopt(socket.IPPROTO_IP, PKTINFO, 1); s.bind(("0.0.0.0", ${udpPort}))
text, control, flags, client = s.recvmsg(100, 100)
print(text.decode(), own(control))
source = [(socket.IPPROTO_IP, PKTINFO, data) for _, kind, data in control if kind == PKTINFO]
s.sendmsg([b"answer"], source, 0, client)
c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); c.settimeout(20)
c.setsockopt(socket.IPPROTO_IP, PKTINFO, 1)
address = struct.pack("=I4s4s", 0, socket.inet_aton("${pod}"), bytes(4))
c.sendmsg([b"echo"], [(socket.IPPROTO_IP, PKTINFO, address)], 0, ("${NETWORK.services.greetings}", ${NETWORK.services.udpEchoPort}))
text, control, flags, peer = c.recvmsg(100, 100)
print(text.decode(), own(control), peer[0])
`;
  const run = await startInpod(sandbox, await python("pktinfo.py", source), STEAL);
  await run.said(TAKEN, "stderr");
  const peers = await udpClients();
  assert.equal(await peers.ask(0, "asked"), "answer");
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  const own = `['${pod}', '${pod}']`;
  assert.equal(stdout, `asked ${own}\necho ${own} ${NETWORK.services.greetings}\n`);
});

test("a server that also asks others is answered by them; ignore_ports and ports hold, port_mapping maps", async (t) => {
  const argv = await witness("c-udp", t);
  if (argv === undefined) return;
  const mapped = await startInpod(sandbox, [...argv, "15300"], {
    ...STEAL,
    config: { feature: { network: { incoming: { port_mapping: [[15300, udpPort]] } } } },
  });
  await mapped.said("bound 15300");
  const peers = await udpClients();
  assert.equal(await peers.ask(0, "mapped"), `local c sees ${peers.at[0]}: mapped`);
  await interrupted(mapped);
  for (const incoming of [{ ignore_ports: [udpPort] }, { ports: [1] }]) {
    const run = await startInpod(sandbox, [...argv, String(udpPort)], {
      ...STEAL,
      config: { feature: { network: { incoming } } },
    });
    await run.said(`bound ${udpPort}`);
    assert.equal(await sandbox.ruleset(), "");
    assert.equal(await peers.ask(0, "x"), `I am the pod, you are ${peers.at[0]}: x`);
    await interrupted(run);
  }
});

test("a port that somebody else has on this machine is received on another one, and the program does not know", async (t) => {
  const argv = await witness("c-udp", t);
  if (argv === undefined) return;
  const stranger = sandbox.inLaptop(
    [
      process.execPath,
      "-e",
      `require("dgram").createSocket("udp4").bind(${udpPort}, () => console.log("bound"))`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  t.after(() => stranger.kill("SIGKILL"));
  await once(stranger.stdout as NodeJS.ReadableStream, "data");
  for (const args of [["recvfrom", "4"], ["recvmmsg"]]) {
    const run = await startInpod(sandbox, [...argv, String(udpPort), ...args], STEAL);
    await run.said(`bound ${udpPort}`);
    await run.said(/UDP port 5300 cannot be had on this machine.*127\.0\.0\.1:\d+ here/, "stderr");
    await run.said(TAKEN, "stderr");
    const peers = await udpClients(2);
    for (const each of [0, 1])
      assert.equal(await peers.ask(each, "x"), `local c sees ${peers.at[each]}: x`);
    await interrupted(run);
  }
});

test("processes that share a port (SO_REUSEPORT) share its clients, and each client stays with one", async () => {
  const source = `
import os, socket
for _ in range(3):
    if os.fork() == 0: break
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("0.0.0.0", ${udpPort})); print("bound", flush=True)
while True:
    text, peer = s.recvfrom(2048)
    s.sendto(b"process %d" % os.getpid(), peer)
`;
  const run = await startInpod(sandbox, await python("share.py", source), STEAL);
  await until("all four", () => run.stdout.split("bound").length === 5);
  const peers = await udpClients(24);
  const ask = (): Promise<string[]> =>
    Promise.all(peers.at.map((_, each) => peers.ask(each, "who")));
  const first = await ask();
  assert.ok(first.every((answer) => /^process \d+$/.test(answer)));
  assert.ok(new Set(first).size > 1, "more than one of them answers");
  assert.deepEqual(await ask(), first);
  await interrupted(run);
});

test("kill -9 of inpod gives the flow back to the pod, and leaves nothing", async (t) => {
  const argv = await witness("python-udp", t);
  if (argv === undefined) return;
  const run = await startInpod(sandbox, [...argv, String(udpPort)], STEAL);
  await run.said(TAKEN, "stderr");
  const peers = await udpClients();
  assert.equal(await peers.ask(0, "x"), `local python sees ${peers.at[0]}: x`);
  process.kill(run.pid, "SIGKILL");
  await inventory.assertAsBefore(folder);
  assert.equal(await peers.ask(0, "y"), `I am the pod, you are ${peers.at[0]}: y`);
});

test("a second session is told who has the port", async (t) => {
  const argv = await witness("python-udp", t);
  if (argv === undefined) return;
  const first = await startInpod(sandbox, [...argv, String(udpPort)], STEAL);
  await first.said(TAKEN, "stderr");
  const second = await startInpod(sandbox, [...argv, String(udpPort)], STEAL);
  await second.said(/another session's agent has stolen UDP port/, "stderr");
  assert.equal((await second.ended).stderr.match(/your process was ended/g)?.length, 1);
  const third = await startInpod(sandbox, [...argv, String(udpPort)], {
    ...STEAL,
    config: { feature: { network: { incoming: { on_concurrent_steal: "continue" } } } },
  });
  await third.said(`UDP port ${udpPort} of the target could not be taken`, "stderr");
  third.signalGroup("SIGINT");
  await third.ended;
  await interrupted(first);
});
