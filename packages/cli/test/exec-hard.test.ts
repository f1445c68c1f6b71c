/**
 * Programs that are hard to watch: 32-bit ones, such as may not be looked into, setuid ones, and those that install seccomp
 * filters themselves. docs/platforms.md says what users are told of it.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK } from "@inpod/sandbox";
import { isRoot, runInpod, startInpod, useSandbox } from "./exec-support.ts";

const { sandbox, folder } = await useSandbox();

const HARD = fileURLToPath(new URL("hard", import.meta.url));
const { greetings, httpPort, refusedPort } = NETWORK.services;
const { pod, client } = NETWORK;

chmodSync(folder, 0o755);

const compile = (name: string, ...flags: string[]): string => {
  const program = join(folder, name);
  execFileSync("cc", ["-O1", "-Wall", "-o", program, join(HARD, `${name}.c`), ...flags], {
    stdio: "pipe",
  });
  return program;
};

const BARE = ["-m32", "-nostdlib", "-static", "-fno-pic", "-no-pie", "-fno-stack-protector"];

test("a 32-bit program talks and reads as the pod, by i386's own calls and by socketcall", async (t) => {
  if (process.arch !== "x64") return t.skip("i386 programs run on x86-64");
  const program = compile("i386", ...BARE, "-fno-builtin");
  const file = sandbox.files.settings;
  const facts = [greetings, String(httpPort), String(refusedPort), file, String(pod.httpPort)];
  const run = await startInpod(sandbox, [program, ...facts], { flags: ["--steal"] });
  const answers: string[] = [];
  for (let i = 0; i < 2; i++) {
    await run.said(new RegExp(`(?:bound[^]*){${i + 1}}`));
    answers.push((await sandbox.request({ timeoutMs: 10_000 })).body);
  }
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  assert.deepEqual(answers, ["32 bits", "32 bits"]);
  const inPod = await new Promise<string>((resolve) => {
    let text = "";
    const child = sandbox.inPod(["cat", file], { stdio: ["ignore", "pipe", "ignore"] });
    child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.once("close", () => resolve(text));
  });
  const once = [
    "connect 0",
    `peer ${greetings}:${httpPort}`,
    `local ${pod.address}`,
    `greetings to ${pod.address}`,
    "refused -111",
    inPod.trimEnd().split("\n").at(-1),
    `stat 0 size ${inPod.length} type 8 access 0`,
    "chdir -95 0 /usr",
    `host ${pod.hostname}`,
    "bind 0 listen 0",
    `bound 0.0.0.0:${pod.httpPort}`,
    `client ${client.address}`,
  ];
  assert.deepEqual(stdout.trimEnd().split("\n"), [...once, ...once], stderr);
  assert.equal(stderr.match(/32-bit/g)?.length, 1, stderr);
  assert.match(stderr, /a 32-bit program cannot work in a directory of the pod \(EOPNOTSUPP\)/);
});

test("a program that may not be looked into goes on natively, and is named once; root's is in the pod's place", async () => {
  const undumpable = compile("undumpable");
  const unreadable = join(folder, "unreadable");
  copyFileSync(undumpable, unreadable);
  chmodSync(unreadable, 0o111); // its owner may not read it either
  const script = `${undumpable} ${greetings}; ${undumpable} ${greetings}; ${unreadable} ${greetings} as-it-is`;
  const { code, stdout, stderr } = await runInpod(sandbox, ["sh", "-c", script]);
  assert.equal(code, 0, stderr);
  const told = stderr.match(/inpod: \S* may not be looked into/g) ?? [];
  if (isRoot) {
    assert.equal(stdout, "connected\n".repeat(3), stderr);
    assert.deepEqual(told, []);
  } else {
    // The laptop has no way there.
    assert.match(stdout, /^((ENET|EHOST)UNREACH\n){3}$/, stderr);
    assert.deepEqual(told, [
      "inpod: undumpable may not be looked into",
      "inpod: unreadable may not be looked into",
    ]);
  }
});

const setUid = (): string => {
  const program = join(folder, "set-uid");
  copyFileSync("/bin/true", program);
  chmodSync(program, 0o4755);
  return program;
};

test("setuid programs and such with capabilities are named where no_new_privs takes their rights", async () => {
  const program = setUid();
  const withCapabilities = join(folder, "capable");
  copyFileSync("/bin/true", withCapabilities);
  chmodSync(withCapabilities, 0o755);
  const capability =
    'import os,sys; os.setxattr(sys.argv[1], "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))';
  if (isRoot) execFileSync("python3", ["-c", capability, withCapabilities]);
  const script = `${program}; ${withCapabilities}; grep NoNewPrivs /proc/self/status`;
  const through = isRoot ? { through: ["setpriv", "--no-new-privs"] } : {};
  const { code, stdout, stderr } = await runInpod(sandbox, ["sh", "-c", script], through);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /NoNewPrivs:\t1/);
  assert.match(stderr, /set-uid is a setuid or setgid program: .*run it outside of inpod exec/);
  if (isRoot) assert.match(stderr, /capable has file capabilities: .*no_new_privs/);
  if (!isRoot) return;
  const free = await runInpod(sandbox, ["sh", "-c", script]);
  assert.match(free.stdout, /NoNewPrivs:\t0/, "root's filter needs no no_new_privs");
  assert.doesNotMatch(free.stderr, /setuid|capabilities/);
});

test("filters stack; a seccomp listener of a program's own is refused, and who asked for it is named", async () => {
  const { code, stdout, stderr } = await runInpod(sandbox, [compile("filters")]);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "filter 0\nlistener EBUSY\nrefused EPERM\n");
  assert.match(stderr, /filters asked to watch system calls by itself .*EBUSY/);
});
