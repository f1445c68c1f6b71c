/** A Service of two pods that number its ports differently, a client on the other node, and a developer's server here. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { imageOfFiles } from "./images.ts";
import type { Running } from "./inpod.ts";
import { apply, inventory, kubectl, waitFor } from "./kubectl.ts";
import { NODE_IMAGE } from "./pods.ts";
import { pod, service } from "./workloads.ts";

const folder = mkdtempSync(join(tmpdir(), "inpod-modes-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const settings = join(folder, "inpod.json");
writeFileSync(settings, JSON.stringify({ agent: { idle_timeout: 2 } }));
/** Flags with which an agent ends soon after its last session. */
export const briefly: readonly string[] = ["-f", settings];

const DEV_SERVER = fileURLToPath(
  new URL("../../packages/cli/test/services-server.mjs", import.meta.url),
);

/** HTTP/1, raw TCP and HTTP/2, on three ports from the first on. */
const POD_SERVER = `
const port = Number(process.argv[1]);
require("http").createServer((q, r) => r.end("pod")).listen(port);
require("net").createServer((s) => { s.on("error", () => {}); s.write("pod:"); s.pipe(s); }).listen(port + 1);
require("http2").createServer((q, r) => r.end("pod")).listen(port + 2);`;

/** In the client's pod, each wish on connections of its own: what came back. */
const ASK = `
const [host, wishes] = process.argv.slice(1);
const http = require("http"), http2 = require("http2"), net = require("net");
const ways = {
  http: (headers) => new Promise((done) => {
    const request = http.get({ host, port: 80, headers, agent: false, timeout: 5000 }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (t) => (body += t)).on("end", () => done(response.statusCode + " " + body));
    });
    request.on("timeout", () => request.destroy(new Error("timeout"))).on("error", (e) => done("error " + (e.code || e.message)));
  }),
  http2: (headers) => new Promise((done) => {
    const session = http2.connect("http://" + host + ":82").on("error", (e) => done("error " + e.code));
    const stream = session.request({ ":path": "/", ...headers }).setTimeout(5000, () => stream.close());
    let body = "", status = 0;
    stream.on("response", (h) => (status = h[":status"])).on("error", (e) => done("error " + e.code));
    stream.setEncoding("utf8").on("data", (t) => (body += t)).on("close", () => { done(status + " " + body); session.close(); });
    stream.end();
  }),
  raw: () => new Promise((done) => {
    let said = "";
    const socket = net.connect({ host, port: 81, allowHalfOpen: true }, () => socket.end("hello"));
    socket.setTimeout(5000, () => socket.destroy());
    socket.setEncoding("utf8").on("data", (t) => (said += t)).on("end", () => done(said)).on("error", (e) => done("error " + e.code));
  }),
};
(async () => {
  const answers = [];
  for (const [way, headers] of JSON.parse(wishes)) answers.push(await ways[way](headers || {}));
  console.log(JSON.stringify(answers));
})();`;

export type Asked = readonly [way: "http" | "http2" | "raw", headers?: Record<string, string>];

/** Once for a file: the pods and the Service "web" in its namespace, and "client". */
export async function makeService(namespace: string): Promise<void> {
  await imageOfFiles(NODE_IMAGE, [process.execPath]);
  const nodes = (await kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")).split(
    " ",
  );
  const on = (index: number): object => ({
    nodeSelector: { "kubernetes.io/hostname": nodes[index % nodes.length] },
  });
  const web = (name: string, first: number): object =>
    pod(namespace, name, {
      labels: { app: "web" },
      image: NODE_IMAGE,
      command: [process.execPath, "-e", POD_SERVER, String(first)],
      pod: on(0),
      container: {
        ports: ["http", "raw", "h2"].map((port, index) => ({
          name: port,
          containerPort: first + index,
        })),
      },
    });
  await apply(
    web("web-1", 3000),
    web("web-2", 4000),
    pod(namespace, "client", {
      labels: { app: "client" },
      image: NODE_IMAGE,
      command: [process.execPath, "-e", "setInterval(() => {}, 1000)"],
      pod: on(1),
    }),
    service(namespace, "web", {
      selector: { app: "web" },
      ports: [
        { name: "http", port: 80, targetPort: "http" },
        { name: "raw", port: 81, targetPort: "raw" },
        { name: "h2", port: 82, targetPort: "h2" },
      ],
    }),
  );
  const ready = ["wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s"];
  await kubectl(...ready, "-n", namespace);
}

/** What a client in the cluster hears through the Service's own address. */
export const ask = (namespace: string, ...wishes: readonly Asked[]): Promise<string[]> =>
  askService(namespace, "web", ...wishes);

export async function askService(
  namespace: string,
  name: string,
  ...wishes: readonly Asked[]
): Promise<string[]> {
  const get = ["get", "service", name, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}"];
  const script = [process.execPath, "-e", ASK, await kubectl(...get), JSON.stringify(wishes)];
  return JSON.parse(await kubectl("exec", "client", "-n", namespace, "--", ...script)) as string[];
}

/** Both pods have an endpoint: connections go to one of them by chance. */
export const often = (wish: Asked): Asked[] => Array.from({ length: 12 }, () => wish);

/** Until the pods answer, and nobody else. */
export const untilPodsAnswer = (namespace: string): Promise<unknown> =>
  waitFor("the pods to answer", async () => {
    const answers = await ask(namespace, ...often(["http"]), ["raw"], ["http2"]);
    const wanted = [...often(["http"]).map(() => "200 pod"), "pod:hello", "200 pod"];
    return answers.join() === wanted.join() ? true : undefined;
  });

/** Services, endpoints and pods' specs, as they are written down: each change of one would change its version. */
export const written = async (namespace: string): Promise<string> =>
  (await kubectl("get", "services,endpoints,endpointslices", "-n", namespace, "-o", "yaml")) +
  (await kubectl("get", "pods", "-l", "app", "-n", namespace, "-o", "jsonpath={.items[*].spec}"));

export interface DevServer {
  readonly http: number;
  readonly echo: number;
  /** All that it has said of what came. */
  output(): string;
  stop(): Promise<void>;
}

export async function startDevServer(): Promise<DevServer> {
  const child: ChildProcess = spawn(process.execPath, [DEV_SERVER, "0", "0", "0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  const ports = await new Promise<{ http: number; echo: number }>((resolve) => {
    child.stdout?.on("data", (chunk) => {
      said += String(chunk);
      const [line, more] = said.split("\n");
      if (more !== undefined) resolve(JSON.parse(line ?? "") as { http: number; echo: number });
    });
  });
  return {
    ...ports,
    output: () => said,
    stop: async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Kills those that a test has left, with all their processes. */
export async function killLeft(running: Running[]): Promise<void> {
  for (const { child, done } of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) continue;
    process.kill(-child.pid, "SIGKILL");
    await done;
  }
}

export interface AsItWas {
  /** Names of what is in the namespace. */
  readonly names: readonly string[];
  readonly text: string;
}

export const asItIs = async (namespace: string): Promise<AsItWas> => ({
  names: await inventory(namespace),
  text: await written(namespace),
});

/** Nothing is in the namespace that was not there, its pods answer, and what is written down is the same. */
export async function untilAsItWas(namespace: string, { names, text }: AsItWas): Promise<void> {
  await waitFor(
    "the namespace to be as before",
    async () => ((await inventory(namespace)).join() === names.join() ? true : undefined),
    // An agent waits a minute for a session that may come back.
    150_000,
  );
  await untilPodsAnswer(namespace);
  assert.equal(await written(namespace), text);
}
