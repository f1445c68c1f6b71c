/** Unix sockets of the pod: sandbox/witness/talk/unix.c sees the same in the pod and through inpod. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Sandbox, startSandbox } from "@inpod/sandbox";
import { endRuns, isRoot, Run, runInpod } from "./exec-support.ts";
import { inPodAndThrough, program } from "./talk-support.ts";

/** Only the pod has it. */
const DIR = "/run/talk-witness";
const settings = { DIR };
let sandbox: Sandbox;
let seen: Awaited<ReturnType<typeof inPodAndThrough>>;
before(async () => {
  sandbox = await startSandbox();
  const inside = await sandbox.copyIntoPod(await program("talk-unix"));
  // Under another name: a program that runs is not written to.
  const script = `mkdir ${DIR} && cp ${inside} /tmp/unix && exec env DIR=${DIR} /tmp/unix serve`;
  await new Run(sandbox.inPod(["sh", "-c", script])).said("ready");
  const unixStreams = [`^${DIR}/`, "^@talk"];
  seen = await inPodAndThrough(sandbox, "talk-unix", ["path", "abstract", "errors", "own"], {
    settings,
    config: { feature: { network: { outgoing: { unix_streams: unixStreams } } } },
  });
});
after(async () => {
  await endRuns();
  await sandbox?.stop();
});

const CASES: readonly (readonly [name: string, what: string, shows: RegExp])[] = [
  ["path", "by path, over a link, non-blocking, half-close", /^read: got abc, uid 0 gid 0$/m],
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
    const script = `mkdir ${DIR} && cp ${inside} /tmp/unix && umask 077 && exec env DIR=${DIR} /tmp/unix serve`;
    await new Run(orders.inPod(["sh", "-c", script])).said("ready");
    const argv = ["env", `DIR=${DIR}`, await program("talk-unix"), "path"];
    const config = { feature: { network: { outgoing: { unix_streams: `^${DIR}/` } } } };
    const { stdout, stderr } = await runInpod(orders, argv, { config });
    assert.match(stdout, /^connect: EACCES$/m, stderr);
  } finally {
    await orders.stop();
  }
});
