/** Without --steal, on a real cluster: what comes through a Service is copied to the program, and the pod answers it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { type Running, startInpod } from "./support/inpod.ts";
import {
  inventory,
  onCluster,
  untilAgentIsKnown,
  untilInventoryIs,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { inClient, runWeb } from "./support/web.ts";

const POD_SERVER = `require("http").createServer((q, r) => {
  const hash = require("crypto").createHash("md5");
  q.on("data", (b) => hash.update(b)).on("end", () => r.end("pod " + q.url + " " + hash.digest("hex")));
}).listen(3000)`;
const LOCAL_SERVER = `
const client = (socket) => socket.remoteAddress.replace("::ffff:", "");
require("http").createServer((q, r) => {
  const hash = require("crypto").createHash("md5");
  q.on("data", (b) => hash.update(b)).on("end", () => {
    console.log("got " + q.method + " " + q.url + " " + hash.digest("hex") + " from " + client(q.socket));
    r.statusCode = 500;
    r.end("the program");
  });
}).listen(3000, () => console.log("local server listens"));
`;
const REQUESTS = 50;

describe("mirroring on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-mirror");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  let found: string[] = [];
  let client = "";

  before(async () => {
    writeFileSync(join(folder, "server.js"), LOCAL_SERVER);
    client = await runWeb(namespace, POD_SERVER);
    found = await inventory(namespace);
  });
  after(() => rmSync(folder, { recursive: true }));
  // What a failed test has left running must not fail the next.
  const sessions: Running[] = [];
  afterEach(async () => {
    for (const each of sessions.splice(0)) {
      if (!each.hasExited()) each.interrupt();
      await each.done;
    }
  });

  const shell = (script: string): Promise<string> => inClient(namespace, script);
  const untilAsBefore = (): Promise<unknown> => untilInventoryIs(namespace, found);
  const start = async (...flags: string[]): Promise<Running> => {
    const inpod = startInpod(
      ["exec", "-t", "pod/web", "-n", namespace, ...flags, "--", "node", "server.js"],
      { cwd: folder },
    );
    sessions.push(inpod);
    await inpod.says(/local server listens/);
    await inpod.says(/what clients send to port 3000 of the target is copied to your process/);
    return inpod;
  };
  const MD5_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e";

  test("each request arrives at the program with the client's address, and the pod's answers are its own", async () => {
    const inpod = await start();
    const answers = await shell(
      `for i in $(seq ${REQUESTS}); do wget -qO- http://web/n/$i; echo; done`,
    );
    const wanted = Array.from({ length: REQUESTS }, (_, i) => `pod /n/${i + 1} ${MD5_OF_NOTHING}`);
    assert.deepEqual(answers.trim().split("\n"), wanted);
    const got = (): string[] => inpod.output().match(/got GET \/n\/.*/g) ?? [];
    await waitFor("all copies", async () => (got().length >= REQUESTS ? true : undefined));
    // Each is a connection of its own, and the copies of two may overtake each other.
    assert.deepEqual(
      got().sort(),
      wanted.map((line) => `got GET ${line.slice(4)} from ${client}`).sort(),
    );
    // 5 MiB, of which pod and program see the same.
    const uploaded = await shell(
      "head -c 5242880 /dev/urandom > /tmp/body; wget -qO- --post-file=/tmp/body http://web/upload",
    );
    await inpod.says(new RegExp(`got POST ${uploaded.slice(4)} from ${client}`));
    assert.doesNotMatch(inpod.output(), /lost|missed/);
    inpod.interrupt();
    await inpod.done;
    await untilAsBefore();
  });

  test("two developers mirror one pod at once, beside each other", async () => {
    const [one, two] = await Promise.all([start(), start()]);
    assert.match(await shell("wget -qO- http://web/both"), /^pod \/both/);
    await Promise.all([one.says(/got GET \/both/), two.says(/got GET \/both/)]);
    one.interrupt();
    await one.done;
    assert.match(await shell("wget -qO- http://web/second"), /^pod/);
    await two.says(/got GET \/second/);
    assert.doesNotMatch(one.output(), /second/);
    two.interrupt();
    await two.done;
    await untilAsBefore();
  });

  test("with a filter each developer has copies of those requests that match, and the pod answers all", async () => {
    const startFiltered = async (name: string): Promise<Running> => {
      const config = join(folder, `${name}.json`);
      const incoming = { mode: "mirror", http_filter: { header_filter: `^x-user: ${name}$` } };
      writeFileSync(config, JSON.stringify({ feature: { network: { incoming } } }));
      const inpod = startInpod(
        ["exec", "-f", config, "-t", "pod/web", "-n", namespace, "--", "node", "server.js"],
        { cwd: folder },
      );
      sessions.push(inpod);
      await inpod.says(/local server listens/);
      await inpod.says(
        new RegExp(`requests to port 3000 of the target are copied .*: header x-user = ${name}`),
      );
      return inpod;
    };
    const ann = await startFiltered("ann");
    await untilAgentIsKnown(namespace, "inpod.dev/target=web");
    const bob = await startFiltered("bob");
    const ask = (user: string, path: string): Promise<string> =>
      shell(`wget -qO- --header "X-User: ${user}" --post-data "of ${user}" http://web${path}`);
    for (let each = 0; each < 5; each++) {
      for (const user of ["ann", "bob", "somebody"])
        assert.match(await ask(user, `/${user}/${each}`), new RegExp(`^pod /${user}/${each} `));
    }
    const paths = (inpod: Running): string[] =>
      [...inpod.output().matchAll(/got POST (\S+)/g)].map(([, path]) => path ?? "");
    for (const [user, inpod] of [
      ["ann", ann],
      ["bob", bob],
    ] as const) {
      for (const each of [0, 1, 2, 3, 4])
        await inpod.says(new RegExp(`got POST /${user}/${each} \\S+ from ${client}`));
      assert.equal(paths(inpod).length, 5, inpod.output());
      assert.doesNotMatch(inpod.output(), /lost|missed|not mirrored|no further/);
      inpod.interrupt();
      await inpod.done;
    }
    await untilAsBefore();
  });

  test("from an ephemeral container with rights, too", async () => {
    const inpod = await start("-e");
    assert.match(await shell("wget -qO- http://web/ephemeral"), /^pod/);
    await inpod.says(/got GET \/ephemeral/);
    inpod.interrupt();
    await inpod.done;
  });
});
