/** `inpod up` on a cluster: two services from one file, told apart by requests, and one end. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startInpod } from "./support/inpod.ts";
import {
  apply,
  inventory,
  kubectl,
  onCluster,
  untilInventoryIs,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { runNodePod } from "./support/pods.ts";
import { inClient, runWeb } from "./support/web.ts";
import { service } from "./support/workloads.ts";

const POD = (name: string): string =>
  `require("http").createServer((q, r) => r.end("pod ${name}")).listen(3000)`;

describe("several services from one file", onCluster, () => {
  const namespace = useNamespace("inpod-up");
  const folder = mkdtempSync(join(tmpdir(), "inpod-up-"));
  let found: string[] = [];
  let services = "";
  const specs = (): Promise<string> =>
    kubectl(
      "get",
      "services",
      "-n",
      namespace,
      "-o",
      "jsonpath={.items[*].spec}{.items[*].metadata}",
    );

  before(async () => {
    await Promise.all([
      runWeb(namespace, POD("web")),
      apply(
        service(namespace, "orders", {
          selector: { app: "orders" },
          ports: [{ port: 80, targetPort: 3000 }],
        }),
      ),
    ]);
    await runNodePod({ namespace, name: "orders", source: POD("orders") });
    found = await inventory(namespace);
    services = await specs();
    writeFileSync(
      join(folder, "server.mjs"),
      `import { createServer } from "node:http";
const [name, port] = process.argv.slice(2);
createServer((q, r) => r.end("local " + name)).listen(Number(port), () => console.log("up " + name));`,
    );
    writeFileSync(
      join(folder, "mirrord-up.yaml"),
      `common: { namespace: ${namespace}, operator: false }
services:
  orders: # its target is found by the name: there is a Service and a pod
    run: { command: ["${process.execPath}", server.mjs, orders, "3000"] }
  web:
    mode: exchange
    expose: 18634:80
    command: ["${process.execPath}", server.mjs, web, "18634"]
`,
    );
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const ask = (name: string, baggage = ""): Promise<string> =>
    inClient(namespace, `wget -qO- --header 'baggage: ${baggage}' http://${name}/`).catch(String);

  test("a mirrord-up.yaml with one more mode: marked requests of one service and all of the other come here, until one Ctrl-C", async () => {
    const up = startInpod(["up", "--key", "ann"], { cwd: folder });
    await up.says(/orders \| up orders/);
    await up.says(
      /orders \| inpod: requests to port 3000 of the target now arrive .*mirrord-session=ann/,
    );
    await up.says(/web {4}\| inpod: until Ctrl-C/);
    await up.says(/web {4}\| up web/);
    assert.equal(await ask("orders", "x=y,mirrord-session=ann"), "local orders");
    assert.equal(await ask("orders", "mirrord-session=bob"), "pod orders");
    assert.equal(await ask("web"), "local web");
    up.child.kill("SIGINT");
    const { code, stderr } = await up.done;
    assert.equal(code, 0, stderr);
    assert.equal(await ask("orders", "mirrord-session=ann"), "pod orders");
    assert.equal(await ask("web"), "pod web");
    await asBefore();
  });

  test("killed, it takes its sessions with it", async () => {
    const up = startInpod(["up", "web", "--key", "ann"], { cwd: folder });
    await up.says(/web \| inpod: until Ctrl-C/);
    up.child.kill("SIGKILL");
    await up.done;
    await waitFor("the pod to answer", async () =>
      (await ask("web")) === "pod web" ? true : undefined,
    );
    await asBefore();
  });

  async function asBefore(): Promise<void> {
    await untilInventoryIs(namespace, found);
    assert.equal(await specs(), services);
  }
});
