/** Every command of docs/coming-from.md and docs/service-modes.md against a Deployment and Services of the names that are there. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { testPage } from "./support/docs-page.ts";
import { imageOfFiles } from "./support/images.ts";
import { apply, inventory, kubectl, onCluster, untilInventoryIs } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { NODE_IMAGE } from "./support/pods.ts";
import { service, workload } from "./support/workloads.ts";

describe("pages of docs/", onCluster, () => {
  const namespace = useNamespace("inpod-docs");
  const cwd = mkdtempSync(join(tmpdir(), "inpod-docs-"));
  const env = { XDG_RUNTIME_DIR: cwd, INPOD_TARGET_NAMESPACE: namespace };
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
        ports: [
          { name: "http", port: 80, targetPort: 3000 },
          { name: "metrics", port: 9000, targetPort: 3001 },
        ],
      }),
      service(namespace, "dns", {
        selector: labels,
        ports: [{ name: "dns", port: 53, protocol: "UDP" }],
      }),
    );
    await kubectl("rollout", "status", "deployment/orders", "-n", namespace, "--timeout=60s");
    found = await inventory(namespace);
    writeFileSync(join(cwd, "server.js"), SERVER);
    writeFileSync(join(cwd, "package.json"), '{"scripts": {"start": "node server.js"}}');
    // Of sessions that follow each other the next one joins; the last one's agent is not waited for long.
    mkdirSync(join(cwd, ".inpod"));
    writeFileSync(join(cwd, ".inpod/inpod.json"), '{"agent": {"idle_timeout": 5}}');
  });
  after(() => rmSync(cwd, { recursive: true, force: true }));

  testPage("coming-from.md", { env, cwd });
  testPage("service-modes.md", { env, cwd, instead: { shop: namespace } });

  test("and nothing of it is left", async () => {
    await untilInventoryIs(namespace, found);
  });
});
