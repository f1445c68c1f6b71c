import assert from "node:assert/strict";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { begun, comes, output, start } from "./support/mounted.ts";

test("files are made, written, cut, moved, linked and removed", async (t) => {
  const pod = await begun(t);
  const script = `
import os, stat
os.umask(0o022)
f = os.open("new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o664)
assert os.write(f, b"hello") == 5
assert os.pread(f, 10, 0) == b"hello" and os.fstat(f).st_size == 5
os.ftruncate(f, 3); assert os.pread(f, 10, 0) == b"hel"
os.pwrite(f, b"!", 10); assert os.pread(f, 20, 0) == b"hel" + bytes(7) + b"!"
os.fsync(f); os.fdatasync(f); os.close(f)
assert stat.S_IMODE(os.stat("new").st_mode) == 0o644
try: os.open("new", os.O_CREAT | os.O_EXCL)
except FileExistsError: pass
else: raise Exception("made twice")
os.mkdir("d", 0o750); assert stat.S_IMODE(os.stat("d").st_mode) == 0o750
os.rename("new", "d/moved"); assert not os.path.exists("new")
os.symlink("d/moved", "link"); assert os.readlink("link") == "d/moved"
os.link("d/moved", "hard"); assert os.stat("hard").st_nlink == 2 == os.stat("d/moved").st_nlink
os.chmod("hard", 0o600); assert stat.S_IMODE(os.stat("hard").st_mode) == 0o600
os.utime("hard", ns=(1_000_000_001, 2_000_000_002))
s = os.stat("hard"); assert (s.st_atime_ns, s.st_mtime_ns) == (1_000_000_001, 2_000_000_002)
os.unlink("link"); assert not os.path.lexists("link")
try: os.rmdir("d")
except OSError as e: assert e.errno == 39, e
os.unlink("d/moved"); os.rmdir("d")
assert os.listdir(".") == ["hard"]
os.truncate("hard", 2); assert open("hard", "rb").read() == b"he"
open("hard", "w").close(); assert os.stat("hard").st_size == 0
os.mkfifo("pipe"); assert stat.S_ISFIFO(os.stat("pipe").st_mode)
try: os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
except PermissionError: pass
else: raise Exception("a device was made")
print("ok")
`;
  assert.equal(await output(pod, "python3", "-c", script), "ok\n");
  assert.deepEqual(readdirSync(pod.folder).sort(), ["hard", "pipe"]);
});

test("what is written is in the pod at once, and what the pod wrote is read", async (t) => {
  const pod = await begun(t);
  assert.equal(await output(pod, "sh", "-c", "printf 12345 >file; cat file"), "12345");
  assert.equal(readFileSync(join(pod.folder, "file"), "latin1"), "12345");
  const copied = `
import os
with open("large", "wb") as f: f.write(os.urandom(3_000_000))
with open("large", "rb") as f, open("copy", "wb") as g:
    left = 3_000_000
    while left: left -= os.copy_file_range(f.fileno(), g.fileno(), left)
assert open("copy", "rb").read() == open("large", "rb").read()
print("ok")
`;
  assert.equal(await output(pod, "python3", "-c", copied), "ok\n");
  const bytes = (name: string) => readFileSync(join(pod.folder, name));
  assert.deepEqual(bytes("copy"), bytes("large"));
});

test("appending overwrites nothing that the pod appends", async (t) => {
  const pod = await begun(t, (root) => writeFileSync(join(root, "log"), ""));
  const script = `
import sys
f = open("log", "ab", buffering=0)
for line in sys.stdin:
    f.write(b"ours %s" % line.encode()); sys.stdout.write("done\\n")
`;
  // Unbuffered, and by write(): print() would say the end of the line for itself, and that would pass for the next.
  const { child, ended } = start(pod, ["python3", "-u", "-c", script]);
  let expected = "";
  for (let i = 0; i < 20; i++) {
    appendFileSync(join(pod.folder, "log"), `theirs ${i}\n`);
    const done = once(child.stdout as NodeJS.ReadableStream, "data");
    child.stdin?.write(`${i}\n`);
    await comes("an append", done);
    expected += `theirs ${i}\nours ${i}\n`;
  }
  child.stdin?.end();
  assert.equal((await ended).code, 0);
  assert.equal(readFileSync(join(pod.folder, "log"), "latin1"), expected);
});

test("a log is rotated under a writer who has it open, and followed by its name", async (t) => {
  const pod = await begun(t, (root) => writeFileSync(join(root, "log"), "first\n"));
  const script = `
import os
old = open("log")
assert old.read() == "first\\n"
os.rename("log", "log.1")
with open("log", "a") as f: f.write("second\\n")
assert open("log").read() == "second\\n" and open("log.1").read() == "first\\n"
assert os.fstat(old.fileno()).st_ino == os.stat("log.1").st_ino != os.stat("log").st_ino
print("ok")
`;
  assert.equal(await output(pod, "python3", "-c", script), "ok\n");
  appendFileSync(join(pod.folder, "log"), "third\n");
  const seen = `
import time
until = time.time() + 60
while (seen := open("log").read()) != "second\\nthird\\n": assert time.time() < until, seen; time.sleep(0.01)
`;
  await output(pod, "python3", "-c", seen);
});

