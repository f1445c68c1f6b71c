/**
 * What we ship in C, for arm64. On an arm64 machine the compiler of that name is its own. Under qemu's user-mode emulation,
 * where it is there (apt-get install qemu-user-static), the programs run, up to what only a kernel of arm64's can show:
 * qemu has no seccomp and no ptrace (docs/platforms.md).
 */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { compilerArguments, NATIVE } from "../native.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "inpod-arm64-"));
after(() => rmSync(folder, { recursive: true }));

const COMPILER = "aarch64-linux-gnu-gcc";
/** e_machine of elf(5). */
const EM_AARCH64 = 183;

const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;
const hasCompiler = has(COMPILER);
const EMULATOR = ["qemu-aarch64-static", "qemu-aarch64"].find(has);

for (const part of NATIVE) {
  test(`${part.name} compiles for arm64 without a warning`, {
    skip: hasCompiler ? false : `${COMPILER} is not there`,
  }, () => {
    const output = join(folder, part.name);
    execFileSync(COMPILER, compilerArguments(part, output), { cwd: root, stdio: "inherit" });
    const header = readFileSync(output).subarray(0, 64);
    assert.equal(header.readUInt16LE(18), EM_AARCH64);
  });
}

const skip = !hasCompiler
  ? `${COMPILER} is not there`
  : EMULATOR === undefined && "qemu's user-mode emulation of arm64 is not there (qemu-user-static)";
const emulated = (name: string, ...args: string[]): [string, string[]] => [
  EMULATOR ?? "",
  [join(folder, name), ...args],
];
const runs = (name: string, ...args: string[]) => {
  const [file, argv] = emulated(name, ...args);
  return spawnSync(file, argv, { encoding: "utf8", timeout: 20_000, env: {} });
};

test("the launcher takes its environment, and says why it cannot tap: qemu refuses its clone with EINVAL", {
  skip,
}, async () => {
  assert.equal(runs("inpod-launch").status, 125);
  const variables = join(folder, "variables");
  const launch = async (): Promise<{ said: string; code: number; calls: string }> => {
    const [file, argv] = emulated("inpod-launch", "3", "4", "7", "1024", "/bin/true", "true");
    const child = spawn("sh", ["-c", 'exec "$@" 4<"$0"', variables, file, ...argv], {
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      env: { PATH: process.env.PATH, QEMU_STRACE: "1" },
    });
    const [calls = "", said = ""] = await Promise.all(
      [child.stderr, child.stdio[3]].map((stream) => text(stream as Readable)),
    );
    const code = child.exitCode ?? ((await once(child, "close")) as [number])[0];
    return { said, code, calls };
  };
  writeFileSync(variables, "GREETING=hello\0");
  const tapped = await launch();
  assert.deepEqual([tapped.said, tapped.code], ["E22", 125]);
  assert.match(tapped.calls, /clone\(CLONE_FILES.*errno=22/, "so far it came");
  truncateSync(variables, 9 << 20);
  const tooMuch = await launch();
  assert.deepEqual([tooMuch.said, tooMuch.code], ["E7", 125], "E2BIG");
  assert.doesNotMatch(tooMuch.calls, /clone\(/);
});

test("an arm64 program builds the filter that packages/tap/test/filter.test.ts interprets", {
  skip,
}, () => {
  const source = join(folder, "dump.c");
  writeFileSync(
    source,
    `#include "filter.h"
int printf(const char *, ...);
int main(void) {
  static struct filter f;
  filter_build(&f, FILTER_NETWORK | FILTER_FILES | FILTER_HOSTNAME);
  for (int i = 0; i < f.length; i++) printf("%u %u %u %u\\n", f.code[i].code, f.code[i].jt, f.code[i].jf, f.code[i].k);
  return f.length > 100 ? 0 : 1;
}`,
  );
  const include = `-I${join(root, "packages/tap/native")}`;
  execFileSync(COMPILER, ["-static", include, "-o", join(folder, "dump"), source]);
  const expanded = join(folder, "expanded.c");
  writeFileSync(expanded, execFileSync(COMPILER, ["-E", "-P", include, source]));
  execFileSync("cc", ["-o", join(folder, "dump-here"), expanded]);
  const { status, stdout } = runs("dump");
  assert.equal(status, 0);
  assert.equal(stdout, execFileSync(join(folder, "dump-here"), { encoding: "utf8" }));
});

test("the keeper removes a session's folder when the session's process is gone", {
  skip,
}, async () => {
  const session = join(folder, "session");
  mkdirSync(join(session, "deep"), { recursive: true });
  writeFileSync(join(session, "deep/file"), "");
  const [file, argv] = emulated("inpod-keeper", "remove", "INPOD_SESSION=none", session);
  const child = spawn(file, argv, { stdio: ["ignore", "ignore", "inherit", "ignore", "pipe"] });
  assert.ok(existsSync(session));
  child.stdio[4]?.destroy();
  assert.deepEqual(await once(child, "exit"), [0, null]);
  assert.ok(!existsSync(session));
});

test("the agent's parent refuses wrong usage, and says why", { skip }, () => {
  const { status, stderr, stdout } = runs("inpod-enter");
  assert.equal(status, 2);
  assert.match(stdout + stderr, /needs exactly one of --pid, --container-id and --targetless/);
});

test("the preload library loads beside arm64's glibc, and without a session it changes nothing or ends the program", {
  skip,
}, (t) => {
  const libraries = "/usr/aarch64-linux-gnu";
  if (!existsSync(join(libraries, "lib/ld-linux-aarch64.so.1")))
    return t.skip(`arm64's glibc is not in ${libraries}`);
  const source = join(folder, "hello.c");
  writeFileSync(source, 'int puts(const char *); int main(void) { return puts("hello") < 0; }\n');
  execFileSync(COMPILER, ["-o", join(folder, "hello"), source]);
  const hello = (...variables: string[]) => {
    const set = [`LD_PRELOAD=${join(folder, "inpod-preload.so")}`, ...variables];
    const argv = ["-L", libraries, ...set.flatMap((each) => ["-E", each]), join(folder, "hello")];
    return spawnSync(EMULATOR ?? "", argv, { encoding: "utf8", timeout: 20_000 });
  };
  assert.deepEqual([hello().stdout, hello().status], ["hello\n", 0]);
  const gone = `INPOD_PRELOAD=1:${join(folder, "no-session")}`;
  const ended = hello(gone);
  assert.deepEqual([ended.stdout, ended.status], ["", 125], ended.stderr);
  const free = hello(gone, "INPOD_WITHOUT_SESSION=run");
  assert.deepEqual([free.stdout, free.status], ["hello\n", 0]);
  assert.notEqual(free.stderr, "");
});
