import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FileServerRefused, startFileServer, type Via } from "../src/index.ts";
import { Backend } from "./support/backend.ts";
import { folder, output, serving } from "./support/mounted.ts";

const isRoot = process.getuid?.() === 0;

function unavailable(via: Via): string | false {
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
  } catch {
    return "needs /dev/fuse";
  }
  if (via === "detached") return isRoot ? false : "needs root";
  if (via === "userns") return false;
  try {
    // It looks its user up.
    execFileSync("sh", ["-c", "command -v fusermount3 && id -un"], { stdio: "ignore" });
    return false;
  } catch {
    return "needs fusermount3, and a user with a name";
  }
}

for (const via of ["detached", "userns", "fusermount"] as const) {
  test(`${via}: read and written by its descriptor, and nowhere to be found`, async (t) => {
    const why = unavailable(via);
    if (why) return t.skip(why);
    const root = folder(t);
    mkdirSync(join(root, "d"));
    writeFileSync(join(root, "d/file"), "content");
    const backend = new Backend(root);
    t.after(() => backend.close());
    const server = await serving(t, backend, { ways: [via] });
    assert.equal(server.via, via);
    const pod = { server, folder: "/d" };
    assert.equal(await output(pod, "cat", "file"), "content");
    // A program that is given a descriptor sees where it is in the pod.
    const path = await output(pod, "sh", "-c", "exec 5<file; readlink /proc/self/fd/5");
    assert.equal(path, "/d/file\n");
    assert.doesNotMatch(readFileSync("/proc/self/mounts", "latin1"), /inpod/);
    // Whose user namespace knows no other user could else not write what is shown as another's.
    const uid = await output(pod, "stat", "--format=%u", "file");
    assert.equal(uid, `${process.geteuid?.()}\n`);
    const device = await output(pod, "stat", "--format=%d", "file");
    assert.equal(BigInt(device), server.device);
  });
}

test("a closed way is said with what closes it, and the next one is taken", async (t) => {
  const why = unavailable("userns");
  if (why) return t.skip(why);
  if (isRoot) return t.skip("needs an ordinary user: to root the first way is open");
  const backend = new Backend(folder(t));
  t.after(() => backend.close());
  const server = await serving(t, backend);
  assert.equal(server.via, "userns");
  assert.match(server.refusals.join(), /a detached mount: fsopen: EPERM \(CAP_SYS_ADMIN/);
});

test("without a way, or without the pod's root, there is no server", async (t) => {
  const backend = new Backend(folder(t));
  t.after(() => backend.close());
  await assert.rejects(startFileServer({ link: backend, ways: [] }), FileServerRefused);
  const gone = new Backend("/nonexistent");
  await assert.rejects(startFileServer({ link: gone }), /errno 2/);
});
