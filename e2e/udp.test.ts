/** UDP ports on a real cluster: what comes through a Service of UDP goes to the program, or is copied to it. */
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
  onCluster,
  untilInventoryIs,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { NODE_IMAGE, runNodePod } from "./support/pods.ts";

const PORT = 5300;
const POD_SERVER = `const u = require("dgram").createSocket("udp4");
u.on("message", (m, r) => u.send("pod " + r.address + " " + m.toString().slice(0, 20), r.port, r.address));
u.bind(${PORT});`;
const LOCAL_SERVER = `
const u = require("node:dgram").createSocket("udp4");
u.on("message", (m, r) => {
  console.log("got " + m.toString().slice(0, 20) + " of " + m.length + " from " + r.address);
  u.send("program " + r.address + " " + m.toString().slice(0, 20), r.port, r.address);
});
u.bind(${PORT}, () => console.log("local server is bound"));
`;
/**
 * A client that asks each half second from one socket, connected, so that only the Service's answers count; and answers
 * over TCP which one came last, and what a datagram of so many bytes from a new socket is answered.
 */
const CLIENT = `const dgram = require("dgram"); const lookup = require("dns").promises.lookup;
let last = "";
lookup("dns").then(({ address }) => {
  const known = dgram.createSocket("udp4");
  known.on("message", (m) => { last = String(m); }); known.on("error", () => {});
  known.connect(${PORT}, address, () => setInterval(() => known.send("known"), 500));
  require("http").createServer((q, r) => {
    const [, what, bytes] = q.url.split("/");
    if (what === "last") { r.end(last); return; }
    const u = dgram.createSocket("udp4");
    const end = (text) => { clearTimeout(timer); u.close(); r.end(text); };
    const timer = setTimeout(end, 3000, "nothing");
    u.on("message", (m) => end(String(m))); u.on("error", (e) => end(e.code));
    u.connect(${PORT}, address, () => u.send(what.padEnd(+bytes || 0, "x")));
  }).listen(8000);
});`;
/** For \`node -e\`: what the client says. */
const ASK = (path: string): string =>
  `require("http").get("http://127.0.0.1:8000/${path}", (r) => r.pipe(process.stdout))`;

describe("UDP on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-udp");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  let found: string[] = [];
  let client = "";

  before(async () => {
    writeFileSync(join(folder, "server.js"), LOCAL_SERVER);
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    await runNodePod({ namespace, name: "dns", source: POD_SERVER });
    await apply({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "dns", namespace },
      spec: { selector: { app: "dns" }, ports: [{ port: PORT, protocol: "UDP" }] },
    });
    await runNodePod({ namespace, name: "client", source: CLIENT });
    client = await kubectl(
      ...["get", "pod", "client", "-n", namespace, "-o", "jsonpath={.status.podIP}"],
    );
    await waitFor("the service to have its pod", async () =>
      (await ask("first").catch(() => "")).startsWith("pod") ? true : undefined,
    );
    found = await inventory(namespace);
  });
  after(() => rmSync(folder, { recursive: true }));

  const ask = (path: string): Promise<string> =>
    kubectl("exec", "client", "-n", namespace, "--", process.execPath, "-e", ASK(path));
  const untilAsBefore = (): Promise<unknown> => untilInventoryIs(namespace, found);
  const known = (from: string): Promise<unknown> =>
    waitFor(`the known flow to be ${from}'s`, async () =>
      (await ask("last")) === `${from} ${client} known` ? true : undefined,
    );
  const start = async (...flags: string[]): Promise<Running> => {
    const inpod = startInpod(
      ["exec", "-t", "pod/dns", "-n", namespace, ...flags, "--", "node", "server.js"],
      { cwd: folder },
    );
    await inpod.says(/local server is bound/);
    return inpod;
  };

  test("stolen through its Service: a known flow and new ones see the program, the program its clients, and the pod has all of it again at the end", async () => {
    await known("pod");
    const inpod = await start("--steal");
    await inpod.says(/datagrams to UDP port 5300 of the target now arrive at your process/);
    await known("program");
    for (let each = 0; each < 10; each++)
      assert.equal(await ask(`new${each}`), `program ${client} new${each}`);
    // Longer than a packet: in fragments on its way.
    assert.equal(await ask("large/20000"), `program ${client} largexxxxxxxxxxxxxxx`);
    await inpod.says(new RegExp(`got largexxxxxxxxxxxxxxx of 20000 from ${client}`));
    inpod.interrupt();
    await inpod.done;
    assert.equal(await ask("after"), `pod ${client} after`);
    await known("pod");
    await untilAsBefore();
  });

  test("without --steal the pod answers, and the program gets copies with the client's address", async () => {
    const inpod = await start();
    await inpod.says(/datagrams that clients send to UDP port 5300 of the target are copied/);
    assert.equal(await ask("copied"), `pod ${client} copied`);
    await inpod.says(new RegExp(`got copied of 6 from ${client}`));
    await inpod.says(new RegExp(`got known of 5 from ${client}`));
    assert.equal(await ask("last"), `pod ${client} known`);
    inpod.interrupt();
    await inpod.done;
    await untilAsBefore();
  });

  test("when the agent's pod is killed the flow comes back with the next agent", async () => {
    const inpod = await start("--steal");
    await known("program");
    const agent = await waitFor("the agent's pod", async () => {
      const names = (await kubectl("get", "pods", "-n", namespace, "-o", "name")).split("\n");
      return names.find((name) => name.startsWith("pod/inpod"));
    });
    await kubectl("delete", agent, "-n", namespace, "--grace-period=0", "--force", "--wait=false");
    // The pod's turn in between can be shorter than the time from one question to the next.
    await inpod.says(/the agent is gone .*starting another one/);
    await inpod.says(/the connection to the agent is back/);
    await known("program");
    inpod.interrupt();
    await inpod.done;
    await known("pod");
    await untilAsBefore();
  });
});
