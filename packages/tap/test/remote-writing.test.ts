/** Every call that changes what a path names, below the remote root, and real programs that work there. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { TapPathRule } from "../src/index.ts";
import { makeRemoteRoot } from "./remote-root.ts";
import { compile, folder, run, script, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

const root = await makeRemoteRoot();
const remote: TapPathRule = { match: "tree", text: "/data", operations: 7, verdict: "remote" };
/** What C cannot serve would be asked of TypeScript. */
const never = (event: { kind: string }): void => {
  if (event.kind === "path") assert.fail(`asked: ${JSON.stringify(event)}`);
};
const python = (name: string, source: string) => run(["python3", script(name, source)], never);

before(() => {
  mkdirSync(root.at("/data"));
  tap.setRemote(root);
  tap.setPathRules([remote]);
});

test("each call that changes a name or an attribute does so in the pod", async () => {
  const source = `#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>
#define CHECK(what) do { errno = 0; long r_ = (what); if (r_ < 0) printf("%s: %s\\n", #what, strerror(errno)); } while (0)
#define FAILS(what, e) do { errno = 0; long r_ = (what); if (r_ >= 0 || errno != (e)) printf("%s: %ld %s\\n", #what, r_, strerror(errno)); } while (0)
#define IS(what) do { if (!(what)) printf("not %s\\n", #what); } while (0)
int main(int c, char **v) {
  struct stat s; struct statfs f; char value[100] = {0};
  umask(022);
  CHECK(mkdir("/data/d", 0777)); CHECK(stat("/data/d", &s)); IS((s.st_mode & 07777) == 0755);
  CHECK(mkdir("/data/d/slash/", 0700)); FAILS(mkdir("/data/d", 0700), EEXIST); FAILS(mkdir("/data/no/d", 0700), ENOENT);
  umask(077);
  int fd = creat("/data/d/f", 0666); CHECK(fd); CHECK(write(fd, "12345", 5)); close(fd);
  CHECK(stat("/data/d/f", &s)); IS((s.st_mode & 07777) == 0600);
  CHECK(truncate("/data/d/f", 3)); CHECK(stat("/data/d/f", &s)); IS(s.st_size == 3);
  CHECK(chmod("/data/d/f", 0640)); CHECK(fchmodat(AT_FDCWD, "/data/d/f", 0604, 0)); CHECK(stat("/data/d/f", &s)); IS((s.st_mode & 07777) == 0604);
  CHECK(chown("/data/d/f", -1, getgid())); CHECK(lchown("/data/d/f", getuid(), -1)); CHECK(fchownat(AT_FDCWD, "/data/d/f", -1, -1, AT_SYMLINK_NOFOLLOW));
  CHECK(symlink("f", "/data/d/l")); CHECK(symlink("/outside", "/data/d/out")); FAILS(symlink("f", "/data/d/l"), EEXIST);
  struct timespec t[2] = {{1000, 1}, {2000, 2}};
  CHECK(utimensat(AT_FDCWD, "/data/d/l", t, 0)); CHECK(stat("/data/d/f", &s)); IS(s.st_mtim.tv_sec == 2000 && s.st_mtim.tv_nsec == 2);
  CHECK(utimensat(AT_FDCWD, "/data/d/l", t, AT_SYMLINK_NOFOLLOW)); CHECK(lstat("/data/d/l", &s)); IS(s.st_mtim.tv_sec == 2000);
  struct utimbuf u = {5, 6}; CHECK(utime("/data/d/f", &u)); CHECK(stat("/data/d/f", &s)); IS(s.st_mtim.tv_sec == 6);
  struct timeval v2[2] = {{7, 8}, {9, 10}}; CHECK(utimes("/data/d/f", v2)); CHECK(stat("/data/d/f", &s)); IS(s.st_mtim.tv_sec == 9 && s.st_mtim.tv_nsec == 10000);
  CHECK(utimes("/data/d/f", NULL)); CHECK(stat("/data/d/f", &s)); IS(s.st_mtim.tv_sec > 1000000000);
  CHECK(link("/data/d/f", "/data/d/h")); CHECK(linkat(AT_FDCWD, "/data/d/l", AT_FDCWD, "/data/d/h2", AT_SYMLINK_FOLLOW)); CHECK(stat("/data/d/f", &s)); IS(s.st_nlink == 3);
  CHECK(linkat(AT_FDCWD, "/data/d/l", AT_FDCWD, "/data/d/l2", 0)); CHECK(lstat("/data/d/l2", &s)); IS(S_ISLNK(s.st_mode));
  CHECK(rename("/data/d/h", "/data/d/r")); FAILS(stat("/data/d/h", &s), ENOENT);
  FAILS(syscall(SYS_renameat2, AT_FDCWD, "/data/d/r", AT_FDCWD, "/data/d/f", 1), EEXIST);
  char mine[4096]; snprintf(mine, sizeof mine, "%s/mine", v[1]); close(creat(mine, 0600));
  FAILS(rename(mine, "/data/d/mine"), EXDEV); FAILS(rename("/data/d/r", mine), EXDEV); FAILS(link(mine, "/data/d/mine"), EXDEV);
  CHECK(mknod("/data/d/p", S_IFIFO | 0600, 0)); CHECK(stat("/data/d/p", &s)); IS(S_ISFIFO(s.st_mode));
  CHECK(unlink("/data/d/p")); FAILS(unlink("/data/d/slash"), EISDIR); FAILS(rmdir("/data/d"), ENOTEMPTY); CHECK(rmdir("/data/d/slash")); FAILS(unlinkat(AT_FDCWD, "/data/d/f/", 0), ENOTDIR);
  FAILS(rmdir("/data/d/."), EINVAL);
  if (setxattr("/data/d/f", "user.inpod", "abc", 3, 0) == 0) {
    IS(getxattr("/data/d/l", "user.inpod", NULL, 0) == 3); IS(getxattr("/data/d/f", "user.inpod", value, sizeof value) == 3 && !strcmp(value, "abc"));
    FAILS(getxattr("/data/d/f", "user.inpod", value, 2), ERANGE); FAILS(lgetxattr("/data/d/l", "user.inpod", value, 9), ENODATA);
    IS(listxattr("/data/d/f", value, sizeof value) == 11); FAILS(setxattr("/data/d/f", "user.inpod", "", 0, XATTR_CREATE), EEXIST);
    CHECK(removexattr("/data/d/f", "user.inpod"));
  } else IS(errno == EOPNOTSUPP);
  FAILS(getxattr("/data/d/f", "user.none", value, 9), ENODATA);
  CHECK(statfs("/data/d/f", &f)); IS(f.f_type == 0x01021994);
  FAILS(name_to_handle_at(AT_FDCWD, "/data/d/f", (void *)value, (int *)value, 0), EOPNOTSUPP);
  FAILS(inotify_add_watch(inotify_init1(0), "/data/d", IN_CREATE), ENOSPC);
  FAILS(truncate("/data/d/l3", 1), ENOENT); FAILS(chmod("/data/d/out", 0600), ENOENT);
  FAILS(mkdir((char *)1, 0), EFAULT); FAILS(rename("/data/d/f", ""), ENOENT);
  int dir = open("/data/d", O_RDONLY | O_DIRECTORY);
  CHECK(mkdirat(dir, "below", 0700)); CHECK(renameat(dir, "below", dir, "moved")); CHECK(unlinkat(dir, "moved", AT_REMOVEDIR)); CHECK(symlinkat("x", dir, "y")); CHECK(unlinkat(dir, "y", 0));
  CHECK(linkat(dir, "f", AT_FDCWD, "/data/d/from-fd", 0)); FAILS(renameat(dir, "f", AT_FDCWD, mine), EXDEV);
  CHECK(futimens(dir, NULL)); CHECK(fchownat(dir, "", -1, -1, AT_EMPTY_PATH));
  puts("done");
}`;
  const ran = await run([compile("changes", source), folder], never);
  assert.equal(ran.stdout, "done\n", ran.stderr);
  assert.deepEqual(readdirSync(root.at("/data/d")).sort(), [
    "f",
    "from-fd",
    "h2",
    "l",
    "l2",
    "out",
    "r",
  ]);
  assert.equal(existsSync("/data/d"), false);
});

