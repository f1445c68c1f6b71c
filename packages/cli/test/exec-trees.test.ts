/** Process trees of every shape: each of their processes finds itself in the pod. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK, type Sandbox, startSandbox } from "@inpod/sandbox";
import { endRuns, Inventory, quoted, runInpod } from "./exec-support.ts";

let sandbox: Sandbox;
let inventory: Inventory;
let folder: string;
let shapes: string;
before(async () => {
  sandbox = await startSandbox();
  inventory = await Inventory.of(sandbox);
  folder = await mkdtemp(join(tmpdir(), "inpod-trees-"));
  shapes = join(folder, "shapes");
  const source = fileURLToPath(new URL("trees/shapes.c", import.meta.url));
  execFileSync("cc", ["-O1", "-Wall", "-Werror", "-pthread", "-o", shapes, source]);
  await mkdir(join(folder, "root/config"), { recursive: true });
  await writeFile(join(folder, "root/config/greeting"), "of the new root\n");
});
after(async () => {
  await sandbox?.stop();
  await rm(folder, { recursive: true, force: true });
});
afterEach(endRuns);

const SHAPES: Readonly<Record<string, number>> = {
  visit: 0,
  threads: 1000,
  forks: 500,
  spawns: 200,
  executes: 100,
  orphan: 2,
  "pid-namespace": 1,
  "mount-namespace": 1,
  "network-namespace": 1,
  chroot: 1,
  "without-descriptors": 1,
  "few-descriptors": 1,
};

test("threads, forks, spawns, namespaces, roots and limits: every process is in the pod", async () => {
  const visit = [shapes, NETWORK.pod.address, String(NETWORK.pod.echoPort), sandbox.files.greeting];
  const script = Object.entries(SHAPES)
    .map(([mode, n]) => quoted([...visit, mode, ...(n > 2 ? [String(n)] : [])]))
    .join("\n");
  const { stdout, stderr, code } = await runInpod(sandbox, ["sh", "-c", script], {
    env: { ...process.env, ROOT: join(folder, "root") },
  });
  const expected = Object.entries(SHAPES)
    .filter(([, n]) => n > 0)
    .map(([mode, n]) => `${mode}: ${n} of ${n}\n`);
  assert.equal(stdout, expected.join(""), stderr);
  assert.equal(code, 0);
  await inventory.assertAsBefore(folder);
});
