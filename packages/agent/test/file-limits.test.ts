/** A pod and a session that mean ill: nothing hangs for others, nothing grows, and nobody leaves the target's root. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import {
  encodeFileRequest,
  type FileAnswers,
  type FileRecord,
  MAX_TRANSFER,
} from "@inpod/protocol";
import { connectTunnel, rawFromPublicKey, type Tunnel } from "@inpod/tunnel";
import { FileClient, text } from "./support/file-client.ts";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const args = [
  ...["--public-key", rawFromPublicKey(publicKey)],
  ...["--idle-timeout-ms", "20000", "--communication-timeout-ms", "20000"],
];
const listing = { maxEntries: 100_000, maxBytes: 2 ** 30, inlineLimit: 65536 };

interface Place {
  readonly files: FileClient;
  readonly tunnel: Tunnel;
  readonly agent: Agent;
  readonly pod: (script: string) => string;
}

const connect = (agent: Agent, sessionId = "session-a"): Promise<Tunnel> =>
  connectTunnel(agent.dial(), {
    ...{ sessionId, privateKey, build: "test", handlers: { onStream: () => undefined } },
  });
/** kB. */
const memory = (pid: number, what: "VmHWM" | "VmRSS"): number =>
  Number(
    new RegExp(`^${what}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1],
  );
const descriptorLimit = Number(
  /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 0,
);

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 240_000, skip: skipUnless(who) };
  /** @param setup of /mnt, where a tmpfs is mounted */
  const start = async (
    t: { after(run: () => unknown): void },
    setup = "",
    execAs = "",
  ): Promise<Place> => {
    const pod = await Pod.start(who, `mount -t tmpfs none /mnt; cd /mnt; ${setup}`, execAs);
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, args);
    t.after(() => agent.stop());
    const tunnel = await connect(agent);
    const inside = ["nsenter", "-m", "-t", String(pod.pid), "--", "sh", "-ec"];
    return {
      files: new FileClient(tunnel),
      pod: (script) => pod.run(...inside, script),
      ...{ tunnel, agent },
    };
  };

  test(`${who}: no path leads out of the target's root`, options, async (t) => {
    const bound =
      "for d in bin lib lib64 usr dev proc; do [ -e /$d ] && mkdir root/$d && mount --rbind /$d root/$d; done;";
    const { files } = await start(
      t,
      `mkdir -p root/a/b; echo outside > outside; echo inside > root/outside; ${bound}` +
        "ln -s ../../../../../../outside root/a/up; ln -s /outside root/a/absolute; ln -s /mnt/outside root/a/host;" +
        "ln -s .. root/a/b/parent;",
      "chroot /mnt/root",
    );
    const end = async (path: string): Promise<string | undefined> => {
      const { records } = await files.ask("chain", { path, inlineLimit: 100, maxBytes: 65536 });
      const last = records.at(-1);
      return last?.kind === "entry" ? text(last.content) : `${last?.kind} ${last?.path}`;
    };
    for (const path of [
      ...["/outside", "/../../outside", "/a/../../../outside", "/a/up", "/a/absolute"],
      "/a/b/parent/b/parent/../../outside",
    ])
      assert.equal(await end(path), "inside\n", path);
    assert.equal(await end("/a/host"), "negative /mnt");
    const { records } = await files.ask("list", { path: "/", cookie: 0n, ...listing });
    assert.ok(
      records.some(({ path }) => path === "outside") &&
        !records.some(({ path }) => path === "root"),
    );
  });

  test(
    `${who}: a FIFO, a socket or a device is never opened, by whatever request`,
    options,
    async (t) => {
      // Whoever opens the FIFO for reading would let this writer go on.
      const { files, pod } = await start(
        t,
        "mkdir d; mkfifo d/fifo; (echo x > d/fifo; echo opened > woken) &",
      );
      const path = "/mnt/d/fifo";
      await assert.rejects(files.ask("open", { handle: 1, path, flags: 0, mode: 0 }), /ENXIO/);
      await assert.rejects(files.ask("open", { handle: 1, path, flags: 2, mode: 0 }), /ENXIO/);
      await assert.rejects(files.ask("open", { handle: 1, path, flags: 0o1101, mode: 0 }), /ENXIO/);
      await files.ask("look", { path, inlineLimit: 4096 });
      await files.ask("chain", { path, inlineLimit: 4096, maxBytes: 65536, listing: true });
      await files.ask("tree", { path: "/mnt", ...listing, contents: true });
      const set = { mode: 0, uid: 0, gid: 0, size: 0, atimeNs: 0n, mtimeNs: 0n };
      await assert.rejects(files.ask("setattr", { handle: 0, path, mask: 8, ...set }), /EINVAL/);
      assert.equal(pod("ls /mnt"), "d", "the writer still waits");
    },
  );

  test(`${who}: 4096 levels are walked as far as a path can say`, options, async (t) => {
    const { files } = await start(
      t,
      `${process.execPath} -e 'const f=require("fs");process.chdir("/mnt");for(let i=0;i<4096;i++){f.mkdirSync("d");process.chdir("d")}';`,
    );
    const { isComplete, records } = await files.ask("tree", { path: "/mnt", ...listing });
    assert.equal(isComplete, false);
    const deepest = records.reduce((most, { path }) => Math.max(most, path.length), 0);
    assert.ok(deepest > 1000 && deepest <= 4095, String(deepest));
    const path = `/mnt${"/d".repeat(2045)}`;
    const chain = await files.ask("chain", { path, inlineLimit: 0, maxBytes: 1 });
    assert.ok(chain.records.length > 5 && chain.records.length < 100, "cut where asked");
    await files.ask("look", { path, inlineLimit: 0 });
  });

  test(
    `${who}: of 100,000 names each is listed once, and the worker does not grow`,
    options,
    async (t) => {
      const script =
        'const f=require("fs");f.mkdirSync("/mnt/many");for(let i=0;i<100000;i++)f.closeSync(f.openSync("/mnt/many/"+i,"w"))';
      const { files, agent } = await start(
        t,
        `mount -t tmpfs -o nr_inodes=200k none /mnt; ${process.execPath} -e '${script}';`,
      );
      const worker = agent.child("inpod-enter");
      const seen = new Set<string>();
      let cookie = 0n;
      do {
        const part: FileAnswers["list"] = await files.ask("list", {
          path: "/mnt/many",
          cookie,
          ...listing,
          contents: true,
        });
        for (const { path } of part.records) seen.add(path);
        cookie = part.nextCookie;
      } while (cookie !== 0n);
      assert.equal(seen.size, 100_000);
      assert.ok(files.requests < 20, `${files.requests} requests`);
      assert.ok(memory(worker, "VmHWM") < 32 * 1024, `${memory(worker, "VmHWM")} kB`);
    },
  );

  test(
    `${who}: what changes its type under way is one or the other, and nothing hangs`,
    options,
    async (t) => {
      const flip =
        "while :; do echo file > x; rm x; mkfifo x; rm x; ln -s /dev/zero x; rm x; mkdir x; rmdir x; ln -s x x; rm x; done";
      const { files } = await start(t, `(${flip}) 2>/dev/null &`);
      const outcomes = new Set<string>();
      for (let round = 1; round <= 400; round++) {
        const path = "/mnt/x";
        const opened = files.ask("open", {
          handle: round,
          path,
          flags: round % 2 ? 0 : 0o102,
          mode: 0o600,
        });
        const results = await Promise.allSettled([
          opened.then(() => files.ask("read", { handle: round, offset: 0, size: 10 })),
          files.ask("look", { path, inlineLimit: 100 }),
          files.ask("list", { path: "/mnt", cookie: 0n, ...listing, contents: true, lease: true }),
          files.ask("tree", { path, ...listing, lease: true }),
        ]);
        for (const one of results)
          outcomes.add(one.status === "fulfilled" ? "ok" : (one.reason as Error).message);
        await files.ask("close", { handle: round }).catch(() => undefined);
      }
      const expected = "ok ENOENT ELOOP ENXIO ENOTDIR EISDIR EEXIST EBADF ESTALE EACCES EAGAIN";
      for (const outcome of outcomes) assert.ok(expected.split(" ").includes(outcome), outcome);
      assert.ok(outcomes.has("ok") && outcomes.has("ENOENT"), [...outcomes].join(" "));
    },
  );

  test(`${who}: 10,000 files are open at once; a session's limit is its own, and its end gives all back`, {
    ...options,
    skip: options.skip || (descriptorLimit < 18_000 && "needs 18,000 descriptors"),
  }, async (t) => {
    const { files, agent } = await start(t, "echo content > file;");
    const worker = agent.child("inpod-enter");
    const descriptors = (): number => readdirSync(`/proc/${worker}/fd`).length;
    const before = descriptors();
    const open = (client: FileClient, handle: number): Promise<unknown> =>
      client.ask("open", { handle, path: "/mnt/file", flags: 0, mode: 0 });
    for (let at = 0; at < 16_384; at += 1024)
      await Promise.all(Array.from({ length: 1024 }, (_, each) => open(files, at + each + 1)));
    assert.equal(descriptors(), before + 16_384);
    await assert.rejects(open(files, 20_000), /EMFILE/);
    const { content } = await files.ask("read", { handle: 12_345, offset: 0, size: 100 });
    assert.equal(text(content), "content\n");
    // The same number is another file for another session.
    const other = await connect(agent, "session-b");
    const theirs = new FileClient(other);
    await assert.rejects(theirs.ask("read", { handle: 12_345, offset: 0, size: 1 }), /EBADF/);
    await open(theirs, 12_345);
    // What is closed has made room when the answer comes.
    for (let handle = 1; handle <= 1000; handle++) {
      await files.ask("close", { handle });
      await open(files, handle);
    }
    await other.call("end", {});
    await theirs.over;
    await files.ask("forget", {});
    await open(files, 1);
    for (let tries = 0; descriptors() > before + 1 && tries < 500; tries++)
      await files.ask("fstat", { handle: 1 });
    assert.equal(descriptors(), before + 1);
  });

  test(
    `${who}: handles outlive a stream, and its requests of a lost tunnel are nobody's`,
    options,
    async (t) => {
      const { files, tunnel } = await start(t, "echo content > file;");
      await files.ask("open", { handle: 5, path: "/mnt/file", flags: 0, mode: 0 });
      files.channel.end();
      const next = new FileClient(tunnel);
      assert.equal(
        text((await next.ask("read", { handle: 5, offset: 3, size: 3 })).content),
        "ten",
      );
    },
  );

  test(
    `${who}: who asks for much and takes nothing is kept waiting, and nobody else`,
    options,
    async (t) => {
      const { files, tunnel, agent } = await start(t, "truncate -s 64M file;");
      const node = agent.children().find((pid) => pid !== agent.child("inpod-enter")) as number;
      await files.ask("open", { handle: 1, path: "/mnt/file", flags: 0, mode: 0 });
      files.takes = false;
      const reads = Array.from({ length: 400 }, (_, each) =>
        files.ask("read", { handle: 1, offset: (each % 64) * MAX_TRANSFER, size: MAX_TRANSFER }),
      );
      const settled = Promise.all(reads);
      const before = memory(node, "VmRSS");
      const second = new FileClient(tunnel);
      for (let each = 0; each < 200; each++)
        await second.ask("look", { path: "/mnt/file", inlineLimit: 0 });
      assert.ok(memory(node, "VmRSS") - before < 100 * 1024, "kB");
      assert.ok(memory(agent.child("inpod-enter"), "VmHWM") < 64 * 1024);
      files.take();
      for (const { content } of await settled) assert.equal(content.length, MAX_TRANSFER);
    },
  );

  test(
    `${who}: a fifth stream of a session is refused, and what is no request resets its own`,
    options,
    async (t) => {
      const { files, tunnel } = await start(t);
      const streams = [1, 2, 3].map(() => new FileClient(tunnel));
      await Promise.all(streams.map((one) => one.ask("look", { path: "/", inlineLimit: 0 })));
      assert.equal(await new FileClient(tunnel).over, "EMFILE");
      const [first] = streams as [FileClient];
      first.channel.write(Buffer.from([255, 255, 255, 255, 1, 1, 1, 1]));
      assert.equal(await first.over, "EPROTO");
      const another = new FileClient(tunnel);
      const unknown = Buffer.from(encodeFileRequest(77, { op: "forget" }));
      unknown.writeUInt8(99, 8);
      await assert.rejects(another.raw(77, unknown), /ENOSYS/);
      const bad = Buffer.from(encodeFileRequest(78, { op: "look", path: "/", inlineLimit: 0 }));
      bad.writeUInt8(255, 9);
      await assert.rejects(another.raw(78, bad), /EINVAL/);
      await files.ask("look", { path: "/", inlineLimit: 0 });
    },
  );

  test(
    `${who}: a filesystem that does not answer takes few threads, and others are served`,
    options,
    async (t) => {
      // FUSE without anybody who serves it.
      const fuse = "fd=3,rootmode=40000,user_id=0,group_id=0";
      const place = await start(
        t,
        `exec 3<>/dev/fuse; mkdir dead alive; echo 1 > alive/file; mount -i -t fuse -o ${fuse} none dead;`,
      ).catch((error: Error) => error);
      if (place instanceof Error) return t.skip(`no FUSE: ${place.message}`);
      const { files } = place;
      const dead = Array.from({ length: 100 }, (_, each) =>
        files.ask("look", { path: `/mnt/dead/${each}`, inlineLimit: 0 }).then(String, String),
      );
      const second = new FileClient(place.tunnel);
      // The first 24 wait in the worker; these wait behind them, as long as Node's patience lasts.
      const alive = { path: "/mnt/alive/file", inlineLimit: 100 };
      const other = new FileClient(await connect(place.agent, "session-b"));
      assert.equal(text((await other.ask("look", alive)).content), "1\n");
      for (const outcome of await Promise.all(dead)) assert.match(outcome, /ETIMEDOUT/);
      assert.equal(text((await second.ask("look", alive)).content), "1\n");
      for (let each = 0; each < 50; each++)
        await assert.rejects(
          second.ask("look", { path: `/mnt/dead/${each}x`, inlineLimit: 0 }),
          /ETIMEDOUT/,
        );
      assert.equal(text((await files.ask("look", alive)).content), "1\n");
    },
  );
}