test("rename replaces, refuses to replace, and exchanges", async (t) => {
  const pod = await begun(t, (root) => {
    for (const name of ["a", "b"]) writeFileSync(join(root, name), name);
    mkdirSync(join(root, "d/sub"), { recursive: true });
    writeFileSync(join(root, "d/sub/file"), "deep");
  });
  const script = `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def renameat2(a, b, flags):
    return 0 if libc.renameat2(-100, a, -100, b, flags) == 0 else ctypes.get_errno()
opened = open("b")
assert renameat2(b"a", b"b", 1) == 17
assert renameat2(b"a", b"b", 2) == 0
assert open("a").read() == "b" and open("b").read() == "a"
os.rename("a", "b"); assert open("b").read() == "b"
assert open("d/sub/file").read() == "deep"
os.rename("d", "e"); assert open("e/sub/file").read() == "deep" and not os.path.exists("d")
assert opened.read() == "b"
print("ok")
`;
  assert.equal(await output(pod, "python3", "-c", script), "ok\n");
});

test("a removed file can be written and read as long as it is open", async (t) => {
  const pod = await begun(t);
  const script = `
import os
f = os.open("file", os.O_RDWR | os.O_CREAT)
os.write(f, b"x" * 200_000); os.unlink("file")
os.pwrite(f, b"end", 200_000)
assert os.fstat(f).st_size == 200_003 and os.fstat(f).st_nlink == 0
assert os.pread(f, 10, 200_000) == b"end"
os.ftruncate(f, 5); assert os.fstat(f).st_size == 5
open("file", "w").write("another"); assert open("file").read() == "another"
assert os.pread(f, 10, 0) == b"xxxxx"
print("ok")
`;
  assert.equal(await output(pod, "python3", "-c", script), "ok\n");
});

test("a shared mapping is written back", async (t) => {
  const pod = await begun(t, (root) => writeFileSync(join(root, "file"), Buffer.alloc(100_000)));
  const script = `
import mmap, os
f = os.open("file", os.O_RDWR)
m = mmap.mmap(f, 100_000)
m[50_000:50_005] = b"hello"; m.flush()
assert os.pread(f, 5, 50_000) == b"hello"
print("ok")
`;
  assert.equal(await output(pod, "python3", "-c", script), "ok\n");
  assert.equal(readFileSync(join(pod.folder, "file")).toString("latin1", 50_000, 50_005), "hello");
});

test("holes, room and locks", async (t) => {
  const pod = await begun(t);
  const script = `
import errno, fcntl, os
f = os.open("sparse", os.O_RDWR | os.O_CREAT)
os.ftruncate(f, 10 << 20); os.pwrite(f, b"data", 5 << 20)
assert os.lseek(f, 0, os.SEEK_DATA) <= 5 << 20 and os.lseek(f, 5 << 20, os.SEEK_HOLE) > 5 << 20
try: os.lseek(f, 20 << 20, os.SEEK_DATA)
except OSError as e: assert e.errno == errno.ENXIO
os.posix_fallocate(f, 0, 12 << 20); assert os.fstat(f).st_size == 12 << 20
assert os.statvfs(".").f_blocks > 0
g = os.open("sparse", os.O_RDWR)
fcntl.flock(f, fcntl.LOCK_EX)
try: fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: pass
else: raise Exception("locked twice")
fcntl.flock(f, fcntl.LOCK_UN); fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB)
try: os.setxattr("sparse", "user.a", b"value")
except OSError as e: assert e.errno == errno.EOPNOTSUPP, e
else:
    assert os.getxattr("sparse", "user.a") == b"value" and os.listxattr("sparse") == ["user.a"]
    os.removexattr("sparse", "user.a"); assert os.listxattr("sparse") == []
print("ok")
`;
  assert.equal(await output(pod, "python3", "-c", script), "ok\n");
});

test("many programs: git, tar, rsync-like copies and sort", async (t) => {
  const pod = await begun(t);
  const script = `
set -e
mkdir src; i=0
while [ $i -lt 50 ]; do mkdir -p src/d$((i % 5)); echo "line $i" >src/d$((i % 5))/f$i; i=$((i + 1)); done
tar -cf all.tar src; mkdir out; tar -xf all.tar -C out; diff -r src out/src
cp -a src copy; diff -r src copy; sort -o sorted src/d0/*; rm -r src
test $(wc -l <sorted) = 10
ls
`;
  assert.equal(await output(pod, "sh", "-c", script), "all.tar\ncopy\nout\nsorted\n");
  assert.ok(existsSync(join(pod.folder, "out/src/d4/f49")));
  assert.equal(statSync(join(pod.folder, "copy/d1/f1")).size, 7);
  assert.throws(() => readlinkSync(join(pod.folder, "sorted")));
});
