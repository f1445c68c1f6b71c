import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import type { FileAttributes, FileRecord } from "@inpod/protocol";
import { TunnelFailure } from "@inpod/session";
import { Tap } from "@inpod/tap";
import { type Asked, Snapshots } from "../src/files/snapshots/snapshots.ts";
import { SnapshotTree } from "../src/files/snapshots/tree.ts";

const tap = new Tap(() => {});
after(() => tap.unref()); // its threads would keep this process alive

const attributesOf = (path: string): FileAttributes => {
  const stat = lstatSync(path, { bigint: true });
  return {
    mode: Number(stat.mode),
    nlink: Number(stat.nlink),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    blksize: 4096,
    flags: 0,
    size: Number(stat.size),
    ino: stat.ino,
    dev: stat.dev,
    rdev: 0n,
    blocks: Number(stat.blocks),
    atimeNs: stat.atimeNs,
    mtimeNs: stat.mtimeNs,
    ctimeNs: stat.ctimeNs,
  };
};

/** A folder of this machine as the root of a pod, told as the file service tells it. */
class Pod implements Asked {
  readonly folder = mkdtempSync(join(tmpdir(), "inpod-pod-"));
  readonly asked: string[] = [];
  accessErrno: string | undefined;

  at(path: string): string {
    return join(this.folder, path);
  }

  async chain(path: string, withContent = false): Promise<readonly FileRecord[]> {
    this.asked.push(`chain ${path}`);
    const records: FileRecord[] = [];
    let left = path.split("/").filter((name) => name !== "");
    let way: string[] = [];
    for (let links = 0; left.length > 0; ) {
      const name = left.shift();
      if (name === "..") {
        way.pop();
        continue;
      }
      if (name === undefined || name === "." || name === "") continue;
      const here = `/${[...way, name].join("/")}`;
      let attributes: FileAttributes;
      try {
        attributes = attributesOf(this.at(here));
      } catch {
        records.push({ kind: "negative", path: here });
        break;
      }
      const type = attributes.mode & 0o170000;
      const isLast = left.length === 0;
      const content =
        type === 0o120000
          ? Buffer.from(readlinkSync(this.at(here)))
          : type === 0o100000 && isLast && withContent && attributes.size <= 64 * 1024
            ? readFileSync(this.at(here))
            : undefined;
      records.push({ kind: "entry", path: here, attributes, content });
      if (type === 0o120000) {
        if (++links > 40) break;
        const target = content?.toString("latin1") ?? "";
        if (target.startsWith("/")) way = [];
        left = [...target.split("/"), ...left];
      } else way.push(name);
    }
    return records;
  }

  /** Three names at a time. */
  async list(path: string, cookie: bigint) {
    this.asked.push(`list ${path}`);
    const names = readdirSync(this.at(path)).sort();
    const from = Number(cookie);
    const records = names.slice(from, from + 3).map((name): FileRecord => {
      const at = this.at(join(path, name));
      const attributes = attributesOf(at);
      const isLink = (attributes.mode & 0o170000) === 0o120000;
      const content = isLink ? Buffer.from(readlinkSync(at)) : undefined;
      return { kind: "entry", path: name, attributes, content };
    });
    return { nextCookie: from + 3 < names.length ? BigInt(from + 3) : 0n, records };
  }

  async *content(path: string, offset: number, limitBytes: number) {
    this.asked.push(`content ${path} ${offset}`);
    const all = readFileSync(this.at(path)).subarray(offset);
    if (all.length > limitBytes) throw new TunnelFailure("EFBIG", "");
    for (let at = 0; at < all.length; at += 100_000) yield all.subarray(at, at + 100_000);
  }

  async access(path: string, mode: number): Promise<void> {
    this.asked.push(`access ${path} ${mode}`);
    if (this.accessErrno !== undefined) throw new TunnelFailure(this.accessErrno, "");
  }
}

/** What the program gets of an open, as text. */
async function contentOf(snapshots: Snapshots, path: string): Promise<string> {
  const opened = await snapshots.open(path, 0);
  if (opened.kind === "memory") return opened.content.toString();
  assert.equal(opened.kind, "descriptor");
  if (opened.kind !== "descriptor") return "";
  try {
    return readFileSync(opened.fd, "utf8");
  } finally {
    closeSync(opened.fd);
  }
}

