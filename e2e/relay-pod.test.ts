/** A Service's traffic through a relay pod, in a namespace that gives nobody rights: and the Service as it was, whatever dies. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { rightsFor } from "@inpod/targets";
import { AGENT_IMAGE, imageOfFiles } from "./support/images.ts";
import { type Running, runInpod, startInpod } from "./support/inpod.ts";
import { apply, inventory, kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { NODE_IMAGE, runNodePod } from "./support/pods.ts";
import { RELAY_CLIENT, RELAY_POD_SERVER } from "./support/relay.ts";
import { rulesOf, userWith } from "./support/users.ts";

const HARDENED = {
  securityContext: {
    runAsUser: 1234,
    runAsNonRoot: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" },
  },
};

describe("a relay pod", onCluster, () => {
  const namespace = useNamespace("inpod-relay", {
    "pod-security.kubernetes.io/enforce": "restricted",
  });
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  /** Requests that the developer's server has not answered yet. */
  const held = new EventEmitter();
  let server: Server;
  let local = 0;
  let found: string[] = [];
  let service = "";
  const running: Running[] = [];

  before(async () => {
    const one = createServer((request, response) => {
      if (request.url === "/held") held.emit("request", response);
      else response.end("local");
    });
    const two = createHttp2Server((_, response) => response.end("local"));
    server = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (first) => {
        socket.pause();
        socket.unshift(first);
        (String(first).startsWith("PRI") ? two : one).emit("connection", socket);
        process.nextTick(() => socket.resume());
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    local = (server.address() as AddressInfo).port;
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    const nodes = (await kubectl("get", "nodes", "-o", "name")).trim().split("\n");
    const node = (at: number): string => (nodes[at] ?? nodes[0] ?? "").replace("node/", "");
    await Promise.all([
      runNodePod({
        ...{ namespace, name: "web", source: RELAY_POD_SERVER, node: node(0) },
        extra: { ...HARDENED, ports: [{ name: "http", containerPort: 3000 }] },
      }),
      runNodePod({
        ...{ namespace, name: "client", source: "setInterval(() => {}, 1e6)", node: node(1) },
        extra: HARDENED,
      }),
    ]);
    await apply({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace },
      spec: {
        selector: { app: "web" },
        ports: [
          { name: "http", port: 80, targetPort: "http" },
          { name: "raw", port: 81, targetPort: 3001 },
        ],
      },
    });
    await until(/^pod pod pod$/);
    found = await inventory(namespace);
    service = await read();
  });
  after(() => {
    server?.close();
    for (const { child } of running) if (child.exitCode === null) child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });

  /** Of the Service, but for what every write changes. */
  async function read(): Promise<string> {
    const all = JSON.parse(await kubectl("get", "service", "web", "-n", namespace, "-o", "json"));
    delete all.metadata.resourceVersion;
    delete all.metadata.managedFields;
    return JSON.stringify(all);
  }
  /** HTTP/1, HTTP/2 with prior knowledge, and TCP to a port that nobody exposes. */
  const ask = (version = "0"): Promise<string> =>
    kubectl(
      ...["exec", "client", "-n", namespace, "--", process.execPath, "-e", RELAY_CLIENT, "web"],
      version,
    );
  const until = (words: RegExp, version?: string): Promise<unknown> =>
    waitFor(`answers like ${words}`, async () =>
      words.test(await ask(version)) ? true : undefined,
    );
  const asBefore = (limitMs?: number): Promise<unknown> =>
    waitFor(
      "the namespace and its Service to be as before",
      async () =>
        (await read()) === service && (await inventory(namespace)).join() === found.join()
          ? true
          : undefined,
      limitMs,
    );
  function exchange(...flags: string[]): Running {
    const inpod = startInpod([
      ...["exchange", "web", "-n", namespace, "-i", AGENT_IMAGE, "--expose", `${local}:80`],
      ...flags,
    ]);
    running.push(inpod);
    return inpod;
  }

  test("the exposed port comes to this machine, the other goes on to the pods, and no request fails on the way there and back", async () => {
    const isOver = { now: false };
    let failed = "";
    const asking = (async () => {
      while (!isOver.now && failed === "") {
        const answers = await ask();
        if (!/^(pod|local) (pod|local) pod$/.test(answers)) failed = answers;
      }
    })();
    const inpod = exchange();
    await inpod.says(/until Ctrl-C/);
    assert.match(inpod.output(), /service\/web leads to a relay pod now/);
    assert.match(inpod.output(), /the relay's address as their client's/);
    await until(/^local local pod$/);
    const recovered = await runInpod(["recover", "web", "-n", namespace]);
    assert.equal(recovered.code === 0, false);
    assert.match(recovered.stderr, /service\/web is left as it is: session \S+ of \S+ uses it/);
    inpod.interrupt();
    const { code, stderr } = await inpod.done;
    assert.equal(code, 0, stderr);
    await until(/^pod pod pod$/);
    isOver.now = true;
    await asking;
    assert.equal(failed, "");
    await asBefore();
  });

  test("marked requests come to each of two developers through one relay pod, all others go on to the pods", async () => {
    const mesh = async (mark: string): Promise<Running> => {
      const ports = ["--expose", `${local}:80`, "--version-mark", mark];
      const inpod = startInpod(["mesh", "web", "-n", namespace, "-i", AGENT_IMAGE, ...ports]);
      running.push(inpod);
      await inpod.says(/until Ctrl-C/);
      return inpod;
    };
    const alice = await mesh("alice");
    await until(/^local local pod$/, "alice");
    assert.equal(await ask(), "pod pod pod");
    const bob = await mesh("bob");
    await until(/^local local pod$/, "bob");
    assert.equal(await ask("alice"), "local local pod");
    assert.equal(await ask("carol"), "pod pod pod");
    alice.interrupt();
    assert.equal((await alice.done).code, 0);
    assert.equal(await ask("alice"), "pod pod pod");
    assert.equal(await ask("bob"), "local local pod");
    bob.interrupt();
    assert.equal((await bob.done).code, 0);
    assert.equal(await ask("bob"), "pod pod pod");
    await asBefore();
  });

  test("killed, the session's Service passes everything on at once, and the relay pod that ends gives it back", async () => {
    const inpod = exchange();
    await inpod.says(/until Ctrl-C/);
    await until(/^local local pod$/);
    inpod.child.kill("SIGKILL");
    await until(/^pod pod pod$/);
    // As an eviction does; without it the relay ends by itself a minute later.
    await kubectl(
      ...["delete", "job", "-n", namespace, "-l", "app.kubernetes.io/managed-by=inpod"],
      "--wait=false",
    );
    await asBefore();
    assert.equal(await ask(), "pod pod pod");
  });

  test("when the relay pod is lost, the session makes another one, and gives the Service back at its end", async () => {
    const inpod = exchange();
    await inpod.says(/until Ctrl-C/);
    await kubectl(
      ...["delete", "pod", "-n", namespace, "-l", "app.kubernetes.io/managed-by=inpod"],
      ...["--force", "--grace-period=0", "--wait=false"],
    );
    await inpod.says(/starting another one/);
    await until(/^local local pod$/);
    inpod.interrupt();
    assert.equal((await inpod.done).code, 0);
    await asBefore();
  });

  test("a relay pod that is told to end, as by an eviction, gives the Service back before what is under way is over, and the session makes another one", async () => {
    const inpod = exchange();
    await inpod.says(/until Ctrl-C/);
    await until(/^local local pod$/);
    const get = `require("http").get("http://web/held", (answer) => answer.pipe(process.stdout)).on("error", (error) => console.log(error.code))`;
    const arrived = once(held, "request") as Promise<[ServerResponse]>;
    const answer = kubectl("exec", "client", "-n", namespace, "--", process.execPath, "-e", get);
    const [response] = await arrived;
    await kubectl(
      ...["delete", "pod", "-n", namespace, "-l", "app.kubernetes.io/managed-by=inpod"],
      "--wait=false",
    );
    await waitFor("the Service to have its own selector", async () =>
      (await read()) === service ? true : undefined,
    );
    response.end("answered");
    assert.equal(await answer, "answered");
    await inpod.says(/starting another one/);
    await until(/^local local pod$/);
    assert.match(
      inpod.output(),
      /service\/web leads to its own pods again: its relay pod is ending/,
    );
    inpod.interrupt();
    assert.equal((await inpod.done).code, 0);
    await asBefore();
  });

  test("a Service whose relay is gone is named by verify, and given back by recover", async () => {
    const note = {
      holder: "gone",
      owner: "ann",
      untilMs: 1,
      selector: { app: "web" },
      relay: { "inpod.dev/session": "gone" },
    };
    await kubectl(
      ...["patch", "service", "web", "-n", namespace, "--type=merge", "-p"],
      JSON.stringify({
        metadata: { annotations: { "inpod.dev/held": JSON.stringify(note) } },
        spec: { selector: { app: null, "inpod.dev/session": "gone" } },
      }),
    );
    const verified = await runInpod(["verify", "-n", namespace]);
    assert.match(
      verified.stdout,
      /selector of service\/web .*lease of session gone of ann is over/,
    );
    const recovered = await runInpod(["recover", "-n", namespace]);
    assert.equal(recovered.code, 0, recovered.stderr);
    assert.match(recovered.stdout, /restored service\/web: it leads to its own pods again/);
    assert.equal(await read(), service);
    const again = await runInpod(["recover", "web", "-n", namespace]);
    assert.match(again.stdout, /not held by inpod/);
  });

  test("who may not make the relay's own right is refused, with the way on", async () => {
    const rights = rightsFor(["find service", "place job", "place relay"]).filter(
      ({ group, resource }) => !/^rbac/.test(group) && resource !== "serviceaccounts",
    );
    const kubeconfig = await userWith(folder, namespace, "modest", rulesOf(rights));
    const inpod = exchange("--kubeconfig", kubeconfig);
    const { code, stderr } = await inpod.done;
    assert.notEqual(code, 0);
    assert.match(stderr, /could not give it back by itself/);
    assert.match(stderr, /"unattended": true/);
    assert.equal(await read(), service);
  });
});
