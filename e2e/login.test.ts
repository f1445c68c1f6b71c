/** `inpod exec` by the logins and ways to the API server that developers have: a login program, a proxy, a pod of the cluster. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { rightsFor, sessionPurposes } from "@inpod/targets";
import { imageOfFiles } from "./support/images.ts";
import { runInpod, startInpod } from "./support/inpod.ts";
import {
  apply,
  inventory,
  kubectl,
  onCluster,
  untilInventoryIs,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { NODE_IMAGE, runNodePod, runPod } from "./support/pods.ts";

/** Of Node, busybox and the built inpod, at the paths that they have here; one for each checkout that shares a cluster. */
const CLI_IMAGE = `lab/inpod-cli:${process.env.INPOD_AGENT_IMAGE?.split(":").at(-1) ?? "1"}`;
const DIST = fileURLToPath(new URL("../dist", import.meta.url));
const BUSYBOX = "/bin/busybox";

const POD_SERVER = `require("http").createServer((q, r) => r.end("pod")).listen(3000)`;
const LOCAL_SERVER = `require("http").createServer((q, r) => r.end("local " + process.env.GREETING))
  .listen(3000, () => console.log("local server listens"))`;

/** A real proxy: what a CONNECT asks for is connected to. */
class ConnectProxy {
  readonly asked: string[] = [];
  readonly #sockets = new Set<Duplex>();
  readonly #server: Server = createServer();