/** As the program holds it. */
async function descriptorOf(snapshots: Snapshots, path: string): Promise<number> {
  const opened = await snapshots.open(path, 0);
  assert.equal(opened.kind, "descriptor");
  return opened.kind === "descriptor" ? opened.fd : -1;
}

interface Scene {
  readonly pod: Pod;
  readonly snapshots: Snapshots;
  /** Where the tree has a path of the pod. */
  at(path: string): string;
  /** Nothing that is known counts any more. */
  later(): void;
}

function begin(
  t: TestContext,
  options: { fileBytes?: number; allBytes?: number; isMemory?: boolean } = {},
): Scene {
  const pod = new Pod();
  const folder = mkdtempSync(join(tmpdir(), "inpod-tree-"));
  const tree = new SnapshotTree(folder, tap.native);
  let nowMs = 0;
  t.mock.method(performance, "now", () => nowMs);
  t.after(() => {
    tree.close();
    rmSync(pod.folder, { recursive: true, force: true });
  });
  const limits = { fileBytes: 1_000_000, allBytes: 2_000_000, isMemory: true, ...options };
  return {
    pod,
    snapshots: new Snapshots(tree, pod, limits),
    at: (path) => join(tree.rootFolder, path),
    later: () => {
      nowMs += 1000;
    },
  };
}

const errnoOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: { errno?: string }) => error.errno ?? String(error),
  );

test("a path is asked for once, whatever is on its way, and again after a second", async (t) => {
  const { pod, snapshots, at, later } = begin(t);
  mkdirSync(pod.at("a/b"), { recursive: true });
  writeFileSync(pod.at("a/b/c"), "hello");
  await snapshots.look("/a/b/c");
  for (const path of ["/a", "/a/b", "/a/b/c", "/"]) await snapshots.look(path);
  assert.deepEqual(pod.asked, ["chain /a/b/c"]);
  assert.equal(lstatSync(at("a/b/c")).size, 5);
  assert.equal(lstatSync(at("a/b/c")).blocks, 0);
  later();
  await snapshots.look("/a/b");
  assert.equal(pod.asked.length, 2);
});

test("equal questions under way are asked once", async (t) => {
  const { pod, snapshots } = begin(t);
  writeFileSync(pod.at("a"), "");
  await Promise.all(Array.from({ length: 20 }, () => snapshots.look("/a")));
  assert.equal(pod.asked.length, 1);
});

test("a content is read when the file is opened, and what stat(2) said of the file stays true of it", async (t) => {
  const { pod, snapshots, at } = begin(t);
  writeFileSync(pod.at("small"), "hello");
  writeFileSync(pod.at("large"), Buffer.alloc(500_000, "x"));
  for (const name of ["small", "large"]) {
    await snapshots.look(`/${name}`);
    const before = lstatSync(at(name), { bigint: true });
    assert.equal(await contentOf(snapshots, `/${name}`), readFileSync(pod.at(name), "utf8"));
    const opened = lstatSync(at(name), { bigint: true });
    assert.equal(opened.ino, before.ino);
    assert.equal(opened.mtimeNs, lstatSync(pod.at(name), { bigint: true }).mtimeNs);
  }
  // The small one came with its name.
  assert.deepEqual(
    pod.asked.filter((asked) => asked.startsWith("content")),
    ["content /large 0"],
  );
});

test("a content that did not change is not read again", async (t) => {
  const { pod, snapshots, later } = begin(t);
  writeFileSync(pod.at("large"), Buffer.alloc(500_000, "x"));
  await contentOf(snapshots, "/large");
  later();
  await contentOf(snapshots, "/large");
  assert.equal(pod.asked.filter((asked) => asked.startsWith("content")).length, 1);
});

test("links are followed inside the pod's root, and a `..data` swap is seen by the next open", async (t) => {
  const { pod, snapshots, later } = begin(t);
  mkdirSync(pod.at("etc/config/..one"), { recursive: true });
  mkdirSync(pod.at("etc/config/..two"));
  writeFileSync(pod.at("etc/config/..one/key"), "one");
  writeFileSync(pod.at("etc/config/..two/key"), "two");
  symlinkSync("..one", pod.at("etc/config/..data"));
  symlinkSync("..data/key", pod.at("etc/config/key"));
  symlinkSync("/../etc/config/key", pod.at("abs"));
  assert.equal(await contentOf(snapshots, "/etc/config/key"), "one");
  assert.equal(await contentOf(snapshots, "/abs"), "one");
  const open = await descriptorOf(snapshots, "/etc/config/key");
  symlinkSync("..two", pod.at("etc/config/..tmp"));
  renameSync(pod.at("etc/config/..tmp"), pod.at("etc/config/..data"));
  later();
  assert.equal(await contentOf(snapshots, "/etc/config/key"), "two");
  assert.equal(readFileSync(open, "utf8"), "one");
  closeSync(open);
});

