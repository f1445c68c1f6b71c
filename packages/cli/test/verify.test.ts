import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeFolder } from "@inpod/layer/snapshot-folders";
import { compare, parseInventory } from "../src/verify/inventory.ts";
import { judgeMounts, judgeProcesses, machineFindings } from "../src/verify/machine.ts";

const SESSION = "abc123";
const cli = {
  pid: 10,
  parent: 1,
  name: "node",
  words: ["node", "/x/dist/cli.js", "exec"],
  session: undefined,
};
const keeper = (parent: number) => ({
  pid: 11,
  parent,
  name: "inpod-keeper",
  words: ["/x/inpod-keeper", "stop", `INPOD_SESSION=${SESSION}`],
  session: SESSION,
});
const program = (parent: number) => ({
  pid: 12,
  parent,
  name: "server",
  words: ["./server"],
  session: SESSION,
});
const verdicts = (...processes: Parameters<typeof judgeProcesses>[0]): string[] =>
  judgeProcesses(processes).map(({ verdict }) => verdict);

test("the processes of a living session are in use, also those that have left its tree", () => {
  assert.deepEqual(verdicts(cli, keeper(10), program(10)), ["held", "held"]);
  assert.deepEqual(verdicts(cli, keeper(10), program(1)), ["held", "held"]);
});

test("a daemon that outlives its session has its keeper, and is a known exception", () => {
  assert.deepEqual(verdicts(keeper(1), program(1)), ["exception", "exception"]);
});

test("a process of a session without inpod and without keeper is left", () => {
  assert.deepEqual(verdicts(program(1)), ["left"]);
});

test("a file server is left when its inpod has gone", () => {
  const server = {
    pid: 14,
    parent: 1,
    name: "node",
    words: ["/usr/bin/node", "--max-semi-space-size=4", "/x/dist/files.js", "10"],
    session: undefined,
  };
  assert.deepEqual(verdicts(server), ["left"]);
  assert.deepEqual(verdicts(cli, { ...server, parent: 10 }), ["held"]);
  assert.deepEqual(verdicts({ ...server, words: ["node", "files.js"] }), []);
});

test("a directory of the pod's files is left when the process that its name tells of has gone", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "inpod-verify-"));
  const before = process.env.XDG_RUNTIME_DIR;
  process.env.XDG_RUNTIME_DIR = folder;
  t.after(() => {
    if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
    else process.env.XDG_RUNTIME_DIR = before;
    rmSync(folder, { recursive: true });
  });
  const { path } = makeFolder();
  const found = (): string[] =>
    machineFindings()
      .map(({ what }) => what)
      .filter((what) => what.includes(folder));
  assert.deepEqual(found(), []);
  // As if this process were another one that had its number.
  const left = path.replace(/\.\d+\.(\w{6})$/, ".1.$1");
  renameSync(path, left);
  assert.deepEqual(found(), [`directory ${left}`]);
  assert.notEqual(makeFolder().path, left);
  assert.deepEqual(found(), []);
});

test("an agent on this machine is left when its inpod has gone", () => {
  const enter = {
    pid: 13,
    parent: 1,
    name: "inpod-enter",
    words: ["/x/inpod-enter"],
    session: undefined,
  };
  assert.deepEqual(verdicts(enter), ["left"]);
  assert.deepEqual(verdicts(cli, { ...enter, parent: 10 }), ["held"]);
});

test("a mount of inpod is left, those of others are not ours", () => {
  assert.equal(judgeMounts("tmpfs /tmp tmpfs rw 0 0\nx /mnt/a fuse.sshfs rw 0 0\n").length, 0);
  assert.equal(judgeMounts("pod /mnt/b fuse.inpod rw 0 0\n")[0]?.what, "mount /mnt/b");
});

test("a real process with the mark of a session that is over is found by its pid", async (t) => {
  const child = spawn("sleep", ["60"], {
    env: { ...process.env, INPOD_SESSION: "no-such-session" },
  });
  t.after(() => child.kill("SIGKILL"));
  await new Promise((resolve) => child.once("spawn", resolve));
  const found = machineFindings().find(({ what }) => what.startsWith(`process ${child.pid} `));
  assert.equal(found?.verdict, "left");
});

test("what is new and what is gone since is named, and what could not be seen is not guessed", () => {
  const before = { cluster: { "pods/a/x": "1", "pods/a/y": "2", "secrets/a/s": "3" }, unseen: [] };
  const now = { cluster: { "pods/a/x": "1", "pods/a/y": "9" }, unseen: ["secrets"] };
  assert.deepEqual(
    compare(before, now).map(({ what, why }) => `${what} ${why}`),
    ["pods/a/y it was not there", "pods/a/y it is gone", "secrets you may not list them"],
  );
});

test("a file that is no inventory is refused", () => {
  for (const value of [null, 1, {}, { cluster: { a: 1 }, unseen: [] }, { cluster: {}, unseen: 1 }])
    assert.throws(() => parseInventory(value), /no inventory/);
});
