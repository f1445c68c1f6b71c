/** On a real cluster: the kubelet's probes stay with a pod whose ports are taken, whatever the program does. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { imageOfFiles } from "./support/images.ts";
import { type Running, startInpod } from "./support/inpod.ts";
import { apply, kubectl, onCluster, waitFor } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { BUSYBOX, createPod, NODE_IMAGE } from "./support/pods.ts";

/** Health over gRPC without a library: the one message that there is, and its trailers. */
const GRPC = (status: number): string => `
require("http2").createServer().on("stream", (s, h) => {
  say("grpc " + h[":path"]);
  s.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  s.on("wantTrailers", () => s.sendTrailers({ "grpc-status": "0" }));
  s.end(Buffer.from([0, 0, 0, 0, 2, 8, ${status}]));
}).on("session", (s) => s.on("error", () => {})).listen(3002);`;

/** Says each probe that it sees. */
const POD_SERVER = `const say = (what) => console.log(what);
require("http").createServer((q, r) => { say("http " + q.url); r.end("pod"); }).listen(3000);
require("net").createServer((s) => { say("tcp"); s.on("error", () => {}); s.resume(); }).listen(3001);
${GRPC(1)}`;

/** Healthy by nobody's measure. */
const PROGRAM = `const say = (what) => console.log("program: " + what);
require("http").createServer((q, r) => { say("http " + q.url); r.writeHead(500).end("program"); }).listen(3000);
require("net").createServer((s) => { say("tcp"); s.on("error", () => {}); s.resume(); }).listen(3001);
${GRPC(2)}
setTimeout(() => console.log("program listens, process", process.pid), 500);`;

/** A machine with more to do than to answer misses one now and then, without inpod as well. */
const EACH_SECOND = { periodSeconds: 1, failureThreshold: 5, timeoutSeconds: 1 };
const KINDS = ["http /healthz", "tcp", "grpc /grpc.health.v1.Health/Check"] as const;

describe("probes of a pod in whose place a program runs", onCluster, () => {
  const namespace = useNamespace("inpod-probes");
  const folder = mkdtempSync(join(tmpdir(), "inpod-probes-"));

  before(async () => {
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    await apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web", namespace, labels: { app: "web" } },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: "app",
            image: NODE_IMAGE,
            command: [process.execPath, "-e", POD_SERVER],
            ports: [{ name: "http", containerPort: 3000 }],
            readinessProbe: { httpGet: { port: "http", path: "/healthz" }, ...EACH_SECOND },
            livenessProbe: { grpc: { port: 3002 }, initialDelaySeconds: 3, ...EACH_SECOND },
          },
          {
            name: "side",
            image: BUSYBOX,
            command: ["sleep", "3600"],
            readinessProbe: { tcpSocket: { port: 3001 }, ...EACH_SECOND },
            livenessProbe: { exec: { command: ["true"] }, ...EACH_SECOND },
          },
        ],
      },
    });
    await untilReady("True");
    writeFileSync(join(folder, "program.js"), PROGRAM);
  });
  after(() => rmSync(folder, { recursive: true }));

  const untilReady = (status: string, name = "web"): Promise<unknown> =>
    kubectl(
      ...["wait", `--for=condition=Ready=${status}`, `pod/${name}`, "-n", namespace],
      "--timeout=60s",
    );
  const state = (): Promise<string> =>
    kubectl(
      ...["get", "pod", "web", "-n", namespace, "-o"],
      `jsonpath={.status.conditions[?(@.type=="Ready")].status}{range .status.containerStatuses[*]} {.restartCount}{end}`,
    );

  /** Until the pod itself has seen so many more probes of each kind; more than make the kubelet act. */
  async function untilProbed(count = 10): Promise<void> {
    const seen = async (): Promise<number[]> => {
      const log = (await kubectl("logs", "web", "-c", "app", "-n", namespace)).split("\n");
      return KINDS.map((kind) => log.filter((line) => line === kind).length);
    };
    const first = await seen();
    await waitFor(
      "the pod to be probed",
      async () => {
        // Restarted, it would have another log.
        assert.equal(await state(), "True 0 0");
        const now = await seen();
        return now.every((each, at) => each >= (first[at] ?? 0) + count) ? true : undefined;
      },
      60_000,
    );
  }

  async function start(incoming: object): Promise<Running> {
    const config = join(folder, "inpod.json");
    writeFileSync(config, JSON.stringify({ feature: { network: { incoming } } }));
    const inpod = startInpod(
      ["exec", "-f", config, "-t", "pod/web", "-n", namespace, "--", "node", "program.js"],
      { cwd: folder, timeoutMs: 180_000 },
    );
    await inpod.says(/program listens, process \d+\n/);
    return inpod;
  }

  async function stop(inpod: Running): Promise<void> {
    inpod.interrupt();
    await inpod.done;
  }

  for (const [name, incoming] of [
    ["stolen as a whole", { mode: "steal" }],
    ["whose every request is stolen", { mode: "steal", http_filter: { path_filter: "^/" } }],
    ["mirrored", { mode: "mirror" }],
  ] as const) {
    test(`HTTP, TCP, gRPC and exec probes of ports ${name} are the pod's`, async () => {
      const inpod = await start(incoming);
      try {
        await untilProbed();
        assert.equal(await state(), "True 0 0");
        assert.doesNotMatch(inpod.output(), /program: /);
      } finally {
        await stop(inpod);
      }
    });
  }

  test("a program that stands still in a debugger does not make its pod unready, nor restart it", async () => {
    const inpod = await start({ mode: "steal" });
    const pid = Number(/listens, process (\d+)/.exec(inpod.output())?.[1]);
    try {
      assert.ok(pid > 0);
      process.kill(pid, "SIGSTOP");
      await untilProbed();
      assert.equal(await state(), "True 0 0");
    } finally {
      if (pid > 0) process.kill(pid, "SIGCONT");
      await stop(inpod);
    }
  });

  test("incoming.probes gives them to the program, and the pod is as healthy as that", async () => {
    const inpod = await start({ mode: "steal", ports: [3000], probes: true });
    try {
      await inpod.says(/program: http \/healthz/);
      await untilReady("False");
    } finally {
      await stop(inpod);
    }
    await untilReady("True");
  });

  test("a program can make a pod ready whose own server is broken", async () => {
    const sick = 'require("http").createServer((q, r) => r.writeHead(500).end()).listen(3000)';
    await createPod({
      namespace,
      name: "sick",
      image: NODE_IMAGE,
      command: [process.execPath, "-e", sick],
      extra: { readinessProbe: { httpGet: { port: 3000, path: "/healthz" }, ...EACH_SECOND } },
    });
    await kubectl(
      ...["wait", "--for=jsonpath={.status.phase}=Running", "pod/sick", "-n", namespace],
      "--timeout=60s",
    );
    const config = join(folder, "probes.json");
    const incoming = { mode: "steal", probes: true };
    writeFileSync(config, JSON.stringify({ feature: { network: { incoming } } }));
    const well = 'require("http").createServer((q, r) => r.end()).listen(3000)';
    const inpod = startInpod([
      ...["exec", "-f", config, "-t", "pod/sick", "-n", namespace, "--", "node", "-e", well],
    ]);
    try {
      await untilReady("True", "sick");
    } finally {
      await stop(inpod);
    }
    await untilReady("False", "sick");
  });
});
