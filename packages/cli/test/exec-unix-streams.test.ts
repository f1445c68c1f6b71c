/** Unix sockets of the pod: sandbox/witness/talk/unix.c sees the same in the pod and through inpod. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { startSandbox } from "@inpod/sandbox";
import { isRoot, Run, runInpod, useSandbox } from "./exec-support.ts";
import { inPodAndThrough, program } from "./talk-support.ts";

const { sandbox, folder } = await useSandbox();

/** Only the pod has it. */
const DIR = "/run/talk-witness";
const settings = { DIR };
/** Only this machine has it: a socket at which nobody from the pod may arrive. */
const outside = join(folder, "socket");
const machine = createServer((socket) => socket.end("of the laptop"));
await once(machine.listen(outside), "listening");
const inside = await sandbox.copyIntoPod(await program("talk-unix"));
// Under another name: a program that runs is not written to.
const script = `mkdir ${DIR} && cp ${inside} /tmp/unix && exec env DIR=${DIR} OUTSIDE=${outside} /tmp/unix serve`;
const server = new Run(sandbox.inPod(["sh", "-c", script]));
await server.said("ready");
const unixStreams = [`^${DIR}/`, "^@talk"];
const seen = await inPodAndThrough(sandbox, "talk-unix", [], {
  settings,
  config: {
    feature: {
      network: { outgoing: { unix_streams: unixStreams } },
      // A program goes into that directory.
      fs: { mode: "read", read_only: [`^${DIR}`] },
    },
  },
});
after(() => {
  machine.close();
});

const CASES: readonly (readonly [name: string, what: string, shows: RegExp])[] = [
  ["path", "by path, over a link, non-blocking, half-close", /^read: got abc, uid 0 gid 0$/m],
  [
    "relative",
    "a path from a directory of the pod",
    /^connect: 0\npeer: 0 25 \/run\/talk-witness\/talk@$/m,
  ],
  [
    "longest",
    "the longest names",
    /^108 bytes\nconnect: 0\npeer: 0 111 \/run\/talk-witness\/n+@$/m,
  ],
  [
    "outside",
    "links that lead above the root, and to what only this machine has",
    /^read: got abc, uid 0 gid 0\n\na link to what only the laptop has: ENOENT\ndots [\w ]+: ENOENT\nan absolute link: 0$/m,
  ],
  [
    "records",
    "seqpacket sockets, with the borders of their records, empty ones too",
    /^send: 0\nrecord: 0, flags 0, \nrecord: 1, flags 0, 0\nsend: 70000\nrecord: 70000, /m,
  ],
  [
    "full",
    "a listener without room: SO_SNDTIMEO, signals",
    /^non-blocking: EAGAIN\nwith SO_SNDTIMEO: EAGAIN\nwith a signal: EINTR\nelsewhere: 0$/m,
  ],
  ["abstract", "abstract names, also with NULs", /^with a NUL: 0\npeer: 0 16 @talk-with@nul$/m],
  [
    "errors",
    "what cannot be connected to, with the pod's errno",
    /^nobody listens: ECONNREFUSED$/m,
  ],
  ["own", "sockets of its own are left alone", /^connect: 0$/m],
];
for (const [name, what, shows] of CASES) {
  test(`as in the pod: ${what}`, () => {
    assert.match(seen.inPod.get(name) ?? "", shows);
    assert.equal(seen.through.get(name), seen.inPod.get(name));
  });
}

test("who sends records to somebody who reads none does not hold the connection when the session is over", async () => {
  assert.match(seen.inPod.get("deaf") ?? "", /^connect: 0\nsend: EAGAIN$/m);
  assert.equal(seen.through.get("deaf"), seen.inPod.get("deaf"));
  await server.said(/gone\ngone\n/);
});

test("what no expression names is this machine's, and says so", async () => {
  const argv = ["env", `DIR=${DIR}`, await program("talk-unix"), "path"];
  const { stdout } = await runInpod(sandbox, argv);
  assert.match(stdout, /^connect: ENOENT$/m);
});

test("a socket that the target's user may not use is EACCES, whatever rights the agent has", {
  skip: !isRoot && "needs root: a second uid",
}, async () => {
  const orders = await startSandbox({ uid: 1000, gid: 1000 });
  try {
    const inside = await orders.copyIntoPod(await program("talk-unix"));
    const script = `mkdir ${DIR} && cp ${inside} /tmp/unix && umask 077 && exec env DIR=${DIR} OUTSIDE=/x /tmp/unix serve`;
    await new Run(orders.inPod(["sh", "-c", script])).said("ready");
    const argv = ["env", `DIR=${DIR}`, await program("talk-unix"), "path"];
    const config = { feature: { network: { outgoing: { unix_streams: `^${DIR}/` } } } };
    const { stdout, stderr } = await runInpod(orders, argv, { config });
    assert.match(stdout, /^connect: EACCES$/m, stderr);
  } finally {
    await orders.stop();
  }
});