  constructor() {
    this.#server.on("connect", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.asked.push(request.url ?? "");
      const { hostname, port } = new URL(`tcp://${request.url}`);
      const upstream = connect(Number(port), hostname, () => {
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        upstream.write(head);
        socket.pipe(upstream).pipe(socket);
      });
      this.#sockets.add(socket);
      upstream.on("error", () => socket.destroy());
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        upstream.destroy();
      });
    });
  }

  /** Its address. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }
}

describe("logins and ways to a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-login");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-login-"));
  const proxy = new ConnectProxy();
  let proxyUrl = "";
  let server = "";
  let found: string[] = [];
  after(() => rmSync(folder, { recursive: true }));
  after(() => proxy.stop());

  const write = (name: string, value: object): string => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify(value), { mode: 0o600 });
    return path;
  };
  const untilAsBefore = (): Promise<unknown> => untilInventoryIs(namespace, found);
  /** What a client in the pod itself is answered. */
  const ask = (): Promise<string> =>
    kubectl("exec", "client", "-n", namespace, "--", "wget", "-qO-", `http://${address}:3000/`);
  let address = "";

  before(async () => {
    proxyUrl = await proxy.start();
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    await imageOfFiles(CLI_IMAGE, [process.execPath, BUSYBOX, DIST]);
    // A developer with just the rights that a session on a pod cannot be without.
    const rules = rightsFor(
      sessionPurposes("pod", namespace, undefined).map(({ operation }) => operation),
    )
      .filter(({ needed }) => needed === "always")
      .map(({ group, resource, subresource, verb }) => ({
        apiGroups: [group],
        resources: [subresource === undefined ? resource : `${resource}/${subresource}`],
        verbs: [verb],
      }));
    const metadata = { name: "developer", namespace };
    const group = "rbac.authorization.k8s.io";
    await apply(
      { apiVersion: "v1", kind: "ServiceAccount", metadata },
      { apiVersion: `${group}/v1`, kind: "Role", metadata, rules },
      {
        apiVersion: `${group}/v1`,
        kind: "RoleBinding",
        metadata,
        roleRef: { apiGroup: group, kind: "Role", name: "developer" },
        subjects: [{ kind: "ServiceAccount", ...metadata }],
      },
    );
    await runNodePod({
      namespace,
      name: "web",
      source: POD_SERVER,
      env: { GREETING: "from-the-pod" },
    });
    await runPod({ namespace, name: "client", command: ["sleep", "3600"] });
    address = await kubectl(
      ...["get", "pod", "web", "-n", namespace, "-o", "jsonpath={.status.podIP}"],
    );
    await waitFor("the pod to answer", async () =>
      (await ask().catch(() => "")) === "pod" ? true : undefined,
    );
    writeFileSync(join(folder, "server.js"), LOCAL_SERVER);
    server = await kubectl(
      ...["config", "view", "--raw", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"],
    );

    // The cluster as it is, reached through the proxy; the user is in a file of its own.
    const { clusters } = JSON.parse(
      await kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"),
    );
    const token = (await kubectl("create", "token", "developer", "-n", namespace)).trim();
    writeFileSync(join(folder, "token"), token, { mode: 0o600 });
    // Each token has expired already, so each request needs another login.
    writeFileSync(
      join(folder, "login"),
      `#!/bin/sh
printf x >>"$0.runs"
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s","expirationTimestamp":"2020-01-01T00:00:00Z"}}' "$(cat "\${0%/*}/token")"
`,
    );
    chmodSync(join(folder, "login"), 0o755);
    const [cluster] = clusters;
    const contexts = [
      { name: "dev", context: { cluster: "c", user: "developer", namespace } },
      { name: "file", context: { cluster: "direct", user: "file", namespace } },
    ];
    write("contexts", { "current-context": "dev", contexts });
    write("clusters", {
      clusters: [
        { name: "c", cluster: { ...cluster.cluster, "proxy-url": proxyUrl } },
        { name: "direct", cluster: cluster.cluster },
      ],
      users: [
        {
          name: "developer",
          user: {
            exec: {
              apiVersion: "client.authentication.k8s.io/v1",
              command: "./login",
              interactiveMode: "Never",
            },
          },
        },
        { name: "file", user: { tokenFile: "token" } },
      ],
    });
    found = await inventory(namespace);
  });

  const env = (): Record<string, string> => ({
    KUBECONFIG: `${join(folder, "contexts")}:${join(folder, "clusters")}`,
  });
  const runs = (): number =>
    existsSync(join(folder, "login.runs"))
      ? readFileSync(join(folder, "login.runs"), "utf8").length
      : 0;

  test("with a login program, through a proxy, and on again with another login when the proxy cut all its connections", async () => {
    const inpod = startInpod(
      ["exec", "-t", "pod/web", "--steal", "--", process.execPath, "server.js"],
      { cwd: folder, env: env() },
    );
    await inpod.says(/local server listens/);
    assert.equal(await ask(), "local from-the-pod");
    assert.ok(proxy.asked.length > 0);
    assert.deepEqual([...new Set(proxy.asked)], [new URL(server).host]);
    const logins = runs();
    assert.ok(logins > 0);
    proxy.cut();
    await inpod.says(/the connection to the agent is back/);
    assert.ok(runs() > logins);
    await waitFor("the local server to answer again", async () =>
      (await ask().catch(() => "")) === "local from-the-pod" ? true : undefined,
    );
    inpod.interrupt();
    await inpod.done;
    assert.equal(await ask(), "pod");
    await untilAsBefore();
  });

  test("with a token file, through the proxy of HTTPS_PROXY or not, as use_proxy says", async () => {
    const print = [process.execPath, "-p", "process.env.GREETING"];
    const args = (...more: string[]) => ["exec", "-t", "pod/web", "--context", "file", ...more];
    proxy.asked.length = 0;
    const through = await runInpod(args("--", ...print), {
      cwd: folder,
      env: { ...env(), HTTPS_PROXY: proxyUrl },
    });
    assert.equal(through.stdout, "from-the-pod\n", through.stderr);
    assert.deepEqual([...new Set(proxy.asked)], [new URL(server).host]);
    proxy.asked.length = 0;
    const config = write("no-proxy.json", { use_proxy: false });
    const past = await runInpod(args("-f", config, "--", ...print), {
      cwd: folder,
      env: { ...env(), HTTPS_PROXY: proxyUrl },
    });
    assert.equal(past.stdout, "from-the-pod\n", past.stderr);
    assert.deepEqual(proxy.asked, []);
    await untilAsBefore();
  });

  /** inpod in a pod, without a kubeconfig: as its service account. */
  async function inPod(name: string, securityContext: object, ...args: string[]): Promise<string> {
    await runPod({
      namespace,
      name,
      image: CLI_IMAGE,
      command: [BUSYBOX, "sleep", "3600"],
      serviceAccountName: "developer",
      extra: { securityContext },
    });
    try {
      return await kubectl(
        ...["exec", name, "-n", namespace, "--", process.execPath, join(DIST, "cli.js")],
        ...["exec", "-t", "pod/web", ...agentImage, ...args],
      );
    } finally {
      await kubectl("delete", "pod", name, "-n", namespace);
    }
  }
  const { INPOD_AGENT_IMAGE: image } = process.env;
  const agentImage = image === undefined ? [] : ["--agent-image", image];
  const shell = (script: string): string[] => ["--", BUSYBOX, "sh", "-c", script];

  test("in a pod of the cluster: as its service account, in its namespace, for root and for others", async () => {
    const said = shell(`echo $GREETING; ${BUSYBOX} hostname`);
    assert.equal(await inPod("dev-root", {}, ...said), "from-the-pod\nweb\n");
    const nobody = { runAsUser: 1234, allowPrivilegeEscalation: false };
    assert.equal(
      await inPod("dev-user", { ...nobody, capabilities: { drop: ["ALL"] } }, ...said),
      "from-the-pod\nweb\n",
    );
    await untilAsBefore();
  });

  test("in a pod whose seccomp profile is the runtime's: with SYS_PTRACE in its list, else a hint that says so", async () => {
    const profile = {
      runAsUser: 1234,
      allowPrivilegeEscalation: false,
      seccompProfile: { type: "RuntimeDefault" },
    };
    const capabilities = { drop: ["ALL"], add: ["SYS_PTRACE"] };
    const said = shell("echo $GREETING");
    assert.equal(
      await inPod("dev-profile", { ...profile, capabilities }, ...said),
      "from-the-pod\n",
    );
    await assert.rejects(
      inPod("dev-strict", { ...profile, capabilities: { drop: ["ALL"] } }, ...said),
      /pidfd_getfd[\s\S]*hint: in a pod: securityContext: \{capabilities: \{add: \[SYS_PTRACE\]\}\}/,
    );
    await untilAsBefore();
  });
});
