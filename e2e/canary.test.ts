/** On a real cluster: whether what is sent to a pod's Service arrives, and why not. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { imageOfFiles } from "./support/images.ts";
import { startInpod } from "./support/inpod.ts";
import { apply, kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { createPod, NODE_IMAGE, runNodePod } from "./support/pods.ts";
import { inNetworkOf, notOnThisKernel, processesOfPod } from "./support/this-kernel.ts";

/** Says each connection, and whether anything came by it. */
const server = (name: string): string => `
require("http").createServer((q, r) => { console.log("${name}: request"); r.end("${name}"); })
  .on("connection", (s) => s.on("close", () => console.log("${name}: connection of", s.bytesRead)))
  .listen(3000, () => setTimeout(() => console.log("${name} listens"), 1500));`;

describe("a try through the pod's Service", onCluster, () => {
  const namespace = useNamespace("inpod-canary");
  const folder = mkdtempSync(join(tmpdir(), "inpod-canary-"));

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    writeFileSync(join(folder, "program.js"), server("program"));
    await runNodePod({ namespace, name: "web", source: server("pod") });
    for (let each = 1; each <= 3; each++)
      await runNodePod({
        namespace,
        name: `many-${each}`,
        labels: { app: "many" },
        source: server(`many-${each}`),
      });
    await service("web", { selector: { app: "web" }, ports: [{ port: 80, targetPort: 3000 }] });
    await service("many", { selector: { app: "many" }, ports: [{ port: 80, targetPort: 3000 }] });
    await untilEndpoints("web", 1);
    await untilEndpoints("many", 3);
  });
  after(() => rmSync(folder, { recursive: true }));

  const service = (name: string, spec: object): Promise<unknown> =>
    apply({ apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec });
  const untilEndpoints = (name: string, count: number): Promise<unknown> =>
    waitFor(`${name} to have its endpoints`, async () => {
      const ready = await kubectl(
        ...["get", "endpointslices", "-n", namespace, "-l", `kubernetes.io/service-name=${name}`],
        "-o=jsonpath={.items[*].endpoints[*].conditions.ready}",
      );
      return ready.match(/true/g)?.length === count ? true : undefined;
    });

  /** Until the line about the Service has come; what the program has said by then. */
  async function line(
    words: RegExp,
    args: readonly string[],
    target = "pod/web",
  ): Promise<{ said: string; program: string; stop: () => Promise<string> }> {
    const inpod = startInpod(
      ["exec", ...args, "-t", target, "-n", namespace, "--", "node", "program.js"],
      { cwd: folder },
    );
    const stop = async (): Promise<string> => {
      inpod.interrupt();
      const { stdout, stderr } = await inpod.done;
      return stdout + stderr;
    };
    try {
      await inpod.says(words);
    } catch (error) {
      await stop();
      throw error;
    }
    const said = words.exec(inpod.output())?.[0] ?? "";
    return { said, program: inpod.output(), stop };
  }

  const logOf = (pod: string): Promise<string> => kubectl("logs", pod, "-n", namespace);

  test("with a whole port, a filter or mirroring it is proved, and nothing reaches the program or, stolen, the pod", async () => {
    const before = await logOf("web");
    for (const incoming of [
      { mode: "steal" },
      { mode: "steal", http_filter: { path_filter: "^/never" } },
      { mode: "mirror" },
    ]) {
      const config = join(folder, "inpod.json");
      writeFileSync(config, JSON.stringify({ feature: { network: { incoming } } }));
      const { said, stop } = await line(
        /what is sent to port 80 of service\/web .* proved in \d+ ms/,
        ["-f", config],
      );
      assert.match(said, incoming.mode === "mirror" ? /is copied here/ : /arrives here/);
      const all = await stop();
      assert.doesNotMatch(all, /program: /);
      if (incoming.mode === "steal") assert.equal(await logOf("web"), before);
    }
    // What mirroring cannot take from the pod: connections in which nothing was said.
    assert.doesNotMatch(await logOf("web"), /request|connection of [1-9]/);
  });

  test("of several pods it is found out by some more connections, in which the others see nothing", async () => {
    const { stop } = await line(
      /service\/many arrives here .*: proved in/,
      ["--steal"],
      "pod/many-2",
    );
    await stop();
    for (const other of ["many-1", "many-3"])
      assert.doesNotMatch(await logOf(other), /request|connection of [1-9]/);
  });

  test("--no-canary, and a pod that no Service leads to: not a word", async () => {
    await runNodePod({ namespace, name: "alone", source: server("pod") });
    for (const [target, ...args] of [["pod/web", "--no-canary"], ["pod/alone"]] as const) {
      const { stop } = await line(/program listens/, ["--steal", ...args], target);
      assert.doesNotMatch(await stop(), /proved|Service|service\//);
    }
  });

  test("a named port that is another one is told, with what to write", async () => {
    await createPod({
      namespace,
      name: "named",
      image: NODE_IMAGE,
      command: [process.execPath, "-e", server("pod")],
      extra: { ports: [{ name: "http", containerPort: 8080 }] },
    });
    await kubectl("wait", "--for=condition=Ready", "pod/named", "-n", namespace, "--timeout=60s");
    await service("named", {
      selector: { app: "named" },
      ports: [{ port: 80, targetPort: "http" }],
    });
    const { stop } = await line(
      /no Service leads to port 3000 of the pod: service\/named leads from port 80 to port 8080 \(the one named "http"\).*port_mapping: \[\[3000, 8080\]\]/,
      ["--steal"],
      "pod/named",
    );
    await stop();
  });

  test("a pod that is not ready is told", async () => {
    await createPod({
      namespace,
      name: "unready",
      image: NODE_IMAGE,
      command: [process.execPath, "-e", server("pod")],
      extra: { readinessProbe: { httpGet: { port: 3999, path: "/" }, periodSeconds: 1 } },
    });
    await kubectl(
      ...["wait", "--for=jsonpath={.status.phase}=Running", "pod/unready", "-n", namespace],
      "--timeout=60s",
    );
    await service("unready", { selector: { app: "unready" }, ports: [{ port: 3000 }] });
    await waitFor("the endpoints", async () =>
      /unready/.test(await kubectl("get", "endpointslices", "-n", namespace)) ? true : undefined,
    );
    const { stop } = await line(
      /nothing that is sent to service\/unready arrives here now: pod\/unready is not ready/,
      ["--steal"],
      "pod/unready",
    );
    await stop();
  });

  describe("where the pod's network is not as it should be", { skip: notOnThisKernel }, () => {
    let pid = 0;
    before(async () => {
      const uid = await kubectl(
        "get",
        "pod",
        "web",
        "-n",
        namespace,
        "-o=jsonpath={.metadata.uid}",
      );
      [pid = 0] = processesOfPod(uid);
      assert.ok(pid > 0);
    });
    const rule = async (text: string): Promise<void> => {
      await inNetworkOf(
        pid,
        "nft",
        "add table ip test; add chain ip test pre { type filter hook prerouting priority -350; }",
      );
      await inNetworkOf(pid, "nft", `add rule ip test pre tcp dport 3000 ${text}`);
      assert.match(await inNetworkOf(pid, "nft", "list", "table", "ip", "test"), /dport 3000/);
    };

    for (const [what, text, words] of [
      [
        "a policy that drops what arrives",
        "drop",
        /not proved .* does not answer the pod: a NetworkPolicy/,
      ],
      [
        "something that brings it past the pod's netfilter",
        "notrack",
        /not proved .*taken by the pod's own server: something brings them past the pod's netfilter/,
      ],
    ] as const) {
      test(`${what} is told`, async () => {
        await rule(text);
        try {
          const { stop } = await line(words, ["--steal"]);
          await stop();
        } finally {
          await inNetworkOf(pid, "nft", "delete", "table", "ip", "test");
        }
      });
    }
  });
});
