/** Every command of docs/coming-from.md, as it stands there, against a Deployment and Service "orders". */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { imageOfFiles } from "./support/images.ts";
import { type Running, startInpod } from "./support/inpod.ts";
import { apply, inventory, kubectl, noCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { NODE_IMAGE } from "./support/pods.ts";
import { service, workload } from "./support/workloads.ts";

const page = readFileSync(new URL("../docs/coming-from.md", import.meta.url), "utf8");
/** By the headings of the page. */
const sections = page.split(/^## /m).map((section) => ({
  name: section.split("\n")[0] ?? "",
  commands: [...section.matchAll(/^ {4}inpod (.*)$/gm)].map(([, words = ""]) =>
    words.replace(/ {2,}#.*$/, "").split(" "),
  ),
}));
/** What ends by itself; everything else lasts until it is ended. */
const ENDS =
  /^(birdseye|clean|list|ls|status|leave|verify|verify-config|doctor|quit|detach|recover)$/;
const STANDS = /until Ctrl-C|(requests|connections) to port 3000 of the target now arrive/;

describe("docs/coming-from.md", { skip: noCluster, timeout: 240_000 }, () => {
  const namespace = useNamespace("inpod-coming");
  const folder = mkdtempSync(join(tmpdir(), "inpod-coming-"));
  const env = { XDG_RUNTIME_DIR: folder, INPOD_TARGET_NAMESPACE: namespace };
  const SERVER = 'require("http").createServer((q, r) => r.end("pod")).listen(3000)';
  let found: string[] = [];

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    const labels = { app: "orders" };
    await apply(
      workload("Deployment", namespace, "orders", {
        labels,
        image: NODE_IMAGE,
        command: [process.execPath, "-e", SERVER],
      }),
      service(namespace, "orders", {
        selector: labels,
        ports: [{ name: "http", port: 80, targetPort: 3000 }],
      }),
    );
    await kubectl("rollout", "status", "deployment/orders", "-n", namespace, "--timeout=60s");
    found = await inventory(namespace);
    writeFileSync(join(folder, "server.js"), SERVER);
    writeFileSync(join(folder, "package.json"), '{"scripts": {"start": "node server.js"}}');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const { name, commands } of sections)
    if (commands.length > 0)
      test(name, async (t) => {
        let session: Running | undefined;
        const end = async (): Promise<void> => {
          session?.interrupt();
          await session?.done;
          session = undefined;
        };
        t.after(end);
        for (const words of commands) {
          const isLasting =
            !ENDS.test(words[0] ?? "") && words.at(-1) !== "bash" && words[0] !== "connect";
          if (isLasting) await end();
          const running = startInpod(words, { env, cwd: folder });
          if (isLasting) {
            session = running;
            await running.says(STANDS);
            continue;
          }
          const { code, stderr } = await running.done;
          assert.equal(code, 0, `inpod ${words.join(" ")}: ${stderr}`);
        }
      });

  test("and nothing of it is left", async () => {
    await waitFor("the namespace to be as before", async () =>
      (await inventory(namespace)).join() === found.join() ? true : undefined,
    );
  });
});
