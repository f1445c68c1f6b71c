/** What this machine can refuse, each refused for real: the built inpod says which setting it is, and starts nothing. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK } from "@inpod/sandbox";
import { useSandbox } from "./exec-support.ts";
import { type Refused, refusing } from "./refusing.ts";

const { sandbox, folder } = await useSandbox();

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const CLI = join(ROOT, "dist/cli.js");
const MACHINE = 6;
const TIMEOUT_MS = 60_000;

chmodSync(folder, 0o755);
const marker = join(folder, "started");

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

/** Each door without which nothing works, how it is shut, and what is said. The numbers are those of seccomp's ioctls. */
const SHUT: readonly (readonly [what: string, calls: readonly Refused[], says: RegExp])[] = [
  [
    "pidfd_getfd, as Docker does",
    ["pidfd_getfd"],
    /refuses pidfd_getfd[\s\S]*EPERM[\s\S]*--cap-add SYS_PTRACE/,
  ],
  [
    "what Yama's ptrace_scope 2 and 3 refuse",
    ["pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace"],
    /refuses pidfd_getfd[\s\S]*EPERM/,
  ],
  ["process_vm_readv", ["process_vm_readv"], /read a child's memory[\s\S]*EPERM[\s\S]*SYS_PTRACE/],
  [
    "process_vm_readv, as SELinux and AppArmor do",
    [{ call: "process_vm_readv", errno: "EACCES" }],
    /read a child's memory[\s\S]*EACCES[\s\S]*setsebool deny_ptrace off/,
  ],
  ["process_vm_writev", ["process_vm_writev"], /write a child's memory[\s\S]*EPERM/],
  ["seccomp, as gVisor does", [{ call: "seccomp", errno: "EINVAL" }], /EINVAL[\s\S]*gVisor/],
  [
    "SECCOMP_ADDFD_FLAG_SEND, as kernels before 5.14 do",
    [{ call: "ioctl", errno: "EINVAL", argument: [1, "0x40182103"] }],
    /SECCOMP_ADDFD_FLAG_SEND, Linux 5\.14[\s\S]*EINVAL[\s\S]*newer kernel/,
  ],
  [
    "openat2",
    [{ call: "openat2", errno: "ENOSYS" }],
    /refuses openat2[\s\S]*ENOSYS[\s\S]*newer kernel/,
  ],
  ["memfd_create", ["memfd_create"], /refuses memfd_create[\s\S]*EPERM[\s\S]*seccomp=unconfined/],
  [
    "SO_COOKIE",
    [{ call: "getsockopt", errno: "ENOPROTOOPT", argument: [2, "SO_COOKIE"] }],
    /does not name sockets[\s\S]*ENOPROTOOPT/,
  ],
];

for (const [what, calls, says] of SHUT) {
  test(`refused: ${what}: the error names it, and nothing is started`, async () => {
    const ended = await onLaptop([refusing(folder, ...calls), ...exec("touch", marker)]);
    assert.equal(ended.code, MACHINE, ended.stderr);
    assert.equal(ended.stdout, "");
    assert.match(ended.stderr, says);
    assert.doesNotMatch(ended.stderr, /\n\s+at |agent started/, "no stack, and no agent");
    assert.ok(!existsSync(marker));
  });
}

test("what has another way is used by it: no tracing, no wake-up, interruptible waits, no connects in progress, none of the newest calls", async () => {
  const calls: Refused[] = [
    "ptrace",
    { call: "ioctl", errno: "EINVAL", argument: [1, "0x40082104"] },
    // SECCOMP_FILTER_FLAG_NEW_LISTENER and SPEC_ALLOW with SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    { call: "seccomp", errno: "EINVAL", argument: [1, "0x2c"] },
    // Simultaneous opens need it: without, connects are not left in progress, but wait for the agent.
    { call: "setsockopt", argument: [2, "SO_REUSEPORT"] },
    { call: "clone3", errno: "ENOSYS" },
    { call: "close_range", errno: "ENOSYS" },
    { call: "faccessat2", errno: "ENOSYS" },
    { call: "io_uring_setup", errno: "ENOSYS" },
  ];
  const { greetings } = NETWORK.services;
  const command = `cat ${sandbox.files.settings}; curl -sS --max-time 20 http://${greetings}/`;
  const ended = await onLaptop([refusing(folder, ...calls), ...exec("sh", "-c", command)]);
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stdout, new RegExp(`greetings to ${NETWORK.pod.address}`));
  assert.match(ended.stdout, /\{/, "the pod's file");
});

test("inpod inside inpod: the inner one says where it is and what to do, nothing runs untapped, and the pod is as before", async () => {
  const ended = await onLaptop(exec(...exec("touch", marker)));
  assert.equal(ended.code, MACHINE, ended.stderr);
  assert.match(ended.stderr, /watched already, and only one can do that/);
  assert.match(ended.stderr, /because: EBUSY/);
  assert.match(ended.stderr, /inside of inpod exec: run it in another terminal/);
  assert.equal(ended.stderr.match(/agent started/g)?.length, 1, "the outer one's");
  assert.doesNotMatch(ended.stderr, /asked to watch/, "said once, by the inner one");
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
