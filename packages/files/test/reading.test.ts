import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { begun, output, run } from "./support/mounted.ts";

test("programs read files, directories and links below the root", async (t) => {
  const pod = await begun(t, (root) => {
    mkdirSync(join(root, "etc/empty"), { recursive: true });
    writeFileSync(join(root, "etc/hostname"), "pod-7\n");
    symlinkSync("hostname", join(root, "etc/link"));
    writeFileSync(join(root, "etc/nothing"), "");
  });
  assert.equal(await output(pod, "cat", "etc/hostname"), "pod-7\n");
  assert.equal(await output(pod, "cat", "etc/link"), "pod-7\n");
  assert.equal(await output(pod, "readlink", "etc/link"), "hostname\n");
  assert.equal(await output(pod, "ls", "etc"), "empty\nhostname\nlink\nnothing\n");
  assert.equal(await output(pod, "ls", "-A", "etc/empty"), "");
  assert.equal(await output(pod, "cat", "etc/nothing"), "");
  assert.match((await run(pod, "cat", "etc/none")).stderr, /No such file/);
  assert.match((await run(pod, "cat", "etc/hostname/x")).stderr, /Not a directory/);
});

test("attributes are the pod's", async (t) => {
  const pod = await begun(t, (folder) => {
    writeFileSync(join(folder, "file"), "12345");
    chmodSync(join(folder, "file"), 0o640);
    linkSync(join(folder, "file"), join(folder, "other"));
    utimesSync(join(folder, "file"), 1_600_000_000.5, 0);
    execFileSync("touch", ["-m", "-d", "@-1.25", join(folder, "file")]);
  });
  const seen = await output(pod, "stat", "--format=%s %a %h %X %Y %F", "file");
  assert.equal(seen, "5 640 2 1600000000 -2 regular file\n");
  const ids = await output(pod, "stat", "--format=%u %g %i", "file");
  const { uid, gid, ino } = statSync(join(pod.folder, "file"));
  assert.equal(ids, `${uid} ${gid} ${ino}\n`);
});

test("names are bytes", async (t) => {
  const names = ["\xff\xfe", "ä", "new\nline", " ", "-"];
  const pod = await begun(t, (root) => {
    for (const name of names) writeFileSync(Buffer.from(`${root}/${name}`, "latin1"), name);
  });
  const found = await output(pod, "find", ".", "-type", "f", "-print0");
  assert.deepEqual(found.split("\0").slice(0, -1).sort(), names.map((name) => `./${name}`).sort());
});

test("a large file is read whole, in parts, mapped and sent", async (t) => {
  const bytes = randomBytes(5 * 1024 * 1024 + 17);
  const pod = await begun(t, (root) => writeFileSync(join(root, "large"), bytes));
  const sum = createHash("sha256").update(bytes).digest("hex");
  assert.equal(await output(pod, "sha256sum", "large"), `${sum}  large\n`);
  const script = `
import hashlib, mmap, os, random, socket, tempfile
want = "${sum}"
f = os.open("large", os.O_RDONLY)
size = os.fstat(f).st_size
m = mmap.mmap(f, size, prot=mmap.PROT_READ)
assert hashlib.sha256(m).hexdigest() == want
for _ in range(200):
    at = random.randrange(size); n = random.randrange(1, 70000)
    assert os.pread(f, n, at) == m[at:at+n], (at, n)
out = tempfile.TemporaryFile()
n = 0
while n < size: n += os.sendfile(out.fileno(), f, n, size - n)
out.seek(0); assert hashlib.sha256(out.read()).hexdigest() == want
assert os.pread(f, 10, size) == b""
assert os.lseek(f, -3, os.SEEK_END) == size - 3 and os.read(f, 10) == m[size-3:]
print("ok")
`;
  assert.equal(await output(pod, "python3", "-c", script), "ok\n");
});

test("a directory is read in parts of any size, from where reading stopped", async (t) => {
  const pod = await begun(t, (root) => {
    mkdirSync(join(root, "d"));
    for (let i = 0; i < 500; i++) writeFileSync(join(root, "d", `name-${i}`), "");
  });
  const script = `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open("d", os.O_RDONLY | os.O_DIRECTORY)
def names(size):
    found = []; buffer = ctypes.create_string_buffer(size)
    while True:
        n = libc.syscall(${process.arch === "arm64" ? 61 : 217}, fd, buffer, size)
        assert n >= 0, ctypes.get_errno()
        if n == 0: return found
        at = 0
        while at < n:
            length = int.from_bytes(buffer.raw[at+16:at+18], "little")
            found.append(buffer.raw[at+19:at+length].split(b"\\0")[0]); at += length
for size in (64, 512, 32768):
    os.lseek(fd, 0, os.SEEK_SET)
    got = names(size)
    assert len(got) == 502 and len(set(got)) == 502, (size, len(got), len(set(got)))
print("ok")
`;
  assert.equal(await output(pod, "python3", "-c", script), "ok\n");
});