test("a directory is listed as it is now, and looks at its names ask nothing more", async (t) => {
  const { pod, snapshots, at, later } = begin(t);
  mkdirSync(pod.at("d/sub"), { recursive: true });
  for (const name of ["a", "b", "c", "e"]) writeFileSync(pod.at(`d/${name}`), name.repeat(3));
  symlinkSync("a", pod.at("d/link"));
  assert.deepEqual(await snapshots.open("/d", 0), { kind: "tree" });
  assert.deepEqual(readdirSync(at("d")).sort(), ["a", "b", "c", "e", "link", "sub"]);
  const asked = pod.asked.length;
  for (const name of ["a", "link", "sub", "no", "b/x"]) await snapshots.look(`/d/${name}`);
  assert.equal(pod.asked.length, asked);
  assert.equal(lstatSync(at("d/a")).size, 3);
  assert.equal(
    lstatSync(at("d"), { bigint: true }).mtimeNs,
    lstatSync(pod.at("d"), { bigint: true }).mtimeNs,
  );
  rmSync(pod.at("d/b"));
  writeFileSync(pod.at("d/new"), "");
  later();
  assert.deepEqual(await snapshots.open("/d", 0), { kind: "tree" });
  assert.deepEqual(readdirSync(at("d")).sort(), ["a", "c", "e", "link", "new", "sub"]);
});

test("what a growing log has more is written to the same file, also when it is only looked at", async (t) => {
  const { pod, snapshots, at, later } = begin(t);
  writeFileSync(pod.at("log"), "line\n".repeat(2000));
  const open = await descriptorOf(snapshots, "/log");
  appendFileSync(pod.at("log"), "more to look at\n");
  later();
  await snapshots.look("/log");
  appendFileSync(pod.at("log"), "more to open\n");
  later();
  assert.match(await contentOf(snapshots, "/log"), /open\n$/);
  assert.equal(fstatSync(open).size, lstatSync(pod.at("log")).size);
  assert.equal(fstatSync(open).ino, lstatSync(at("log")).ino);
  assert.match(readFileSync(open, "utf8"), /line\nmore to look at\nmore to open\n$/);
  closeSync(open);
});

test("what was written anew, and longer, is not taken for growth; who has the old one open keeps it", async (t) => {
  const { pod, snapshots, at, later } = begin(t);
  for (const [before, now] of [
    ["old\n".repeat(2000), "new\n".repeat(3000)],
    ["", "now"],
    ["longer", "short"],
  ] as const) {
    writeFileSync(pod.at("file"), before);
    later();
    const open = await descriptorOf(snapshots, "/file");
    writeFileSync(pod.at("file"), now);
    later();
    await snapshots.look("/file");
    assert.equal(lstatSync(at("file")).size, now.length);
    assert.equal(await contentOf(snapshots, "/file"), now);
    assert.equal(readFileSync(open, "utf8"), before);
    closeSync(open);
  }
});

test("a rotated log is another file", async (t) => {
  const { pod, snapshots, at, later } = begin(t);
  writeFileSync(pod.at("log"), "one\n");
  const open = await descriptorOf(snapshots, "/log");
  renameSync(pod.at("log"), pod.at("log.1"));
  writeFileSync(pod.at("log"), "two\n");
  later();
  assert.equal(await contentOf(snapshots, "/log"), "two\n");
  assert.equal(readFileSync(open, "utf8"), "one\n");
  assert.notEqual(fstatSync(open).ino, statSync(at("log")).ino);
  closeSync(open);
});

test("with O_NOFOLLOW a link is the kernel's to refuse", async (t) => {
  const { pod, snapshots } = begin(t);
  writeFileSync(pod.at("file"), "");
  symlinkSync("file", pod.at("link"));
  assert.deepEqual(await snapshots.open("/link", constants.O_NOFOLLOW), { kind: "tree" });
  const opened = await snapshots.open("/file", constants.O_NOFOLLOW);
  assert.equal(opened.kind, "descriptor");
  if (opened.kind === "descriptor") closeSync(opened.fd);
});

