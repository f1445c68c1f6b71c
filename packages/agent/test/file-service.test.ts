/** The target's files through a tunnel, as the file server asks for them: what only reads. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ATTRIBUTE_FLAGS, type FileRecord, MAX_TRANSFER } from "@inpod/protocol";
import { connectTunnel, rawFromPublicKey } from "@inpod/tunnel";
import { FileClient, text } from "./support/file-client.ts";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";
import { Random } from "./support/random.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const args = [
  ...["--public-key", rawFromPublicKey(publicKey)],
  ...["--idle-timeout-ms", "20000", "--communication-timeout-ms", "20000"],
];

const folder = realpathSync(mkdtempSync(join(tmpdir(), "inpod-files-")));
after(() => rmSync(folder, { recursive: true }));
chmodSync(folder, 0o755);
const large = new Random(1).bytes(3 * MAX_TRANSFER + 17);

/** /a/b/c/d/e/f/conf.yml, a link of each kind, and names that are no text. */
function fill(): void {
  const at = (name: string): string => join(folder, name);
  mkdirSync(at("a/b/c/d/e/f"), { recursive: true });
  writeFileSync(at("a/b/c/d/e/f/conf.yml"), "key: value\n");
  writeFileSync(at("large"), large);
  writeFileSync(at("empty"), "");
  writeFileSync(at("closed"), "secret");
  chmodSync(at("closed"), 0);
  symlinkSync("/proc/1/root/etc/hostname", at("escape"));
  symlinkSync(join(folder, "a/b"), at("absolute"));
  symlinkSync("../a/./b/../b/c", at("a/relative"));
  symlinkSync("../../../../../../../../../../etc", at("climbing"));
  symlinkSync("loop", at("loop"));
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0x0a, 0xe9])]), "odd");
  linkSync(at("empty"), at("second"));
  for (let each = 0; each < 20; each++) {
    mkdirSync(at(`tree/m${each}/lib`), { recursive: true });
    for (let file = 0; file < 25; file++)
      writeFileSync(at(`tree/m${each}/lib/${file}.js`), `module.exports = ${each * file};\n`);
  }
}
fill();

