/** Random operations, done to a file of the pod and to one of this machine: both must be the same all the time. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { begun, folder, output } from "./support/mounted.ts";

const SEED = process.env.INPOD_TEST_SEED ?? String(Date.now() % 1_000_000);

const CONTENT = `
import mmap, os, random, sys
seed, there = int(sys.argv[1]), sys.argv[2]
r = random.Random(seed)
LIMIT = 300_000
def reopened(f, path, flags=os.O_RDWR):
    os.close(f); return os.open(path, flags)
a = os.open("file", os.O_RDWR | os.O_CREAT, 0o644); b = os.open(there, os.O_RDWR | os.O_CREAT, 0o644)
done = []
def same():
    size = os.fstat(b).st_size
    assert os.fstat(a).st_size == size, ("size", os.fstat(a).st_size, size, done[-5:])
    x, y = os.pread(a, size + 10, 0), os.pread(b, size + 10, 0)
    if x != y:
        at = next(i for i in range(size) if x[i:i+1] != y[i:i+1])
        raise Exception(("content", at, len(x), len(y), done[-8:]))
for i in range(400):
    op = r.choice(["write", "write", "read", "truncate", "map", "reopen", "append", "allocate", "path", "sync"])
    at, n = r.randrange(LIMIT), r.randrange(1, r.choice([10, 5000, 140_000]))
    data = r.randbytes(n)
    done.append((op, at, n))
    if op == "write":
        for f in (a, b): assert os.pwrite(f, data, at) == n
    elif op == "read":
        assert os.pread(a, n, at) == os.pread(b, n, at), done[-5:]
    elif op == "truncate":
        for f in (a, b): os.ftruncate(f, at)
    elif op == "path":
        for p in ("file", there): os.truncate(p, at)
    elif op == "map":
        size = os.fstat(b).st_size
        if size:
            at %= size; n = min(n, size - at)
            for f in (a, b):
                with mmap.mmap(f, size) as m: m[at:at+n] = data[:n]; m.flush()
    elif op == "append":
        for p in ("file", there):
            g = os.open(p, os.O_WRONLY | os.O_APPEND); os.write(g, data); os.close(g)
    elif op == "allocate":
        for f in (a, b): os.posix_fallocate(f, at, n)
    elif op == "sync": os.fsync(a)
    elif op == "reopen":
        a = reopened(a, "file"); b = reopened(b, there)
    if os.fstat(b).st_size > 4 * LIMIT:
        for f in (a, b): os.ftruncate(f, LIMIT)
    same()
print("same")
`;

const NAMES = `
import errno, os, random, stat, sys
seed, there = int(sys.argv[1]), sys.argv[2]
r = random.Random(seed)
names = ["a", "b", "c", "a/x", "a/y", "b/x", "c/z", "a/x/1", "b/x/2"]
def attempt(f):
    try: return f()
    except OSError as e: return errno.errorcode[e.errno]
def content(p):
    with open(p) as f: return f.read()
def make(p, text):
    with open(p, "w") as f: f.write(text)
# The worker has no capability: what its owner may not enter is closed to it, root or not.
def tree(root):
    found = []
    for d, ds, fs in os.walk(root):
        for name in ds + fs:
            p = os.path.join(d, name); s = os.lstat(p); kind = stat.S_IFMT(s.st_mode)
            more = os.readlink(p) if stat.S_ISLNK(s.st_mode) else content(p) if stat.S_ISREG(s.st_mode) else None
            found.append((p[len(root) + 1:], kind, stat.S_IMODE(s.st_mode), None if stat.S_ISDIR(s.st_mode) else s.st_nlink, more))
    return sorted(found, key=str)
done = []
for i in range(500):
    op = r.choice(["mkdir", "rmdir", "make", "unlink", "rename", "link", "symlink", "chmod", "stat", "list", "read"])
    p, q, text, mode = r.choice(names), r.choice(names), "text %d" % i, r.choice([0o755, 0o700, 0o771])
    def act(root):
        a, b = os.path.join(root, p), os.path.join(root, q)
        return attempt({
            "mkdir": lambda: os.mkdir(a), "rmdir": lambda: os.rmdir(a), "make": lambda: make(a, text),
            "unlink": lambda: os.unlink(a), "rename": lambda: os.rename(a, b), "link": lambda: os.link(a, b),
            "symlink": lambda: os.symlink(q, a), "chmod": lambda: os.chmod(a, mode) if not os.path.islink(a) else None,
            "stat": lambda: os.lstat(a).st_size if not os.path.isdir(a) else 0, "list": lambda: sorted(os.listdir(a)),
            "read": lambda: content(a) }[op])
    done.append((op, p, q))
    x, y = act("."), act(there)
    assert x == y, (x, y, done[-6:])
    if i % 10 == 0: x, y = tree("."), tree(there); assert x == y, (done[-12:], [e for e in x if e not in y], [e for e in y if e not in x])
print("same")
`;

for (const [what, script] of [
  ["the content of a file", CONTENT],
  ["the names in directories", NAMES],
] as const) {
  test(`${what} is the same as here after random operations`, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    const pod = await begun(t);
    const here = folder(t);
    mkdirSync(join(here, "names"));
    const there = script === CONTENT ? join(here, "file") : join(here, "names");
    assert.equal(await output(pod, "python3", "-c", script, SEED, there), "same\n");
  });
}
