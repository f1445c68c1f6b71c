/** What happens in the pod is told to who has a lease, and leases that cannot be kept are not given. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  ATTRIBUTE_FLAGS,
  type FileAnswers,
  type FileEvent,
  type FileRecord,
} from "@inpod/protocol";
import { connectTunnel, rawFromPublicKey } from "@inpod/tunnel";
import { FileClient, text } from "./support/file-client.ts";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const args = [
  ...["--public-key", rawFromPublicKey(publicKey)],
  ...["--idle-timeout-ms", "20000", "--communication-timeout-ms", "20000"],
];
const listing = { maxEntries: 1000, maxBytes: 2 ** 20, inlineLimit: 4096 };

interface Place {
  readonly files: FileClient;
  /** Shell commands in the pod. */
  readonly pod: (script: string) => string;
  /** Another stream of the same session. */
  readonly another: () => FileClient;
  readonly agent: Agent;
}

const changed = (directory: string, name: string, what: string) => (event: FileEvent) =>
  event.kind === "invalidate" &&
  event.directory === directory &&
  event.name === name &&
  event.what === what;
const flags = (record: FileRecord | undefined): number =>
  record && record.kind !== "negative" ? record.attributes.flags : -1;

for (const who of ["root", "user"] as Who[]) {
  const options = { timeout: 120_000, skip: skipUnless(who) };
  /** @param setup of /mnt, where a tmpfs is mounted */
  const start = async (t: { after(run: () => unknown): void }, setup = ""): Promise<Place> => {
    const pod = await Pod.start(who, `mount -t tmpfs none /mnt; cd /mnt; ${setup}`);
    t.after(() => pod.stop());
    const agent = await Agent.serve(who, pod, args);
    t.after(() => agent.stop());
    const handlers = { onStream: () => undefined };
    const session = { sessionId: "session-a", privateKey, build: "test", handlers };
    const tunnel = await connectTunnel(agent.dial(), session);
    const inside = ["nsenter", "-m", "-t", String(pod.pid), "--", "sh", "-ec"];
    return {
      files: new FileClient(tunnel),
      another: () => new FileClient(tunnel),
      pod: (script) => pod.run(...inside, script),
      agent,
    };
  };
  const lease = (files: FileClient, path: string): Promise<FileAnswers["list"]> =>
    files.ask("list", { path, cookie: 0n, ...listing, lease: true, contents: true });

  test(`${who}: names that come, go and change are told`, options, async (t) => {
    const { files, pod } = await start(t, "mkdir dir; echo one > dir/log;");
    const listed = await lease(files, "/mnt/dir");
    assert.equal(listed.isLeased, true);
    assert.equal(listed.attributes.flags & ATTRIBUTE_FLAGS.leased, ATTRIBUTE_FLAGS.leased);
    assert.equal(flags(listed.records[0]), 0);
    pod("echo two >> /mnt/dir/log");
    await files.event(changed("/mnt/dir", "log", "changed"));
    assert.equal(
      (await files.ask("look", { path: "/mnt/dir/log", inlineLimit: 0 })).attributes.size,
      8,
    );
    pod("touch /mnt/dir/new");
    await files.event(changed("/mnt/dir", "new", "appeared"));
    pod("mv /mnt/dir/new /mnt/dir/other");
    await files.event(changed("/mnt/dir", "new", "disappeared"));
    await files.event(changed("/mnt/dir", "other", "appeared"));
    pod("chmod 600 /mnt/dir/other");
    await files.event(changed("/mnt/dir", "other", "changed"));
    pod("rm /mnt/dir/other");
    await files.event(changed("/mnt/dir", "other", "disappeared"));
    assert.ok(!files.events.some(({ kind }) => kind === "leases-lost"));
  });

  test(`${who}: a ConfigMap that is swapped by its ..data link is told`, options, async (t) => {
    const { files, pod } = await start(
      t,
      "mkdir -p map/..1 map/..2; echo old > map/..1/key; echo new > map/..2/key;" +
        "ln -s ..1 map/..data; ln -s ..data/key map/key;",
    );
    const chain = { path: "/mnt/map/key", inlineLimit: 4096, maxBytes: 65536, lease: true };
    const content = async (): Promise<string | undefined> => {
      const last = (await files.ask("chain", chain)).records.at(-1);
      return last?.kind === "entry" ? text(last.content) : undefined;
    };
    assert.equal(await content(), "old\n");
    // As kubelet does it: a new link, renamed over the old one.
    pod("ln -s ..2 /mnt/map/..data_tmp; mv -T /mnt/map/..data_tmp /mnt/map/..data");
    await files.event(changed("/mnt/map", "..data", "appeared"));
    assert.equal(await content(), "new\n");
  });

  test(
    `${who}: a directory whose parent is moved loses its lease with all below it`,
    options,
    async (t) => {
      const { files, pod } = await start(t, "mkdir -p a/b/c/d e;");
      assert.equal((await lease(files, "/mnt/a/b/c")).isLeased, true);
      assert.equal((await lease(files, "/mnt/a/b/c/d")).isLeased, true);
      assert.equal((await lease(files, "/mnt/e")).isLeased, true);
      pod("mv /mnt/a /mnt/z");
      await files.event(
        (event) =>
          event.kind === "invalidate" &&
          "/mnt/a/b/c/".startsWith(`${event.directory}/`) &&
          event.what === "gone",
      );
      pod("touch /mnt/e/still");
      await files.event(changed("/mnt/e", "still", "appeared"));
      await assert.rejects(lease(files, "/mnt/a/b/c"), /ENOENT/);
      pod("mkdir -p /mnt/a/b/c");
      assert.equal((await lease(files, "/mnt/a/b/c")).isLeased, true);
      pod("touch /mnt/a/b/c/new");
      await files.event(changed("/mnt/a/b/c", "new", "appeared"));
    },
  );

  test(
    `${who}: a directory that is removed while somebody is in it is gone, and the next of its name another`,
    options,
    async (t) => {
      const { files, pod } = await start(t, "mkdir -p up/dir; (cd up/dir; exec sleep 60) &");
      assert.equal((await lease(files, "/mnt/up/dir")).isLeased, true);
      pod("rmdir /mnt/up/dir; mkdir /mnt/up/dir");
      await files.event(changed("/mnt/up/dir", "", "gone"));
      assert.equal((await lease(files, "/mnt/up/dir")).isLeased, true);
      pod("touch /mnt/up/dir/new");
      await files.event(changed("/mnt/up/dir", "new", "appeared"));
    },
  );

  test(
    `${who}: each directory on the way of a path is leased by one request`,
    options,
    async (t) => {
      const { files, pod } = await start(t, "mkdir -p a/b; echo x > a/b/file;");
      const { records } = await files.ask("chain", {
        ...{ path: "/mnt/a/b/file", inlineLimit: 4096, maxBytes: 65536, lease: true },
      });
      const leased = records
        .filter((one) => flags(one) & ATTRIBUTE_FLAGS.leased)
        .map(({ path }) => path);
      assert.deepEqual(leased, ["/", "/mnt", "/mnt/a", "/mnt/a/b"]);
      pod("mkdir /mnt/a/new");
      await files.event(changed("/mnt/a", "new", "appeared"));
    },
  );

  test(`${who}: a tree says of each of its directories that it is leased`, options, async (t) => {
    const { files, pod } = await start(t, "for i in 1 2 3; do mkdir -p t/$i/x; done;");
    const { isComplete, records } = await files.ask("tree", {
      path: "/mnt/t",
      ...listing,
      lease: true,
    });
    assert.equal(isComplete, true);
    const listed = records.filter(({ kind }) => kind === "listed");
    assert.equal(listed.length, 7);
    assert.ok(listed.every((one) => flags(one) & ATTRIBUTE_FLAGS.leased));
    pod("touch /mnt/t/2/x/new");
    await files.event(changed("/mnt/t/2/x", "new", "appeared"));
  });

  test(
    `${who}: what a watch does not see is said: another name, another mount, a filesystem of the kernel's`,
    options,
    async (t) => {
      const { files } = await start(
        t,
        "mkdir dir; touch dir/one dir/bound; ln dir/one second; touch source; mount --bind source dir/bound;",
      );
      assert.equal((await lease(files, "/proc")).isLeased, false);
      const { isLeased, records } = await lease(files, "/mnt/dir");
      assert.equal(isLeased, true);
      for (const record of records)
        assert.equal(flags(record), ATTRIBUTE_FLAGS.unwatched, record.path);
    },
  );

  test(
    `${who}: when more happens than can be told, all leases are lost at once`,
    options,
    async (t) => {
      const { files, pod, agent } = await start(t, "mkdir dir;");
      assert.equal((await lease(files, "/mnt/dir")).isLeased, true);
      const worker = agent.child("inpod-enter");
      process.kill(worker, "SIGSTOP");
      try {
        // The kernel's, for each instance.
        const limit = Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "utf8"));
        // Each name twice: an event like the last is none.
        pod(`cd /mnt/dir; seq ${Math.ceil(limit / 2) + 10} | xargs touch`);
        pod("cd /mnt/dir; ls | xargs rm");
      } finally {
        process.kill(worker, "SIGCONT");
      }
      await files.event(({ kind }) => kind === "leases-lost");
      assert.equal((await lease(files, "/mnt/dir")).isLeased, true);
      pod("touch /mnt/dir/after");
      await files.event(changed("/mnt/dir", "after", "appeared"));
    },
  );

  test(`${who}: leases belong to the stream that asked for them last`, options, async (t) => {
    const { files, another, pod } = await start(t, "mkdir dir;");
    await lease(files, "/mnt/dir");
    const second = another();
    await lease(second, "/mnt/dir");
    pod("touch /mnt/dir/one");
    await second.event(changed("/mnt/dir", "one", "appeared"));
    assert.deepEqual(files.events, []);
    second.channel.reset("ECANCELED");
    assert.equal((await lease(files, "/mnt/dir")).isLeased, true);
    pod("touch /mnt/dir/two");
    await files.event(changed("/mnt/dir", "two", "appeared"));
    await files.ask("forget", { leasesOnly: true });
    pod("touch /mnt/dir/three");
    await lease(files, "/mnt/dir");
    pod("touch /mnt/dir/four");
    await files.event(changed("/mnt/dir", "four", "appeared"));
    assert.ok(!files.events.some(changed("/mnt/dir", "three", "appeared")));
  });
}

test("where the kernel grants no more watches, a directory is listed without a lease", {
  timeout: 120_000,
}, async (t) => {
  const setup =
    "mount -t tmpfs none /mnt; mkdir /mnt/1 /mnt/2 /mnt/3; echo 4 > /proc/sys/user/max_inotify_watches";
  const pod = await Pod.start("user", setup);
  t.after(() => pod.stop());
  const agent = await Agent.serve("user", pod, args);
  t.after(() => agent.stop());
  const handlers = { onStream: () => undefined };
  const session = { sessionId: "session-a", privateKey, build: "test", handlers };
  const files = new FileClient(await connectTunnel(agent.dial(), session));
  const leased: boolean[] = [];
  for (const path of ["/mnt/1", "/mnt/2", "/mnt/3"]) {
    const { isLeased } = await files.ask("list", { path, cookie: 0n, ...listing, lease: true });
    leased.push(isLeased);
  }
  assert.deepEqual(leased, [true, true, false], "the root, /mnt, and two more");
});
