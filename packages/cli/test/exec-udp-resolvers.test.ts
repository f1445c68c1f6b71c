/** Resolvers that bind a port of their own choice for each question, as Rust's hickory-dns, unbound and dnsmasq do. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { startInpod, useSandbox } from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const { address: pod } = NETWORK.pod;
const { nameServer, greetings } = NETWORK.services;
const FIRST_PORT = 21_000;
/** Of the same process later: one that only receives, and one that sends first and is answered by another socket. */
const SERVER_PORT = 22_000;
const CALLER_PORT = 22_001;
const HERE = 4600;

const PROGRAM = `
import socket, sys
def new(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20); s.bind(("0.0.0.0", port)); return s
NAME = b"".join(bytes([len(label)]) + label for label in b"greetings.shop.svc.cluster.local".split(b".")) + b"\\0"
def ask(port, connected):
    s = new(port)
    question = bytes([port >> 8, port & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + NAME + bytes([0, 1, 0, 1])
    if connected: s.connect(("${nameServer}", 53)); s.send(question)
    else: s.sendto(question, ("${nameServer}", 53))
    text, peer = s.recvfrom(512)
    print("asked", text[:2] == question[:2], socket.inet_ntoa(text[-4:]), peer)
    return s
kept = ask(${FIRST_PORT}, False)
for i in range(1, 6): ask(${FIRST_PORT} + i, i % 2 == 1).close()
print("names", flush=True)
sys.stdin.readline()
server = new(${SERVER_PORT})
print("bound", flush=True)
text, peer = server.recvfrom(100); server.sendto(b"program " + text, peer)
caller = new(${CALLER_PORT})
caller.sendto(b"answer me", ("${NETWORK.client.address}", ${HERE}))
text, peer = caller.recvfrom(100); print("called", text.decode(), peer[0], flush=True)
sys.stdin.readline()
`;

/** Answers the datagram's sender from another socket than the one that it has sent to; prints what it is told. */
const ANSWERING = `const dgram = require("dgram"); const u = dgram.createSocket("udp4");
  u.on("message", (m, from) => dgram.createSocket("udp4").send("by another", ${CALLER_PORT}, "${pod}"));
  u.bind(${HERE}, () => console.log("bound"));`;
/** Asks the pod's port until somebody answers: nothing of the program says that it has it. */
const ASKING = `const u = require("dgram").createSocket("udp4");
  u.on("message", (m) => { console.log(String(m)); process.exit(); });
  setInterval(() => u.send("x", ${SERVER_PORT}, "${pod}"), 50);`;

test("no port of the target is taken for a resolver's question; other sockets of its process are servers as ever", async (t) => {
  const path = join(folder, "resolver.py");
  await writeFile(path, PROGRAM);
  const run = await startInpod(sandbox, ["python3", path], { flags: ["--steal"], stdin: "pipe" });
  await run.said("names");
  const asked = `asked True ${greetings} ('${nameServer}', 53)\n`;
  assert.equal(run.stdout, `${asked.repeat(6)}names\n`);
  assert.doesNotMatch(await sandbox.ruleset(), /\d+ : /);

  run.child.stdin?.write("\n");
  await run.said("bound");
  const client = (source: string) =>
    sandbox.inClient([process.execPath, "-e", source], { stdio: ["ignore", "pipe", "inherit"] });
  const answering = client(ANSWERING);
  t.after(() => answering.kill("SIGKILL"));
  await once(answering.stdout as NodeJS.ReadableStream, "data");
  const asking = client(ASKING);
  t.after(() => asking.kill("SIGKILL"));
  const [answer] = await once(asking.stdout as NodeJS.ReadableStream, "data");
  assert.equal(String(answer), "program x\n");
  await run.said(`called by another ${NETWORK.client.address}`);
  await run.said(`UDP port ${CALLER_PORT} of the target now arrive`, "stderr");
  assert.deepEqual(
    [...run.stderr.matchAll(/UDP port (\d+) of the target now/g)].map(([, port]) => Number(port)),
    [SERVER_PORT, CALLER_PORT],
  );
  run.child.stdin?.write("\n");
  assert.equal((await run.ended).code, 0, run.stderr);
  await inventory.assertAsBefore(folder);
});
