/** The target's files through a tunnel: what changes them. Each test has a filesystem of its own, mounted in the pod. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { type FileAnswers, type FileRequests, OPEN_FLAGS, SET_ATTRIBUTES } from "@inpod/protocol";
import { connectTunnel, rawFromPublicKey } from "@inpod/tunnel";
import { FileClient, text } from "./support/file-client.ts";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const args = [
  ...["--public-key", rawFromPublicKey(publicKey)],
  ...["--idle-timeout-ms", "20000", "--communication-timeout-ms", "20000"],
];
const bytes = (content: string): Uint8Array => Buffer.from(content, "latin1");
const { create, exclusive, truncate, append, readWrite, writeOnly } = OPEN_FLAGS;
const nothing = { mask: 0, mode: 0, uid: 0, gid: 0, size: 0, atimeNs: 0n, mtimeNs: 0n };

class Files extends FileClient {
  #handle = 1;

  async open(path: string, flags: number, mode = 0o644): Promise<number> {
    const handle = this.#handle++;
    await this.ask("open", { handle, path, flags, mode });
    return handle;
  }

  write(
    handle: number,
    content: string,
    where: { offset: number } | { append: true } = { offset: 0 },
  ): Promise<FileAnswers["write"]> {
    return this.ask("write", { handle, offset: 0, content: bytes(content), ...where });
  }

  set(path: string, values: Partial<FileRequests["setattr"]>): Promise<FileAnswers["setattr"]> {
    return this.ask("setattr", { ...nothing, handle: 0, path, ...values });
  }

  async content(path: string): Promise<string | undefined> {
    return text((await this.ask("look", { path, inlineLimit: 1 << 20 })).content);
  }
}

interface Place {
  readonly files: Files;
  /** Commands by a process of the pod, with its ids and root. */
  readonly pod: (...command: string[]) => string;
}

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };
  /** @param setup of /mnt, a filesystem of 64 KiB. The pod's ids are root's (of its namespace), unless told. */
  const start = async (
    t: { after(run: () => unknown): void },
    { setup = "", execAs = "", agentArgs = [] as string[] } = {},
  ): Promise<Place> => {
    const pod = await Pod.start(
      who,
      `mount -t tmpfs -o size=64k,mode=777 none /mnt; ${setup}`,
      execAs,
    );
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, [...args, ...agentArgs]);
    t.after(() => agent.stop());
    const handlers = { onStream: () => undefined };
    const session = { sessionId: "session-a", privateKey, build: "test", handlers };
    const files = new Files(await connectTunnel(agent.dial(), session));
    return { files, pod: (...command) => pod.run(...inRoot(pod, command)) };
  };
  const inRoot = (pod: Pod, command: string[]): string[] => [
    ...["nsenter", "-m", "-t", String(pod.pid), "--", ...command],
  ];

  test(
    `${who}: a new file has the mode that was asked for, and the target's owner`,
    options,
    async (t) => {
      const ids = who === "root" ? "setpriv --reuid 1234 --regid 4321 --clear-groups" : "";
      const { files, pod } = await start(t, { execAs: ids });
      const flags = readWrite | create | exclusive;
      const handle = await files.open("/mnt/new", flags, 0o666);
      await files.write(handle, "one");
      const { written, offset, attributes } = await files.write(handle, "two", { offset: 3 });
      assert.deepEqual([written, offset, attributes.size], [3, 3, 6]);
      const owner = who === "root" ? "1234 4321" : "0 0";
      assert.equal(pod("stat", "-c", "%a %u %g", "/mnt/new"), `666 ${owner}`);
      await assert.rejects(files.open("/mnt/new", flags), /EEXIST/);
      assert.equal(pod("cat", "/mnt/new"), "onetwo");
      const read = await files.ask("read", { handle, offset: 2, size: 2 });
      assert.equal(text(read.content), "et");
      const cut = await files.open("/mnt/new", writeOnly | truncate);
      await files.ask("close", { handle: cut });
      assert.equal(pod("stat", "-c", "%s", "/mnt/new"), "0");
    },
  );

  test(
    `${who}: what is appended stands behind what the pod's own processes write, and says where`,
    options,
    async (t) => {
      const { files, pod } = await start(t);
      const flags = writeOnly | create | append;
      const [one, other] = [
        await files.open("/mnt/log", flags),
        await files.open("/mnt/log", readWrite),
      ];
      assert.equal((await files.write(one, "first\n")).offset, 0);
      pod("sh", "-c", "echo pod >> /mnt/log");
      assert.equal((await files.write(one, "second\n", { offset: 0 })).offset, 10);
      pod("sh", "-c", "echo pod >> /mnt/log");
      assert.equal((await files.write(other, "third\n", { append: true })).offset, 21);
      // All at once: none lands on another.
      const lines = Array.from({ length: 100 }, (_, index) => `line ${index}\n`);
      const landed = await Promise.all(
        lines.map((line, index) => files.write(index % 2 ? one : other, line, { append: true })),
      );
      const content = (await files.content("/mnt/log")) ?? "";
      assert.ok(content.startsWith("first\npod\nsecond\npod\nthird\n"));
      for (const [index, { offset, written }] of landed.entries())
        assert.equal(content.slice(offset, offset + written), lines[index]);
    },
  );

  test(`${who}: a full disk, a quota of names and a read-only mount say so`, options, async (t) => {
    const { files, pod } = await start(t, {
      setup:
        "mkdir /mnt/ro /mnt/few; mount -t tmpfs -o ro none /mnt/ro; mount -t tmpfs -o nr_inodes=2 none /mnt/few;",
    });
    const handle = await files.open("/mnt/full", writeOnly | create);
    // Part of it fits: how much is said, and then why there is no more.
    const { written } = await files.write(handle, "x".repeat(100_000));
    assert.ok(written > 0 && written <= 65_536);
    await assert.rejects(files.write(handle, "x".repeat(8192), { offset: written }), /ENOSPC/);
    const fallocate = { handle, mode: 0, offset: 0, length: 1 << 20 };
    await assert.rejects(files.ask("fallocate", fallocate), /ENOSPC/);
    await assert.rejects(files.open("/mnt/ro/new", writeOnly | create), /EROFS/);
    await assert.rejects(files.ask("mkdir", { path: "/mnt/ro/new", mode: 0o755 }), /EROFS/);
    await files.open("/mnt/few/one", writeOnly | create);
    await assert.rejects(files.open("/mnt/few/two", writeOnly | create), /ENOSPC/);
    await assert.rejects(files.ask("link", { from: "/mnt/full", to: "/mnt/few/link" }), /EXDEV/);
    pod("true");
  });

  test(`${who}: names come, go and change their places`, options, async (t) => {
    const { files, pod } = await start(t);
    const { attributes } = await files.ask("mkdir", { path: "/mnt/dir", mode: 0o1777 });
    assert.equal(attributes.mode & 0o7777, 0o1777);
    await assert.rejects(files.ask("mkdir", { path: "/mnt/dir", mode: 0o700 }), /EEXIST/);
    await assert.rejects(files.ask("mkdir", { path: "/", mode: 0o700 }), /EEXIST/);
    await files.open("/mnt/dir/file", writeOnly | create);
    const link = await files.ask("link", { from: "/mnt/dir/file", to: "/mnt/second" });
    assert.equal(link.attributes.nlink, 2);
    await files.ask("symlink", { target: "../../etc", path: "/mnt/link" });
    assert.equal(pod("readlink", "/mnt/link"), "../../etc");
    await assert.rejects(
      files.ask("unlink", { path: "/mnt/link/hostname" }),
      /ESTALE/,
      "a link in the middle",
    );
    await assert.rejects(files.ask("rmdir", { path: "/mnt/dir" }), /ENOTEMPTY/);
    await assert.rejects(files.ask("unlink", { path: "/mnt/dir" }), /EISDIR/);
    await assert.rejects(files.ask("rmdir", { path: "/mnt/second" }), /ENOTDIR/);
    await files.ask("rename", { from: "/mnt/second", to: "/mnt/third", flags: 0 });
    const rename = { from: "/mnt/third", to: "/mnt/link", flags: 1 };
    await assert.rejects(files.ask("rename", rename), /EEXIST/);
    await files.ask("rename", { ...rename, flags: 2 });
    assert.equal(pod("readlink", "/mnt/third"), "../../etc", "exchanged");
    await assert.rejects(files.ask("rename", { ...rename, flags: 4 }), /EINVAL/);
    await files.ask("mknod", { path: "/mnt/fifo", mode: 0o010644 });
    assert.equal(pod("stat", "-c", "%F %a", "/mnt/fifo"), "fifo 644");
    await assert.rejects(files.ask("mknod", { path: "/mnt/null", mode: 0o020666 }), /EPERM/);
    await assert.rejects(files.open("/mnt/fifo", 0), /ENXIO/);
    await files.ask("unlink", { path: "/mnt/third" });
    await files.ask("unlink", { path: "/mnt/dir/file" });
    await files.ask("rmdir", { path: "/mnt/dir" });
    assert.equal(pod("ls", "/mnt"), "fifo\nlink");
  });

  test(`${who}: mode, owner, size and times are set by path and by handle`, options, async (t) => {
    const { files, pod } = await start(t);
    const handle = await files.open("/mnt/file", readWrite | create);
    await files.write(handle, "0123456789");
    const { mode, size, atime, mtime, mtimeNow, uid } = SET_ATTRIBUTES;
    const all = await files.set("/mnt/file", {
      ...{ mask: mode | size | atime | mtime, mode: 0o600, size: 4 },
      ...{ atimeNs: 1_000_000_001n, mtimeNs: -1n },
    });
    assert.equal(all.attributes.mode & 0o7777, 0o600);
    assert.deepEqual(
      [all.attributes.size, all.attributes.atimeNs, all.attributes.mtimeNs],
      [4, 1_000_000_001n, -1n],
    );
    assert.equal(pod("cat", "/mnt/file"), "0123");
    const now = await files.set("/mnt/file", { handle, mask: size | mtimeNow, size: 1 << 20 });
    assert.ok(
      now.attributes.mtimeNs > 1_600_000_000_000_000_000n && now.attributes.size === 1 << 20,
    );
    await files.ask("unlink", { path: "/mnt/file" });
    // It lives on for who has it open.
    assert.equal(
      (await files.set("/mnt/file", { handle, mask: mode, mode: 0o644 })).attributes.nlink,
      0,
    );
    await assert.rejects(files.set("/mnt/file", { mask: mode, mode: 0 }), /ENOENT/);
    await files.ask("symlink", { target: "nowhere", path: "/mnt/link" });
    const link = await files.set("/mnt/link", { mask: mtime, mtimeNs: 5_000_000_000n });
    assert.equal(link.attributes.mtimeNs, 5_000_000_000n, "the link itself");
    await assert.rejects(files.set("/mnt/link", { mask: mode, mode: 0o777 }), /EOPNOTSUPP/);
    await assert.rejects(files.set("/mnt/link", { mask: size }), /EINVAL/);
    await assert.rejects(files.set("/mnt", { mask: size }), /EISDIR/);
    await assert.rejects(files.set("/mnt/link", { mask: uid, uid: 4242 }), /EPERM|EINVAL/);
  });

  test(
    `${who}: links and directories keep the times that they were given, whoever looks at them or around them`,
    options,
    async (t) => {
      const { files, pod } = await start(t);
      const { atime, mtime } = SET_ATTRIBUTES;
      const times = { atimeNs: 1_000_000_000n, mtimeNs: 2_000_000_000n };
      await files.ask("symlink", { target: "nowhere", path: "/mnt/link" });
      assert.equal(await files.content("/mnt/link"), "nowhere", "it has no time of its own yet");
      await files.ask("mkdir", { path: "/mnt/dir", mode: 0o755 });
      for (const path of ["/mnt/link", "/mnt/dir"])
        await files.set(path, { mask: atime | mtime, ...times });
      assert.equal(await files.content("/mnt/link"), undefined);
      const limits = { maxEntries: 100, maxBytes: 0, inlineLimit: 4096 };
      for (const contents of [false, true]) {
        await files.ask("list", { path: "/mnt", cookie: 0n, ...limits, contents });
        await files.ask("tree", { path: "/mnt", ...limits, contents });
      }
      for (const path of ["/mnt/no", "/mnt/dir/no"])
        await files.ask("chain", { path, inlineLimit: 0, maxBytes: 0, listing: true });
      assert.equal(pod("stat", "-c", "%X %Y", "/mnt/link", "/mnt/dir"), "1 2\n1 2");
      // A program reads it.
      assert.equal((await files.ask("readlink", { path: "/mnt/link" })).target, "nowhere");
      assert.notEqual(pod("stat", "-c", "%X", "/mnt/link"), "1");
    },
  );

  test(`${who}: holes, copies, extended attributes and syncs`, options, async (t) => {
    const { files } = await start(t, { setup: "mount -t tmpfs none /mnt;" });
    const handle = await files.open("/mnt/sparse", readWrite | create);
    await files.write(handle, "end", { offset: 2 ** 40 });
    const data = await files.ask("lseek", { handle, offset: 0, whence: 3 });
    assert.ok(data.offset > 2 ** 40 - 2 ** 22 && data.offset <= 2 ** 40);
    assert.equal((await files.ask("lseek", { handle, offset: 0, whence: 4 })).offset, 0);
    await assert.rejects(files.ask("lseek", { handle, offset: 2 ** 41, whence: 3 }), /ENXIO/);
    await assert.rejects(files.ask("lseek", { handle, offset: 0, whence: 0 }), /EINVAL/);
    const zeros = await files.ask("read", { handle, offset: 2 ** 39, size: 1 << 20 });
    assert.ok(zeros.content.length === 1 << 20 && zeros.content.every((byte) => byte === 0));
    const tail = await files.ask("read", { handle, offset: 2 ** 40, size: 100 });
    assert.equal(text(tail.content), "end");
    const to = await files.open("/mnt/copy", readWrite | create);
    const copied = await files.ask("copy", {
      ...{ from: handle, fromOffset: 2 ** 40, to, toOffset: 1, length: 10 },
    });
    assert.deepEqual([copied.copied, copied.attributes.size], [3, 4]);
    assert.equal(await files.content("/mnt/copy"), "\0end");
    await files.ask("fsync", { handle: to });
    await files.ask("fsync", { handle: to, dataOnly: true });
    const xattr = { path: "/mnt/copy", name: "user.inpod" };
    try {
      await files.ask("setxattr", { ...xattr, flags: 0, value: bytes("a\0b") });
    } catch (error) {
      // tmpfs has them since Linux 6.6.
      assert.match(String(error), /EOPNOTSUPP/);
      return;
    }
    assert.equal(text((await files.ask("getxattr", xattr)).value), "a\0b");
    assert.equal(text((await files.ask("listxattr", { path: "/mnt/copy" })).names), "user.inpod\0");
    await files.ask("removexattr", xattr);
    await assert.rejects(files.ask("getxattr", xattr), /ENODATA/);
  });

  test(
    `${who}: locks are seen by the pod's own processes, and end with the handle`,
    options,
    async (t) => {
      const { files, pod } = await start(t);
      const handle = await files.open("/mnt/lock", readWrite | create);
      const other = await files.open("/mnt/lock", readWrite);
      const whole = { kind: 1, offset: 0, length: 0, flock: true };
      await files.ask("lock", { handle, ...whole });
      await assert.rejects(files.ask("lock", { handle: other, ...whole }), /EAGAIN/);
      const tryIt = "flock -n /mnt/lock true && echo free || echo taken";
      assert.equal(pod("sh", "-c", tryIt), "taken");
      await files.ask("close", { handle });
      assert.equal(pod("sh", "-c", tryIt), "free");
      const range = { kind: 1, offset: 10, length: 5 };
      await files.ask("lock", { handle: other, ...range });
      const third = await files.open("/mnt/lock", readWrite);
      await assert.rejects(files.ask("lock", { handle: third, ...range, kind: 0 }), /EAGAIN/);
      await files.ask("lock", { handle: third, ...range, offset: 15 });
      await files.ask("lock", { handle: other, ...range, kind: 2 });
      await files.ask("lock", { handle: third, ...range });
    },
  );

  test(`${who}: where the owners allow no writing, nothing is changed`, options, async (t) => {
    const { files, pod } = await start(t, {
      ...{ setup: "echo one > /mnt/file;", agentArgs: ["--policy", "read-only-files"] },
    });
    const { isReadOnly } = (await files.channel.opened) as { isReadOnly: boolean };
    assert.equal(isReadOnly, true);
    const handle = await files.open("/mnt/file", 0);
    assert.equal(await files.content("/mnt/file"), "one\n");
    for (const flags of [writeOnly, readWrite, create, truncate])
      await assert.rejects(files.open("/mnt/file", flags), /EROFS/);
    await assert.rejects(files.write(handle, "two"), /EROFS/);
    await assert.rejects(files.ask("unlink", { path: "/mnt/file" }), /EROFS/);
    await assert.rejects(files.set("/mnt/file", { mask: 1 }), /EROFS/);
    await assert.rejects(
      files.ask("rename", { from: "/mnt/file", to: "/mnt/x", flags: 0 }),
      /EROFS/,
    );
    assert.equal(pod("cat", "/mnt/file"), "one");
  });
}
