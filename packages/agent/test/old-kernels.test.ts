/** Where there is no openat2(2), paths are walked name by name, and stay where they belong. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connectTunnel, rawFromPublicKey } from "@inpod/tunnel";
import { FileClient, text } from "./support/file-client.ts";
import { Agent, Pod, skipUnless, type Who } from "./support/pod.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const args = [
  ...["--public-key", rawFromPublicKey(publicKey)],
  ...["--idle-timeout-ms", "20000", "--communication-timeout-ms", "20000"],
];
const folder = mkdtempSync(join(tmpdir(), "inpod-old-"));
after(() => rmSync(folder, { recursive: true }));
chmodSync(folder, 0o755);
const source = join(dirname(fileURLToPath(import.meta.url)), "support/without-openat2.c");
const withoutOpenat2 = join(folder, "without-openat2");
execFileSync("cc", ["-O", "-o", withoutOpenat2, source]);

for (const who of ["root", "user"] as Who[]) {
  for (const errno of ["ENOSYS", "EPERM"] as const) {
    test(`${who}: files are served where openat2 is ${errno}`, {
      timeout: 120_000,
      skip: skipUnless(who),
    }, async (t) => {
      const setup =
        "mount -t tmpfs none /mnt; cd /mnt; mkdir -p a/b; echo content > a/b/file; ln -s a link; ln -s ../../../../../mnt/a/b/file a/up";
      const pod = await Pod.start(who, setup);
      t.after(() => pod.stop());
      const prefix = [withoutOpenat2, String(constants.errno[errno])];
      const agent = await Agent.serve(who, pod, args, { prefix });
      t.after(() => agent.stop());
      const handlers = { onStream: () => undefined };
      const session = { sessionId: "session-a", privateKey, build: "test", handlers };
      const files = new FileClient(await connectTunnel(agent.dial(), session));
      const look = (path: string): Promise<string | undefined> =>
        files.ask("look", { path, inlineLimit: 100 }).then(({ content }) => text(content));
      assert.equal(await look("/mnt/a/b/file"), "content\n");
      assert.equal(await look("/mnt/link"), "a");
      await assert.rejects(look("/mnt/link/b"), /ESTALE/);
      await assert.rejects(look("/mnt/a/b/file/x"), /ENOTDIR/);
      await assert.rejects(look("/mnt/nothing"), /ENOENT/);
      await assert.rejects(look(`/mnt/${"x".repeat(255)}/y`), /ENOENT/);
      const chain = { path: "/mnt/a/up", inlineLimit: 100, maxBytes: 65536 };
      const last = (await files.ask("chain", chain)).records.at(-1);
      assert.equal(last?.kind === "entry" && text(last.content), "content\n");
      await files.ask("open", { handle: 1, path: "/mnt/a/new", flags: 0o102, mode: 0o600 });
      await files.ask("write", { handle: 1, offset: 0, content: Buffer.from("new") });
      await files.ask("rename", { from: "/mnt/a/new", to: "/mnt/a/b/newer", flags: 0 });
      assert.equal(await look("/mnt/a/b/newer"), "new");
      await assert.rejects(files.ask("unlink", { path: "/mnt/link/b/newer" }), /ESTALE/);
      const listing = { cookie: 0n, maxEntries: 10, maxBytes: 0, inlineLimit: 0 };
      const { records } = await files.ask("list", { path: "/mnt/a", ...listing });
      assert.deepEqual(records.map(({ path }) => path).sort(), ["b", "up"]);
    });
  }
}
