/** inpod connect by routes, on a laptop without any way to the cluster but to its API server. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Laptop } from "../packages/cli/test/routes-laptop.ts";
import { awayFrom } from "./support/another-node.ts";
import { type Running, runInpod, startInpod } from "./support/inpod.ts";
import {
  apply,
  FILE_TIMEOUT_MS,
  inventory,
  kubectl,
  noCluster,
  waitFor,
  written,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { notOnThisKernel } from "./support/this-kernel.ts";
import { kubeconfigWith } from "./support/users.ts";
import { runWeb } from "./support/web.ts";

const skip =
  noCluster || notOnThisKernel || (process.getuid?.() === 0 ? false : "routes need root");

/** HTTP/1 on 3000, HTTP/2 on 3001, what it gets on 3002 TCP and UDP. */
const WEB = `
require("http").createServer((q, r) => r.end("pod sees " + q.socket.remoteAddress)).listen(3000);
require("http2").createServer((q, r) => r.end("pod speaks HTTP/" + q.httpVersion)).listen(3001);
require("net").createServer({ allowHalfOpen: true }, (s) => s.pipe(s).on("error", () => {})).listen(3002);
const u = require("dgram").createSocket("udp4"); u.bind(3002);
u.on("message", (m, from) => u.send("pod got " + m, from.port, from.address));`;
const PORTS = [
  { name: "http", port: 80, targetPort: 3000 },
  { name: "http2", port: 81, targetPort: 3001 },
  { name: "echo", port: 82, targetPort: 3002 },
  { name: "udp", port: 82, targetPort: 3002, protocol: "UDP" },
];

