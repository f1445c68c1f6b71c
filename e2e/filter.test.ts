/** On a real cluster: two developers take their own requests of one Service's pod, and the pod has the rest. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Running, runInpod, startInpod } from "./support/inpod.ts";
import { inventory, onCluster, untilAgentIsKnown, untilInventoryIs } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { inClient, runWeb } from "./support/web.ts";

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

describe("filters on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-filter");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  let found: string[] = [];
  let client = "";

  before(async () => {
    client = await runWeb(namespace, server("pod"));
    found = await inventory(namespace);
  });
  after(() => rmSync(folder, { recursive: true }));

  const shell = (script: string): Promise<string> => inClient(namespace, script);
  const ask = (user: string, path = "/"): Promise<string> =>
    shell(`wget -qO- --header "X-User: ${user}" http://web${path}`);

  function write(name: string, header: string, on_concurrent_steal?: string): Running {
    writeFileSync(join(folder, `${name}.js`), server(name));
    const incoming = {
      mode: "steal",
      http_filter: { header_filter: header },
      on_concurrent_steal,
    };
    const config = join(folder, `${name}.json`);
    writeFileSync(config, JSON.stringify({ feature: { network: { incoming } } }));
    return startInpod(
      ["exec", "-f", config, "-t", "pod/web", "-n", namespace, "--", "node", `${name}.js`],
      { cwd: folder },
    );
  }

  async function start(name: string, header: string): Promise<Running> {
    const inpod = write(name, header);
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
    const status = await runInpod(["status", "-t", "pod/web", "-n", namespace]);
    assert.equal(status.code, 0, status.stderr);
    const [titles, ...rows] = status.stdout.trim().split("\n");
    assert.match(
      titles ?? "",
      /^TARGET +WHO +MODE +PORT +TAKES +FOR +CONNECTIONS +REQUESTS +MACHINE$/,
    );
    assert.match(
      rows[0] ?? "",
      /^pod\/web\S* +\S.* +exec +3000 +header x-user = ann \(any case\) +\d+s +5 +5 +\S+$/,
    );
    assert.match(
      rows[1] ?? "",
      /^pod\/web\S* +\S.* +exec +3000 +header x-user = bob \(any case\) +\d+s +5 +5 +\S+$/,
    );
    assert.match(rows[2] ?? "", /^pod\/web\S* +\(the pod\) +3000 +what nobody takes +5 +5$/);
    assert.equal(rows.length, 3, status.stdout);

    const eve = write("eve", "^x-user: a");
    await eve.done;
    assert.match(
      eve.output(),
      /your process was ended: .*port 3000 .*since .*: header x-user = ann/,
    );
    assert.match(eve.output(), /inpod status/);
    assert.equal(await ask("ann"), `ann / from ${client}`);
    const over = write("over", "^x-user: a", "override");
    await over.says(/requests to port 3000 of the target now arrive/);
    await ann.says(/port 3000 is no longer taken: .* has taken it over/);
    assert.equal(await ask("ann"), `over / from ${client}`);
    const yields = write("yields", "^x-user: a", "continue");
    await yields.says(/port 3000 of the target could not be taken.*since .*: header x-user \^= a/);
    await ended(yields);
    await ended(over);
    await ended(ann);
    assert.equal(await ask("ann"), `pod / from ${client}`);
    assert.equal(await ask("bob"), `bob / from ${client}`);
    await ended(bob);
    assert.equal(await ask("bob"), `pod / from ${client}`);
    await untilInventoryIs(namespace, found);
  });
});
