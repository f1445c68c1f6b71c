import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Tap } from "@inpod/tap";
import { type Attributes, SnapshotTree, TreeError } from "../src/files/snapshots/tree.ts";

const tap = new Tap(() => {});
after(() => tap.unref()); // its threads would keep this process alive

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

let inodes = 1n;
const attributes = (mode: number, rest: Partial<Attributes> = {}): Attributes => ({
  mode,
  uid: 4711,
  gid: 4712,
  size: 0,
  ino: inodes++,
  dev: 7n,
  atimeNs: 1_000_000_000_000_000_001n,
  mtimeNs: 1_700_000_000_123_456_789n,
  ctimeNs: 0n,
  ...rest,
});
const DIRECTORY = 0o040755;
const FILE = 0o100644;
const LINK = 0o120777;

function tree(isRoot?: boolean): SnapshotTree {
  const folder = mkdtempSync(join(tmpdir(), "inpod-tree-"));
  folders.push(folder);
  return new SnapshotTree(folder, tap.native, isRoot);
}

test("a file is as large, as old and as permitted as the pod's, and holds no byte", () => {
  const made = tree();
  made.put("/etc", attributes(DIRECTORY));
  made.put("/etc/conf", attributes(0o100640, { size: 2 ** 40 }));
  made.dress("/etc/conf");
  const stat = lstatSync(join(made.rootFolder, "etc/conf"), { bigint: true });
  assert.equal(stat.mode, 0o100640n);
  assert.equal(stat.size, 1n << 40n);
  assert.equal(stat.blocks, 0n);
  assert.equal(stat.mtimeNs, 1_700_000_000_123_456_789n);
  if (process.getuid?.() === 0) assert.deepEqual([stat.uid, stat.gid], [4711n, 4712n]);
});

test("a size that no file system takes is no error", () => {
  const made = tree();
  made.put("/huge", attributes(FILE, { size: Number.MAX_SAFE_INTEGER }));
  made.dress("/huge");
  assert.ok(existsSync(join(made.rootFolder, "huge")));
});

test("links, pipes, sockets and devices stand there as what they are, and none can be opened as a device", () => {
  const made = tree();
  made.put("/link", attributes(LINK), "/etc/../../../x");
  made.put("/pipe", attributes(0o010644));
  made.put("/socket", attributes(0o140755));
  made.put("/char", attributes(0o020666));
  made.put("/block", attributes(0o060666));
  const at = (name: string) => join(made.rootFolder, name);
  assert.equal(readlinkSync(at("link")), "/etc/../../../x");
  assert.ok(lstatSync(at("pipe")).isFIFO());
  assert.ok(lstatSync(at("socket")).isSocket());
  for (const name of ["char", "block"]) {
    assert.ok(lstatSync(at(name)).isCharacterDevice());
    assert.equal(lstatSync(at(name)).rdev, 0);
    assert.throws(() => openSync(at(name), "r"), { code: "ENXIO" });
  }
});

test("the same file with another size stays the same file, another file of the name is another", () => {
  const made = tree();
  const first = attributes(FILE, { size: 10 });
  made.put("/log", first);
  const ino = (): number => lstatSync(join(made.rootFolder, "log")).ino;
  const before = ino();
  made.put("/log", { ...first, size: 20 });
  made.dress("/log");
  assert.equal(ino(), before);
  assert.equal(lstatSync(join(made.rootFolder, "log")).size, 20);
  const kept = openSync(join(made.rootFolder, "log"), "r");
  made.put("/log", attributes(FILE, { size: 1 }));
  assert.notEqual(ino(), before);
  closeSync(kept);
});

test("a link that points elsewhere takes the old one's place", () => {
  const made = tree();
  const link = attributes(LINK);
  made.put("/..data", link, "one");
  made.put("/..data", { ...link, ino: 99n }, "two");
  assert.equal(readlinkSync(join(made.rootFolder, "..data")), "two");
  assert.deepEqual(readdirSync(made.rootFolder), ["..data"]);
});

test("a directory in whose place a file stands goes with all that was in it", () => {
  const made = tree();
  made.put("/a", attributes(DIRECTORY));
  made.put("/a/b", attributes(DIRECTORY));
  made.put("/a/b/c", attributes(FILE));
  made.put("/a", attributes(FILE));
  assert.ok(lstatSync(join(made.rootFolder, "a")).isFile());
  assert.equal(made.find("/a/b"), undefined);
  made.remove("/a");
  assert.deepEqual(readdirSync(made.rootFolder), []);
});

test("who is not root can always read and enter what stands there, root sees the pod's modes", () => {
  for (const [isRoot, file, directory] of [
    [false, 0o100400, 0o040755],
    [true, 0o100000, 0o040055],
  ] as const) {
    if (isRoot && process.getuid?.() !== 0) continue;
    const made = tree(isRoot);
    made.put("/none", attributes(0o100000));
    made.put("/closed", attributes(0o040055));
    for (const path of ["/none", "/closed"]) made.dress(path);
    assert.equal(lstatSync(join(made.rootFolder, "none")).mode, file);
    assert.equal(lstatSync(join(made.rootFolder, "closed")).mode, directory);
  }
});

test("names of the pod lead nowhere else", () => {
  const made = tree();
  const outside = join(made.rootFolder, "../outside");
  writeFileSync(outside, "as before");
  made.put("/out", attributes(LINK), "../outside");
  made.put("/up", attributes(LINK), "..");
  for (const path of [
    "/..",
    "/../outside",
    "/a/../../outside",
    "/.",
    "//outside",
    "/a\0b",
    "outside",
    "",
  ])
    assert.throws(() => made.put(path, attributes(FILE)), TreeError, path);
  // Below a link there is nothing: its target is not followed.
  assert.throws(() => made.put("/up/outside", attributes(FILE)), TreeError);
  made.empty("/out");
  made.put("/out", attributes(FILE, { size: 3 }));
  assert.equal(readFileSync(outside, "utf8"), "as before");
  assert.equal(made.put("/new\nline\xff", attributes(FILE)).contentBytes, undefined);
});

test("closed, nothing is left", () => {
  const made = tree(false);
  made.put("/a", attributes(0o040555));
  made.put("/a/b", attributes(0o100444));
  for (const path of ["/a", "/a/b"]) made.dress(path);
  made.close();
  assert.ok(!existsSync(join(made.rootFolder, "..")));
});