describe("connect by routes", { skip, timeout: FILE_TIMEOUT_MS }, () => {
  const namespace = useNamespace("inpod-routes");
  const other = useNamespace("inpod-routes-b");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  let way: Server;
  let laptop: Laptop;
  let kubeconfig = "";
  let podAddress = "";
  let found: string[] = [];
  let stateBefore = "";
  let writtenBefore = "";
  /** Its agent is on another node than "web". */
  let away: readonly string[] = [];

  before(async () => {
    const view = JSON.parse(await kubectl("config", "view", "--raw", "--minify", "-o", "json"));
    const { hostname, port } = new URL(view.clusters[0].cluster.server);
    const path = join(folder, "way");
    way = createServer({ allowHalfOpen: true }, (near) => {
      const far = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
      for (const [from, to] of [[near, far] as const, [far, near] as const]) {
        from.on("error", () => to.destroy());
        from.pipe(to);
      }
    }).listen(path);
    kubeconfig = await kubeconfigWith(folder, "kubeconfig", (config) => {
      for (const { cluster } of config.clusters) cluster.server = "https://127.0.0.1:6443";
    });
    await runWeb(namespace, WEB);
    podAddress = await kubectl(
      ...["get", "pod", "web", "-n", namespace, "-o", "jsonpath={.status.podIP}"],
    );
    await apply(
      service(namespace, "all", { selector: { app: "web" } }),
      service(other, "neighbour", {}),
      endpoints(other, "neighbour", podAddress),
    );
    laptop = await Laptop.start({
      way: path,
      network: ([program = "", ...args]) =>
        spawn("unshare", ["--net", program, ...args], { stdio: ["ignore", "pipe", "pipe"] }),
    });
    found = await inventory(namespace);
    stateBefore = await laptop.state();
    writtenBefore = await allWritten();
    away = await awayFrom(namespace, "web");
  });
  after(async () => {
    await laptop?.stop();
    way?.close();
    rmSync(folder, { recursive: true });
  });

  const allWritten = async (): Promise<string> =>
    (await written(namespace)) + (await written(other));
  const words = (...more: readonly string[]): string[] => [
    ...["connect", "--mode", "routes", "-n", namespace, "--kubeconfig", kubeconfig],
    ...[...away, ...more],
  ];
  const connected = async (...more: readonly string[]): Promise<Running> => {
    const inpod = startInpod(words(...more), { through: laptop.enter });
    await inpod.says(/until Ctrl-C/);
    return inpod;
  };
  const untilAsBefore = async (): Promise<void> => {
    let now: unknown;
    await waitFor(
      "all to be as before",
      async () => {
        now = [await laptop.state(), (await inventory(namespace)).sort()];
        return JSON.stringify(now) === JSON.stringify([stateBefore, [...found].sort()])
          ? true
          : undefined;
      },
      60_000,
    ).catch(() => assert.deepEqual(now, [stateBefore, [...found].sort()]));
    assert.equal(await allWritten(), writtenBefore);
  };

  test("subnets and names are found by themselves; HTTP/1, HTTP/2, TCP and UDP by Service and by pod", async () => {
    const inpod = await connected();
    const get = (url: string, ...flags: string[]): Promise<string> =>
      laptop.run("curl", "-sS", "-m", "20", ...flags, url);
    assert.match(await get("http://all/"), /^pod sees /);
    const full = `neighbour.${other}.svc.cluster.local`;
    for (const name of [`neighbour.${other}`, `neighbour.${other}.svc`, full])
      assert.match(await get(`http://${name}/`), /^pod sees /, name);
    assert.match(await get(`http://${podAddress}:3000/`), /^pod sees /);
    assert.equal(await get("http://all:81/", "--http2-prior-knowledge"), "pod speaks HTTP/2.0");
    assert.deepEqual(
      (
        await laptop.meets(
          ...["tcp all 82", `tcp ${podAddress} 3002`, `tcp ${podAddress} 9`],
          ...["udp all 82", `udp ${podAddress} 9`, "lookup www.example.com", "lookup all.default"],
        )
      ).map((each) => each.replace(/ from \S+ 82$/, "")),
      [
        ...["over and out", "over and out", "ECONNRESET"],
        ...["pod got ping", "ECONNREFUSED", "192.0.2.80", "ENOTFOUND"],
      ],
    );
    // The name server's own address is one of the Services'.
    const dns = await kubectl(
      ...["get", "service", "kube-dns", "-n", "kube-system", "-o", "jsonpath={.spec.clusterIP}"],
    );
    assert.deepEqual(await laptop.meets(`resolve ${dns} ${full}`, `resolve ${dns} x.${full}`), [
      await kubectl(
        ...["get", "service", "neighbour", "-n", other, "-o", "jsonpath={.spec.clusterIP}"],
      ),
      "ENOTFOUND",
    ]);
    inpod.interrupt();
    const { code, stdout, stderr } = await inpod.done;
    assert.deepEqual([code, stdout], [0, ""], stderr);
    await untilAsBefore();
  });

  test("a subnet that the laptop has itself is refused with the flag that is the way out, and it is", async () => {
    const subnet = podAddress.replace(/\.\d+$/, "");
    await laptop.sh(`ip addr add ${subnet}.250/28 dev office`);
    try {
      const { code, stderr } = await runInpod(words(), { through: laptop.enter });
      assert.equal(code, 1, stderr);
      assert.match(stderr, /the cluster's pods, overlaps with .*office/);
      const flag = /--exclude (\S+)/.exec(stderr)?.[1];
      assert.ok(flag);
      const inpod = await connected("--exclude", flag);
      assert.deepEqual(await laptop.meets("tcp all 82"), ["over and out"]);
      inpod.child.kill("SIGKILL");
      await inpod.done;
    } finally {
      await laptop.sh(`ip addr del ${subnet}.250/28 dev office`);
    }
    // In the cluster it is the agent that ends, when nobody has come back (docs/nothing-left-behind.md).
    await waitFor("the laptop to be as before", async () =>
      (await laptop.state()) === stateBefore ? true : undefined,
    );
    assert.equal(await allWritten(), writtenBefore);
  });
});

const service = (namespace: string, name: string, spec: object): object => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace },
  spec: { ...spec, ports: PORTS },
});

/** Of a Service without a selector: a pod of another namespace. */
const endpoints = (namespace: string, name: string, address: string): object => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: `${name}-1`, namespace, labels: { "kubernetes.io/service-name": name } },
  addressType: "IPv4",
  ports: PORTS.map(({ name: of, targetPort, protocol }) => ({
    name: of,
    port: targetPort,
    protocol,
  })),
  endpoints: [{ addresses: [address], conditions: { ready: true } }],
});