const listing = { maxEntries: 4000, maxBytes: 2 ** 21, inlineLimit: 65536 };
const entries = (records: readonly FileRecord[]): Map<string, FileRecord> =>
  new Map(records.filter(({ kind }) => kind === "entry").map((record) => [record.path, record]));

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };
  const start = async (t: { after(run: () => unknown): void }): Promise<FileClient> => {
    const pod = await Pod.start(who);
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, args);
    t.after(() => agent.stop());
    const handlers = { onStream: () => undefined };
    const session = { sessionId: "session-a", privateKey, build: "test", handlers };
    return new FileClient(await connectTunnel(agent.dial(), session));
  };

  test(
    `${who}: a path of seven levels is one request, its content included`,
    options,
    async (t) => {
      const files = await start(t);
      const path = `${folder}/a/b/c/d/e/f/conf.yml`;
      const { records } = await files.ask("chain", { path, inlineLimit: 4096, maxBytes: 65536 });
      const names = path.split("/").slice(1);
      const ways = names.map((_, index) => `/${names.slice(0, index + 1).join("/")}`);
      assert.deepEqual(
        records.map((record) => record.path),
        ["/", ...ways],
      );
      const last = records.at(-1);
      assert.ok(last?.kind === "entry");
      assert.equal(text(last.content), "key: value\n");
      assert.equal(files.requests, 1);
    },
  );

  test(`${who}: links on the way are followed inside the root, and told`, options, async (t) => {
    const files = await start(t);
    const way = async (path: string): Promise<string[]> => {
      const limits = { inlineLimit: 4096, maxBytes: 65536 };
      const { records } = await files.ask("chain", { path: folder + path, ...limits });
      return records
        .filter((record) => record.path.startsWith(folder) || record.path.startsWith("/etc"))
        .map((record) => {
          const content = record.kind === "entry" ? text(record.content) : undefined;
          const name = record.path.replace(folder, "");
          return `${record.kind === "entry" ? "" : `${record.kind} `}${name}${content ? ` ${JSON.stringify(content)}` : ""}`;
        });
    };
    assert.deepEqual(await way("/absolute/c"), [
      ...["", `/absolute "${folder}/a/b"`, "", "/a", "/a/b", "/a/b/c"],
    ]);
    assert.deepEqual(await way("/a/relative/"), [
      ...["", "/a", '/a/relative "../a/./b/../b/c"', "/a", "/a/b", "/a/b", "/a/b/c"],
    ]);
    assert.equal((await way("/climbing")).at(-1), "/etc");
    assert.equal((await way("/a/nothing/below")).at(-1), "negative /a/nothing");
    assert.equal((await way("/empty/below")).at(-1), "/empty");
    assert.equal((await way("/loop")).filter((one) => one === '/loop "loop"').length, 41);
    // A link of /proc is more than what it says: nobody goes through it.
    assert.ok(
      !(await way("/escape")).some((one) => one.includes("hostname") && !one.startsWith("/escape")),
    );
  });

  test(`${who}: of a file's neighbours a chain tells everything too, once`, options, async (t) => {
    const files = await start(t);
    const { records } = await files.ask("chain", {
      ...{ path: `${folder}/tree/m1/lib/3.js`, inlineLimit: 4096, maxBytes: 2 ** 20 },
      listing: true,
    });
    const lib = `${folder}/tree/m1/lib`;
    for (let each = 0; each < 25; each++) {
      const found = records.filter((record) => record.path === `${lib}/${each}.js`);
      const contents = found
        .map((one) => one.kind === "entry" && text(one.content))
        .filter(Boolean);
      assert.deepEqual(contents, [`module.exports = ${each};\n`]);
    }
    assert.deepEqual(
      records.filter(({ kind }) => kind === "listed").map(({ path }) => path),
      [lib],
    );
  });

  test(`${who}: a tree of 500 files is one request with all their contents`, options, async (t) => {
    const files = await start(t);
    const { isComplete, records } = await files.ask("tree", {
      ...{ path: `${folder}/tree`, contents: true },
      ...listing,
    });
    assert.equal(isComplete, true);
    const contents = [...entries(records).values()].filter(
      (one) => one.kind === "entry" && one.content,
    );
    assert.equal(contents.length, 500);
    const listed = records.filter(({ kind }) => kind === "listed").map(({ path }) => path);
    assert.equal(listed.length, 41);
    assert.equal(listed[0], "");
    assert.equal(files.requests, 1);
  });

  test(
    `${who}: a tree that is too large says which of its directories are whole`,
    options,
    async (t) => {
      const files = await start(t);
      const { isComplete, records } = await files.ask("tree", {
        ...{ path: `${folder}/tree`, ...listing, maxEntries: 50, contents: true },
      });
      assert.equal(isComplete, false);
      const kinds = records.filter(({ kind }) => kind !== "entry").map(({ kind }) => kind);
      assert.equal(records.filter(({ kind }) => kind === "entry").length, 50);
      assert.ok(kinds.slice(0, -1).every((kind) => kind === "listed"));
    },
  );

  test(
    `${who}: a directory is listed in parts, each name once, with what stat says`,
    options,
    async (t) => {
      const files = await start(t);
      const seen = new Map<string, FileRecord>();
      let cookie = 0n;
      let parts = 0;
      do {
        const part = await files.ask("list", {
          ...{ path: folder, cookie, maxEntries: 3, maxBytes: 0, inlineLimit: 4096 },
          contents: true,
        });
        for (const record of part.records) {
          assert.ok(!seen.has(record.path), record.path);
          seen.set(record.path, record);
        }
        cookie = part.nextCookie;
        parts++;
      } while (cookie !== 0n);
      assert.ok(parts >= 4);
      const names = "a absolute climbing closed empty escape large loop second tree \xff\n\xe9";
      assert.deepEqual([...seen.keys()].sort(), names.split(" ").sort());
      const odd = seen.get("\xff\n\xe9");
      assert.ok(odd?.kind === "entry" && text(odd.content) === "odd" && odd.attributes.size === 3);
      const large = seen.get("large");
      assert.ok(large?.kind === "entry" && large.content === undefined);
      const second = seen.get("second");
      assert.ok(second?.kind === "entry");
      assert.equal(second.attributes.flags, ATTRIBUTE_FLAGS.unwatched, "it has two names");
      const closed = seen.get("closed");
      // Root without a capability, as everywhere in the worker.
      assert.equal(closed?.kind === "entry" && text(closed.content), undefined);
    },
  );

  test(`${who}: an open file is read anywhere, right behind its OPEN`, options, async (t) => {
    const files = await start(t);
    const opened = files.ask("open", { handle: 7, path: `${folder}/large`, flags: 0, mode: 0 });
    const reads = [0, 1, 2, 3].map((part) =>
      files.ask("read", { handle: 7, offset: part * MAX_TRANSFER, size: MAX_TRANSFER }),
    );
    const closed = files.ask("close", { handle: 7 });
    assert.equal((await opened).attributes.size, large.length);
    const content = Buffer.concat((await Promise.all(reads)).map((part) => part.content));
    assert.ok(content.equals(large));
    await closed;
    await assert.rejects(files.ask("read", { handle: 7, offset: 0, size: 1 }), /EBADF/);
    await assert.rejects(files.ask("close", { handle: 7 }), /EBADF/);
  });

  test(`${who}: what cannot be opened says so as open(2) would`, options, async (t) => {
    const files = await start(t);
    let handle = 1;
    const open = (path: string, flags = 0): Promise<unknown> =>
      files.ask("open", { handle: handle++, path, flags, mode: 0 });
    await assert.rejects(open(`${folder}/nothing`), /ENOENT/);
    await assert.rejects(open(`${folder}/empty/x`), /ENOTDIR/);
    await assert.rejects(open(`${folder}/loop`), /ELOOP/);
    await assert.rejects(open(`${folder}/absolute/c`), /ESTALE/, "a link in the middle");
    await assert.rejects(open("/dev/null"), /EACCES/);
    await assert.rejects(open(`${folder}/empty`, 0o200000), /ENOTDIR/);
    await assert.rejects(open(`${folder}/a`, 1), /EISDIR/);
    await assert.rejects(open("/proc/1/environ"), /EACCES/);
    await assert.rejects(open("/proc/1/mem"), /EACCES/);
    await open(`${folder}/empty`);
    await assert.rejects(
      files.ask("open", { handle: handle - 1, path: "/", flags: 0, mode: 0 }),
      /EEXIST/,
    );
    await assert.rejects(open(`${folder}/closed`), /EACCES/);
  });

  test(`${who}: links, rights and filesystems are asked by path`, options, async (t) => {
    const files = await start(t);
    assert.equal((await files.ask("readlink", { path: `${folder}/loop` })).target, "loop");
    await assert.rejects(files.ask("readlink", { path: `${folder}/a` }), /EINVAL/);
    await files.ask("access", { path: `${folder}/empty`, mode: 4 });
    await assert.rejects(files.ask("access", { path: `${folder}/empty`, mode: 1 }), /EACCES/);
    const { bsize, namelen, type } = await files.ask("statfs", { path: "/proc" });
    assert.deepEqual([bsize > 0, namelen > 0, type], [true, true, 0x9fa0]);
    const looked = await files.ask("look", { path: `${folder}/escape`, inlineLimit: 0 });
    assert.equal(text(looked.content), "/proc/1/root/etc/hostname");
    const status = await files.ask("look", { path: "/proc/1/status", inlineLimit: 4096 });
    assert.equal(status.content, undefined, "sizes say nothing there");
    assert.equal(
      (await files.ask("look", { path: `${folder}/empty`, inlineLimit: 1 })).content?.length,
      0,
    );
  });
}