const records = (all: readonly FileRecord[]): string[] => all.map(({ path }) => path);
test("a cut tree can be gone on with by its directories, and nothing is missing", {
  timeout: 120_000,
}, async (t) => {
  const pod = await Pod.start(
    "user",
    "mount -t tmpfs none /mnt; for i in $(seq 30); do mkdir -p /mnt/$i; touch /mnt/$i/a /mnt/$i/b; done",
  );
  t.after(() => pod.stop());
  const agent = await Agent.serve("user", pod, args);
  t.after(() => agent.stop());
  const files = new FileClient(await connect(agent));
  const seen = new Set<string>();
  const walk = async (path: string): Promise<void> => {
    const tree = await files.ask("tree", { path, ...listing, maxEntries: 40 });
    for (const one of records(tree.records)) seen.add(one === "" ? path : `${path}/${one}`);
    const whole = new Set(
      tree.records.filter(({ kind }) => kind === "listed").map(({ path }) => path),
    );
    for (const one of tree.records)
      if (
        one.kind === "entry" &&
        (one.attributes.mode & 0o170000) === 0o040000 &&
        !whole.has(one.path)
      )
        await walk(`${path}/${one.path}`);
  };
  await walk("/mnt");
  assert.equal(seen.size, 1 + 30 * 3);
});