test("without a right to write nothing is written below the pod's directories, and what rules give to it is", async () => {
  mkdirSync(root.at("/data/ro/open"), { recursive: true });
  writeFileSync(root.at("/data/ro/file"), "as before");
  tap.setRemote({ ...root, isReadOnly: true });
  tap.setPathRules([
    { ...remote, text: "/data/ro/open", operations: 2 },
    { ...remote, operations: 5 },
    { ...remote, operations: 2, verdict: "local" },
  ]);
  const ran = await python(
    "read-only.py",
    `import os
d = os.open("/data/ro", os.O_RDONLY)
def error(f, *a, **k):
  try: f(*a, **k)
  except OSError as e: return os.strerror(e.errno)
print(error(os.unlink, "file", dir_fd=d), error(os.open, "file", os.O_WRONLY, dir_fd=d), error(os.rename, "file", "x", src_dir_fd=d, dst_dir_fd=d))
print(error(os.mkdir, "open/new", dir_fd=d), error(os.unlink, "/data/ro/file"))
`,
  );
  tap.setRemote(root);
  tap.setPathRules([remote]);
  const rofs = "Read-only file system";
  assert.equal(ran.stdout, `${rofs} ${rofs} ${rofs}\nNone No such file or directory\n`, ran.stderr);
  assert.deepEqual(readdirSync(root.at("/data/ro")), ["file", "open"]);
  assert.deepEqual(readdirSync(root.at("/data/ro/open")), ["new"]);
});
