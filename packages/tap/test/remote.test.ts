/** Calls that C serves below the remote root: TypeScript is never asked. */
import assert from "node:assert/strict";
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TapPathRule } from "../src/index.ts";
import { makeRemoteRoot } from "./remote-root.ts";
import { compile, folder, run, script, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

const root = await makeRemoteRoot();

const remote = (text: string, more: Partial<TapPathRule> = {}): TapPathRule => ({
  match: "tree",
  text,
  operations: 7,
  verdict: "remote",
  ...more,
});
/** What C cannot serve would be asked of TypeScript. */
const never = (event: { kind: string }): void => {
  if (event.kind === "path") assert.fail(`asked: ${JSON.stringify(event)}`);
};
const sh = (text: string) => run(["bash", "-c", text], never);
const python = (name: string, source: string) => run(["python3", script(name, source)], never);

before(() => {
  mkdirSync(root.at("/app/config"), { recursive: true });
  mkdirSync(root.at("/elsewhere/deep"), { recursive: true });
  writeFileSync(root.at("/app/config/a.txt"), "the pod's\n");
  writeFileSync(root.at("/elsewhere/secret"), "elsewhere\n");
  symlinkSync("/elsewhere/secret", root.at("/app/absolute"));
  symlinkSync("../../../../../elsewhere/secret", root.at("/app/climbing"));
  symlinkSync("/elsewhere/deep", root.at("/app/into"));
  tap.setRemote(root);
  tap.setPathRules([remote("/app"), remote("/etc/hostname")]);
});

test("files are read as the pod's, and what is no rule's stays the developer's", async () => {
  const ran = await sh(
    "cat /app/config/a.txt; cat /app/../app//config/./a.txt; cat /etc/passwd | head -c 4; ls /elsewhere",
  );
  assert.equal(ran.stdout, "the pod's\nthe pod's\nroot");
  assert.match(ran.stderr, /elsewhere.*No such file/);
});

test("symbolic links stay below the pod's root", async () => {
  const ran = await sh(
    "cat /app/absolute /app/climbing; readlink /app/absolute; cat /app/into/../secret",
  );
  assert.equal(ran.stdout, "elsewhere\nelsewhere\n/elsewhere/secret\nelsewhere\n", ran.stderr);
});

test("stat, access and readlink give what the filesystem says, in each layout", async () => {
  const source = `#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
  struct stat s, t; struct statx x; char link[100] = {0};
  if (stat("/app/config/a.txt", &s) || fstatat(AT_FDCWD, "/app/config/a.txt", &t, 0)) return 1;
  printf("%o %ld %lu %d\\n", s.st_mode, s.st_size, s.st_ino, s.st_ino == t.st_ino && s.st_dev == t.st_dev);
  if (statx(AT_FDCWD, "/app/config/a.txt", AT_STATX_SYNC_AS_STAT, STATX_SIZE | STATX_BTIME, &x)) return 2;
  printf("%llu %d\\n", (unsigned long long)x.stx_size, (x.stx_mask & STATX_BTIME) != 0);
  if (lstat("/app/absolute", &s)) return 3;
  printf("%d %ld\\n", S_ISLNK(s.st_mode), s.st_size);
  printf("%d\\n", fstatat(AT_FDCWD, "/app/absolute", &s, 0x80000) ? errno : 0);
  printf("%d %d %d\\n", access("/app/config/a.txt", R_OK), access("/app/nothing", F_OK) ? errno : 0, access("/app/config/a.txt/", F_OK) ? errno : 0);
  printf("%zd %s\\n", readlink("/app/absolute", link, 5), link);
  printf("%d\\n", readlink("/app/config", link, 50) < 0 ? errno : 0);
  printf("%d\\n", readlink("/app/absolute", link, 0) < 0 ? errno : 0);
  printf("%d\\n", stat("/app/config/a.txt", (void *)1) ? errno : 0);
}`;
  const ran = await run([compile("looks", source)], never);
  const file = lstatSync(root.at("/app/config/a.txt"));
  const expected = [
    `100644 ${file.size} ${file.ino} 1`,
    `${file.size} 1`,
    "1 17",
    "22", // EINVAL: an unknown flag
    "0 2 20",
    "5 /else",
    "22",
    "22",
    "14",
  ];
  assert.deepEqual(ran.stdout.trim().split("\n"), expected, ran.stderr);
});

test("open keeps each of its flags", async () => {
  writeFileSync(root.at("/app/appended"), "1");
  const ran = await python(
    "flags.py",
    `import fcntl, os
def flags(fd): return fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK), fcntl.fcntl(fd, fcntl.F_GETFD)
f = os.open("/app/appended", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
print(flags(f) == (os.O_WRONLY | os.O_APPEND, 1)); os.write(f, b"2")
print(flags(os.open("/app/appended", os.O_RDWR | os.O_NONBLOCK)) == (os.O_RDWR | os.O_NONBLOCK, 1))
print(open("/app/appended").read())
def error(*a):
  try: os.open(*a)
  except OSError as e: return e.errno
print(error("/app/absolute", os.O_RDONLY | os.O_NOFOLLOW), error("/app/appended", os.O_RDONLY | os.O_DIRECTORY), error("/app/appended", os.O_CREAT | os.O_EXCL | os.O_WRONLY), error("/app/config", os.O_WRONLY))
os.umask(0o027)
new = os.open("/app/new", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666); print(oct(os.fstat(new).st_mode))
t = os.open("/app", os.O_TMPFILE | os.O_RDWR, 0o600); print(os.fstat(t).st_nlink, oct(os.fstat(t).st_mode))
p = os.open("/app/config", os.O_PATH); print(os.stat("a.txt", dir_fd=p).st_size, os.readlink(f"/proc/self/fd/{p}"))
`,
  );
  assert.deepEqual(
    ran.stdout.trim().split("\n"),
    ["True", "True", "12", "40 20 17 21", "0o100640", "0 0o100600", "10 /app/config"],
    ran.stderr,
  );
  assert.equal(lstatSync(root.at("/app/new")).mode & 0o777, 0o640);
});

test("what the pod does not have is the developer's where the rule says so, and only for reading", async () => {
  writeFileSync(`${folder}/mine`, "the developer's\n");
  tap.setPathRules([remote(folder.toLowerCase(), { fallback: true }), remote("/app")]);
  const ran = await sh(`cat ${folder}/mine; echo x >${folder}/mine; cat ${folder}/mine`);
  tap.setPathRules([remote("/app"), remote("/etc/hostname")]);
  assert.equal(ran.stdout, "the developer's\nthe developer's\n");
  assert.match(ran.stderr, /No such file/);
});

test("a file of the pod where a directory is looked for is ENOTDIR, unless the developer has one of that name", async () => {
  mkdirSync(`${folder}/both`);
  mkdirSync(root.at(folder), { recursive: true });
  writeFileSync(root.at(`${folder}/both`), "");
  tap.setPathRules([folder.toLowerCase(), "/app"].map((path) => remote(path, { fallback: true })));
  const ran = await python(
    "kinds.py",
    `import os
def error(f, *a):
  try: return f(*a)
  except OSError as e: return e.errno
print(error(os.listdir, "/app/appended"), error(os.open, "/app/appended", os.O_RDONLY | os.O_DIRECTORY), error(os.stat, "/app/appended/x"))
print(error(os.stat, "/app/nowhere"), error(os.stat, "/app/nowhere/x"))
print(error(os.listdir, "${folder}/both"))
`,
  );
  tap.setPathRules([remote("/app"), remote("/etc/hostname")]);
  assert.equal(ran.stdout, "20 20 20\n2 2\n[]\n", ran.stderr);
});

test("a relative path from a directory of the pod is the pod's, and one that climbs out of it is the rules'", async () => {
  tap.setPathRules([
    { ...remote("/app/hidden"), verdict: "not-found", isBinding: true },
    { ...remote("/app/config"), verdict: "local" },
    remote("/app"),
  ]);
  writeFileSync(root.at("/app/hidden"), "");
  const ran = await python(
    "relative.py",
    `import os
def error(f):
  try: return f()
  except OSError as e: return e.errno
app = os.open("/app", os.O_RDONLY)
print(os.readlink(f"/proc/self/fd/{app}"))
print(os.stat("config/a.txt", dir_fd=app).st_size, error(lambda: os.stat("/app/config/a.txt")))
print(error(lambda: os.stat("hidden", dir_fd=app)))
print(os.read(os.open("absolute", os.O_RDONLY, dir_fd=app), 9))
print(error(lambda: os.stat("../elsewhere/secret", dir_fd=app)), os.stat("../etc/passwd", dir_fd=app).st_ino == os.stat("/etc/passwd").st_ino)
print(error(lambda: os.stat("into/../secret", dir_fd=app)).st_size)
print(sorted(os.listdir(app))[:3], os.access("config", os.R_OK, dir_fd=app), os.readlink("into", dir_fd=app))
`,
  );
  tap.setPathRules([remote("/app"), remote("/etc/hostname")]);
  assert.deepEqual(
    ran.stdout.trim().split("\n"),
    [
      "/app",
      "10 2",
      "2",
      "b'elsewhere'",
      "2 True",
      "10",
      "['absolute', 'appended', 'climbing'] True /elsewhere/deep",
    ],
    ran.stderr,
  );
});

test("a mapped path and the developer's one are served for TypeScript", async () => {
  tap.setPathRules([{ ...remote("/asked"), verdict: "ask" }]);
  const ran = await run(
    ["sh", "-c", "cat /asked/a; cat /asked/b; test -e /asked/c || echo none"],
    (event) => {
      if (event.kind !== "path") return;
      if (event.path === "/asked/b") tap.reply(event.token, 0, 13);
      else
        tap.serveRemote(event.token, `/app/config${event.path.slice(6)}.txt`, { fallback: false });
    },
  );
  tap.setPathRules([remote("/app"), remote("/etc/hostname")]);
  assert.equal(ran.stdout, "the pod's\nnone\n");
  assert.match(ran.stderr, /Permission denied/);
});

test("a FIFO of the pod answers at once, and a thousand threads lose no call", async () => {
  const fifo = await python(
    "fifo.py",
    `import os
os.mkfifo("/proc/${process.pid}/fd/${root.rootFd}/app/fifo")
try: os.open("/app/fifo", os.O_RDONLY)
except OSError as e: print(e.errno)
`,
  );
  assert.equal(fifo.stdout, "6\n", fifo.stderr);
  const source = `#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static int opened;
static void *work(void *x) {
  for (int i = 0; i < 20; i++) {
    int fd = open("/app/config/a.txt", O_RDONLY);
    char c;
    if (fd >= 0 && read(fd, &c, 1) == 1 && c == 't') __atomic_add_fetch(&opened, 1, __ATOMIC_SEQ_CST);
    close(fd);
  }
  return x;
}
int main(void) {
  static pthread_t t[1000];
  pthread_attr_t a; pthread_attr_init(&a); pthread_attr_setstacksize(&a, 65536);
  for (int i = 0; i < 1000; i++) pthread_create(&t[i], &a, work, 0);
  for (int i = 0; i < 1000; i++) pthread_join(t[i], 0);
  printf("%d\\n", opened);
}`;
  const ran = await run([compile("threads", source, "-pthread")], never);
  assert.equal(ran.stdout, "20000\n");
});

test("where TypeScript is to be asked first, serveRemote() does the call, and a descriptor of ours can be the answer", async () => {
  const asked: string[] = [];
  tap.setRemote({ ...root, isAsked: true });
  const ran = await run(
    ["bash", "-c", "cat /app/config/a.txt; cd /app/config && cat a.txt"],
    (event) => {
      if (event.kind !== "path") return;
      asked.push(`${event.call} ${event.path}${event.isBelowRemote ? " below" : ""}`);
      if (event.call === "open" && event.path === "/app/config/a.txt" && !event.isBelowRemote)
        tap.replyDescriptor(event.token, openSync(root.at("/elsewhere/secret"), "r"));
      else tap.serveRemote(event.token, event.path, { fallback: false });
    },
  );
  tap.setRemote(root);
  assert.match(ran.stdout, /^elsewhere\n/, ran.stderr);
  assert.ok(asked.includes("open /app/config/a.txt"), asked.join("\n"));
});

test("a remote root that stands in a directory of this machine: what is opened from its directories is the pod's", async () => {
  const place = join(folder, "root");
  mkdirSync(join(place, "app/sub"), { recursive: true });
  writeFileSync(join(place, "app/sub/file"), "from the prefix\n");
  writeFileSync(join(folder, "beside"), "not the pod's\n");
  const rootFd = openSync(place, "r");
  const { dev: device } = statSync(place, { bigint: true });
  tap.setRemote({ rootFd, device, prefix: place });
  const ran = await python(
    "prefix.py",
    `import os
d = os.open("/app", os.O_RDONLY | os.O_DIRECTORY)
print(os.read(os.open("sub/file", os.O_RDONLY, dir_fd=d), 100).decode(), end="")
print(os.read(os.open("../app/sub/file", os.O_RDONLY, dir_fd=d), 100).decode(), end="")
other = os.open(${JSON.stringify(folder)}, os.O_RDONLY | os.O_DIRECTORY)
print(os.read(os.open("beside", os.O_RDONLY, dir_fd=other), 100).decode(), end="")
try: os.open("../../beside", os.O_RDONLY, dir_fd=d)
except OSError as error: print(error.strerror)
`,
  );
  tap.setRemote(root);
  closeSync(rootFd);
  assert.equal(
    ran.stdout,
    "from the prefix\nfrom the prefix\nnot the pod's\nNo such file or directory\n",
    ran.stderr,
  );
});
