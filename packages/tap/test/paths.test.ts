import assert from "node:assert/strict";
import { after, test } from "node:test";
import { compile, letGo, ruleFor, run, script, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

test("a file by rule is the content we give, with its mode and time", async () => {
  tap.setPathRules([ruleFor("/etc/inpod-pod")]);
  const ran = await run(["sh", "-c", "cat /etc/inpod-pod; cat /etc/../etc/INPOD-pod"], (event) => {
    if (event.kind !== "path") return letGo(event);
    tap.replyFile(event.token, {
      name: event.path,
      content: Buffer.from(`${event.call} ${event.path}\n`),
      mode: 0o100640,
      mtimeNs: 1_700_000_000_123_456_789n,
    });
  });
  assert.equal(ran.stdout, "open /etc/inpod-pod\nopen /etc/INPOD-pod\n");
});

test("relative paths and descriptors of directories are resolved before the rules are asked", async () => {
  tap.setPathRules([ruleFor("/etc/inpod-pod")]);
  const seen: string[] = [];
  const python = script(
    "relative.py",
    "import os\nfd = os.open('/etc', os.O_RDONLY)\nos.chdir('/usr')\n" +
      "for f in (lambda: os.stat('inpod-pod', dir_fd=fd), lambda: os.stat('../etc/./inpod-pod'), lambda: os.readlink('../etc/inpod-pod')):\n" +
      "  try: f()\n  except OSError as e: print(e.errno)\n",
  );
  const ran = await run(["python3", python], (event) => {
    if (event.kind !== "path") return letGo(event);
    seen.push(`${event.call} ${event.path}`);
    tap.reply(event.token, 0, 13);
  });
  assert.deepEqual(seen, ["stat /etc/inpod-pod", "stat /etc/inpod-pod", "readlink /etc/inpod-pod"]);
  assert.equal(ran.stdout, "13\n13\n13\n");
});

const STAT = {
  mode: 0o100640,
  size: 5_000_000_000n,
  ino: 42n,
  dev: 1n,
  nlink: 1,
  uid: 1234,
  gid: 5678,
  rdev: 0n,
  blksize: 4096,
  blocks: 8n,
  atimeNs: 1n,
  mtimeNs: 1_700_000_000_123_456_789n,
  ctimeNs: 1n,
};

test("stat tells what we answer, in the layout of each of its calls", async () => {
  tap.setPathRules([ruleFor("/etc/inpod-pod")]);
  const source = `#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
  struct stat s; struct statx x;
  if (stat("/etc/inpod-pod", &s)) return 1;
  printf("%o %ld %lu %u %u %ld.%09ld\\n", s.st_mode, s.st_size, s.st_ino, s.st_uid, s.st_gid, s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  if (statx(AT_FDCWD, "/etc/inpod-pod", 0, STATX_BASIC_STATS, &x)) return 2;
  printf("%o %llu %llu %u %u %lld.%09u\\n", x.stx_mode, x.stx_size, x.stx_ino, x.stx_uid, x.stx_gid, (long long)x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec);
#ifdef SYS_lstat
  if (syscall(SYS_lstat, "/etc/inpod-pod", &s)) return 3;
  printf("%o %ld\\n", s.st_mode, s.st_size);
#endif
}`;
  const ran = await run([compile("stats", source)], (event) => {
    if (event.kind !== "path") return letGo(event);
    tap.replyStat(event.token, STAT);
  });
  const line = "100640 5000000000 42 1234 5678 1700000000.123456789\n";
  assert.ok(ran.stdout.startsWith(line + line), ran.stdout);
});

test("a path that a rule hides does not exist, without asking", async () => {
  tap.setPathRules([{ ...ruleFor("/etc/passwd", "not-found") }]);
  const ran = await run(["cat", "/etc/passwd"], letGo);
  assert.match(ran.stderr, /No such file/);
});

test("calls in quick succession with the same arguments are calls of their own", async () => {
  tap.setPathRules([{ ...ruleFor("/etc/inpod-"), match: "prefix" }]);
  const source = `#include <stdio.h>
#include <sys/stat.h>
int main(void) {
  static char path[64];
  static struct stat s;
  int right = 0;
  for (int i = 0; i < 3000; i++) {
    snprintf(path, sizeof path, "/etc/inpod-%d", i);
    if (lstat(path, &s) == 0 && s.st_size == i) right++;
  }
  printf("%d\\n", right);
}`;
  const ran = await run([compile("succession", source)], (event) => {
    if (event.kind !== "path") return letGo(event);
    tap.replyStat(event.token, { ...STAT, size: BigInt(event.path.slice("/etc/inpod-".length)) });
  });
  assert.equal(ran.stdout, "3000\n");
});
