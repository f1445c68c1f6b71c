/** A Service of two pods that number its ports differently, a client on the other node, and a developer's server here. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before } from "node:test";
import { fileURLToPath } from "node:url";
import { imageOfFiles } from "./images.ts";
import { type Running, startInpod } from "./inpod.ts";
import { apply, inventory, kubectl, waitFor, written } from "./kubectl.ts";
import { useNamespace } from "./namespace.ts";
import { NODE_IMAGE } from "./pods.ts";
import { pod, service } from "./workloads.ts";

const folder = mkdtempSync(join(tmpdir(), "inpod-modes-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const settings = join(folder, "inpod.json");
writeFileSync(settings, JSON.stringify({ agent: { idle_timeout: 2, resume_timeout: 3 } }));
/** Flags with which an agent ends soon after its last session, also after one that was killed. */
const briefly: readonly string[] = ["-f", settings];

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

/** Two pods, the Service "web" of them, and "client": those of them that are not there. */
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
  // Not the agents of a session: one whose pod was deleted ends, and is never Ready.
  const ready = ["wait", "--for=condition=Ready", "pod", "-l", "app", "--timeout=60s"];
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

/** A developer's server on this machine, which says what comes. */
export class DevServer {
  http = 0;
  echo = 0;
  #child: ChildProcess | undefined;
  #said = "";

  async start(): Promise<void> {
    const child = spawn(process.execPath, [DEV_SERVER, "0", "0", "0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child = child;
    const line = await new Promise<string>((resolve) => {
      child.stdout.on("data", (chunk) => {
        this.#said += String(chunk);
        const [first = "", more] = this.#said.split("\n");
        if (more !== undefined) resolve(first);
      });
    });
    const { http, echo } = JSON.parse(line) as { http: number; echo: number };
    this.http = http;
    this.echo = echo;
  }

  /** All that it has said of what came. */
  output(): string {
    return this.#said;
  }

  async stop(): Promise<void> {
    if (this.#child === undefined) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}

/** One for a file's tests. */
export function useDevServer(): DevServer {
  const server = new DevServer();
  before(() => server.start());
  after(() => server.stop());
  return server;
}

export interface ServiceScene {
  readonly namespace: string;
  /** inpod in this namespace, with an agent that ends soon after its last session. What a test leaves of it is killed. */
  start(...words: readonly string[]): Running;
  /** What the cluster has written down is what it was before. */
  assertWrittenAsBefore(): Promise<void>;
  /** Nothing is in the namespace that was not there before, its pods answer, and what is written down is the same. */
  untilAsBefore(): Promise<void>;
  /** From now on "before" is how it is now, but for what inpod has made. */
  remember(): Promise<void>;
}

/**
 * For a file's tests: the Service "web" and a client in a namespace of their own.
 * @param more what else is in the namespace before inpod comes
 */
export function useService(
  prefix: string,
  more: (namespace: string) => Promise<void> = async () => {},
): ServiceScene {
  const namespace = useNamespace(prefix);
  const running: Running[] = [];
  let names: readonly string[] = [];
  let text = "";
  const remember = async (): Promise<void> => {
    names = (await inventory(namespace)).filter((name) => !name.includes("inpod-"));
    text = await written(namespace);
  };
  const assertWrittenAsBefore = async (): Promise<void> =>
    assert.equal(await written(namespace), text);
  before(async () => {
    await makeService(namespace);
    await untilPodsAnswer(namespace);
    await more(namespace);
    await remember();
  });
  afterEach(() => killLeft(running));
  return {
    namespace,
    start: (...words) => {
      const run = startInpod([...words, "-n", namespace, ...briefly]);
      running.push(run);
      return run;
    },
    remember,
    assertWrittenAsBefore,
    untilAsBefore: async () => {
      await waitFor(
        "the namespace to be as before",
        async () => ((await inventory(namespace)).join() === names.join() ? true : undefined),
        100_000,
      );
      await untilPodsAnswer(namespace);
      await assertWrittenAsBefore();
    },
  };
}

/** Those that a test has left, with all their processes. */
export async function killLeft(running: Running[]): Promise<void> {
  for (const { child, done } of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) continue;
    process.kill(-child.pid, "SIGKILL");
    await done;
  }
}