test("there is none: the tree has none either, and what was there is gone", async (t) => {
  const { pod, snapshots, at, later } = begin(t);
  mkdirSync(pod.at("d"));
  await snapshots.look("/d/no");
  assert.deepEqual(await snapshots.open("/d/no", 0), { kind: "tree" });
  assert.equal(pod.asked.length, 1);
  writeFileSync(pod.at("d/no"), "");
  later();
  await snapshots.look("/d/no");
  assert.ok(lstatSync(at("d/no")).isFile());
  rmSync(pod.at("d/no"));
  later();
  await snapshots.look("/d/no");
  assert.throws(() => lstatSync(at("d/no")), { code: "ENOENT" });
});

test("below a directory that not everybody may enter the errno is the pod's", async (t) => {
  const { pod, snapshots } = begin(t);
  mkdirSync(pod.at("closed"));
  chmodSync(pod.at("closed"), 0o700);
  pod.accessErrno = "EACCES";
  assert.equal(await errnoOf(snapshots.look("/closed/x")), "EACCES");
  chmodSync(pod.at("closed"), 0o755);
});

test("access is the pod's user's, and asked of the file behind a link", async (t) => {
  const { pod, snapshots } = begin(t);
  writeFileSync(pod.at("file"), "");
  symlinkSync("file", pod.at("link"));
  assert.equal(await snapshots.mayAccess("/link", 4), true);
  assert.equal(pod.asked.at(-1), "access /file 4");
  assert.equal(await snapshots.mayAccess("/link", 0), false);
  assert.equal(await snapshots.mayAccess("/none", 4), false);
  pod.accessErrno = "EACCES";
  assert.equal(await errnoOf(snapshots.mayAccess("/file", 4)), "EACCES");
});

test("a loop of links, and what is below a file, the kernel tells by itself", async (t) => {
  const { pod, snapshots, at } = begin(t);
  symlinkSync("b", pod.at("a"));
  symlinkSync("a", pod.at("b"));
  writeFileSync(pod.at("file"), "");
  assert.deepEqual(await snapshots.open("/a", 0), { kind: "tree" });
  assert.throws(() => openSync(at("a"), "r"), { code: "ELOOP" });
  assert.deepEqual(await snapshots.open("/file/x", 0), { kind: "tree" });
  assert.throws(() => openSync(at("file/x"), "r"), { code: "ENOTDIR" });
});

test("beyond its limit a file is EFBIG, and seen all the same", async (t) => {
  const { pod, snapshots, at } = begin(t, { fileBytes: 100_000 });
  writeFileSync(pod.at("large"), Buffer.alloc(100_001));
  assert.equal(await errnoOf(snapshots.open("/large", 0)), "EFBIG");
  await snapshots.look("/large");
  assert.equal(lstatSync(at("large")).size, 100_001);
});

test("contents that were not opened for long make room for others", async (t) => {
  const { pod, snapshots, at } = begin(t, { fileBytes: 500_000, allBytes: 1_000_000 });
  for (const name of ["a", "b", "c"]) writeFileSync(pod.at(name), Buffer.alloc(400_000, name));
  const open = await descriptorOf(snapshots, "/a");
  for (const name of ["b", "c"]) await contentOf(snapshots, `/${name}`);
  assert.equal(lstatSync(at("a")).blocks, 0);
  assert.equal(lstatSync(at("a")).size, 400_000);
  assert.ok(lstatSync(at("b")).blocks > 0);
  const byte = Buffer.alloc(1);
  readSync(open, byte, 0, 1, 399_999);
  assert.equal(byte.toString(), "a");
  closeSync(open);
  assert.equal(await contentOf(snapshots, "/a"), "a".repeat(400_000));
});

test("where the tree is on a disk a content never gets there: the program has it as a file of its own", async (t) => {
  const { pod, snapshots, at } = begin(t, { isMemory: false });
  for (const [name, content] of [
    ["secret", "token"],
    ["large", "x".repeat(300_000)],
  ] as const) {
    writeFileSync(pod.at(name), content);
    const opened = await snapshots.open(`/${name}`, 0);
    assert.equal(opened.kind === "memory" && opened.content.toString(), content);
    assert.equal(lstatSync(at(name)).blocks, 0);
  }
});
