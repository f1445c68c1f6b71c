/** On a real cluster: two developers take their own requests of one Service's pod, and the pod has the rest. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { imageOfFiles } from "./support/images.ts";
import { type Running, startInpod } from "./support/inpod.ts";
import {
  apply,
  inventory,
  kubectl,
  noCluster,
  untilAgentIsKnown,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { NODE_IMAGE, runNodePod, runPod } from "./support/pods.ts";

/** Says its name, what was asked, and who. */
const server = (name: string): string => `
require("http").createServer((q, r) => {
  r.end("${name} " + q.url + " from " + q.socket.remoteAddress.replace("::ffff:", ""));
}).listen(3000, () => console.log("${name} listens"));
`;

async function ended(inpod: Running): Promise<void> {
  inpod.interrupt();
  await inpod.done;
}

describe("filters on a cluster", { skip: noCluster, timeout: 300_000 }, () => {
  const namespace = useNamespace("inpod-filter");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  let found: string[] = [];
  let client = "";

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    await runNodePod({ namespace, name: "web", source: server("pod") });
    await apply({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 3000 }] },
    });
    await runPod({ namespace, name: "client", command: ["sleep", "3600"] });
    client = await kubectl(
      ...["get", "pod", "client", "-n", namespace, "-o", "jsonpath={.status.podIP}"],
    );
    await waitFor("the service to have its pod", async () =>
      (await shell("wget -qO- http://web/").catch(() => "")).startsWith("pod") ? true : undefined,
    );
    found = await inventory(namespace);
  });
  after(() => rmSync(folder, { recursive: true }));

  const shell = (script: string): Promise<string> =>
    kubectl("exec", "client", "-n", namespace, "--", "sh", "-c", script);
  const ask = (user: string, path = "/"): Promise<string> =>
    shell(`wget -qO- --header "X-User: ${user}" http://web${path}`);

  async function start(name: string, header: string): Promise<Running> {
    writeFileSync(join(folder, `${name}.js`), server(name));
    const incoming = { mode: "steal", http_filter: { header_filter: header } };
    const config = join(folder, `${name}.json`);
    writeFileSync(config, JSON.stringify({ feature: { network: { incoming } } }));
    const inpod = startInpod(
      ["exec", "-f", config, "-t", "pod/web", "-n", namespace, "--", "node", `${name}.js`],
      { cwd: folder },
    );
    await inpod.says(new RegExp(`${name} listens`));
    return inpod;
  }

  test("two sessions share a port by their filters, and a third is told who has what it wants", async () => {
    const ann = await start("ann", "^x-user: ann$");
    await ann.says(/requests to port 3000 of the target now arrive .*: header x-user = ann/);
    await untilAgentIsKnown(namespace, "inpod.dev/target=web");
    const bob = await start("bob", "^x-user: bob$");
    await bob.says(/requests to port 3000 of the target now arrive .*: header x-user = bob/);
    for (let each = 0; each < 5; each++) {
      assert.equal(await ask("ann", `/${each}`), `ann /${each} from ${client}`);
      assert.equal(await ask("bob", `/${each}`), `bob /${each} from ${client}`);
      assert.equal(await ask("somebody", `/${each}`), `pod /${each} from ${client}`);
    }
    const eve = await start("eve", "^x-user: a");
    await eve.says(/port 3000 of the target could not be taken.*since .*: header x-user = ann/);
    await ended(eve);
    await ended(ann);
    assert.equal(await ask("ann"), `pod / from ${client}`);
    assert.equal(await ask("bob"), `bob / from ${client}`);
    await ended(bob);
    assert.equal(await ask("bob"), `pod / from ${client}`);
    await waitFor(
      "the namespace to be as before",
      async () => ((await inventory(namespace)).join() === found.join() ? true : undefined),
      100_000,
    );
  });
});
