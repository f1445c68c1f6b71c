/** What this machine can refuse, each refused for real: the built inpod says which setting it is, and starts nothing. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Sandbox, startSandbox } from "@inpod/sandbox";
import { refusing } from "./refusing.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const CLI = join(ROOT, "dist/cli.js");
const MACHINE = 6;
const TIMEOUT_MS = 60_000;

const folder = mkdtempSync(join(tmpdir(), "inpod-doors-"));
chmodSync(folder, 0o755);
const marker = join(folder, "started");
let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox();
});
after(async () => {
  await sandbox?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command as a developer on the sandbox's laptop would. */
function onLaptop(argv: readonly string[]): Promise<Ended> {
  const child = sandbox.inLaptop(argv, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
  const output = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk: Buffer) => {
    output.stdout += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    output.stderr += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, ...output });
    });
  });
}

const exec = (...command: string[]): string[] => [
  ...[process.execPath, CLI, "exec", "--target", `process/${sandbox.pid}`, "--", ...command],
];

test("with every door open the command runs in the pod's place", async () => {
  const ended = await onLaptop(exec("sh", "-c", `echo $GREETING; touch ${marker}`));
  assert.equal(ended.code, 0, ended.stderr);
  assert.notEqual(ended.stdout.trim(), "");
  assert.ok(existsSync(marker), "the marker by which the other tests see that nothing ran");
  rmSync(marker);
});

test("pidfd_getfd refused: the error names the setting, and nothing is started here or in the pod", async () => {
  const processes = await sandbox.processes();
  const ended = await onLaptop([refusing(folder, "pidfd_getfd"), ...exec("touch", marker)]);
  assert.equal(ended.code, MACHINE, ended.stderr);
  assert.equal(ended.stdout, "");
  assert.match(ended.stderr, /refuses pidfd_getfd/);
  assert.match(ended.stderr, /EPERM/);
  assert.match(ended.stderr, /--cap-add SYS_PTRACE/);
  assert.doesNotMatch(ended.stderr, /\n\s+at /, "no stack: it is not a bug");
  assert.ok(!existsSync(marker));
  assert.deepEqual(
    (await sandbox.processes()).map(({ pid }) => pid),
    processes.map(({ pid }) => pid),
  );
});

test("a listener is already there (inpod inside inpod): the inner one says so, nothing runs untapped, and the pod is as before", async () => {
  const ended = await onLaptop(exec(...exec("touch", marker)));
  assert.equal(ended.code, MACHINE, ended.stderr);
  assert.match(ended.stderr, /cannot be watched on this machine/);
  assert.match(ended.stderr, /EBUSY: something above already watches it \(inpod inside inpod/);
  assert.ok(!existsSync(marker));
  assert.equal(await sandbox.ruleset(), "");
});

test("user namespaces refused: an ordinary user's sandbox names the setting and how to change it", () => {
  // The limit of a namespace of our own is the only one that a test may change.
  const start = `import("@inpod/sandbox").then(({ startSandbox }) => startSandbox()).then(
    () => process.exit(0),
    (error) => { console.log(error.message); process.exit(3); },
  )`;
  const node = [process.execPath, "--import", "tsx", "--input-type=module", "--eval", start];
  // --keep-caps: who is not root there may change the limit, and gives up the right to.
  const script =
    'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --inh-caps=-all --ambient-caps=-all "$@"';
  const asNobody = ["--user", "--map-user=12345", "--map-group=12345", "--keep-caps"];
  const child = spawnSync("unshare", [...asNobody, "sh", "-c", script, "sh", ...node], {
    cwd: ROOT,
    encoding: "utf8",
    timeout: TIMEOUT_MS,
  });
  assert.equal(child.status, 3, child.stderr + child.stdout);
  assert.match(child.stdout, /user\.max_user_namespaces is 0/);
  assert.match(child.stdout, /sudo sysctl user\.max_user_namespaces=10000/);
});
