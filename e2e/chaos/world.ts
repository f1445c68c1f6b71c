/** A namespace with two Services and a client that asks them, and what it is like while nobody uses inpod. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { imageOfFiles } from "../support/images.ts";
import { apply, kubectl, waitFor } from "../support/kubectl.ts";
import { NODE_IMAGE } from "../support/pods.ts";
import { service } from "../support/workloads.ts";

/** Told to end it goes on for a while, as a server does that waits for the cluster to know. `x-wait-ms`: it takes so long. */
const SERVER = `
let isEnding = false;
require("http").createServer((q, r) => {
  if (q.url === "/ready") r.writeHead(isEnding ? 503 : 200).end();
  else setTimeout(() => r.end("pod"), Number(q.headers["x-wait-ms"] || 0));
}).listen(3000);
require("net").createServer((s) => s.on("error", () => {}).pipe(s)).listen(3001);
process.on("SIGTERM", () => { isEnding = true; setTimeout(() => process.exit(0), 4000); });`;

/** One request after the other for each of its wishes, each on a connection of its own; a line for each answer. */
const ASK = `
const http = require("http");
let isOver = false;
process.stdin.on("end", () => (isOver = true)).resume();
setTimeout(() => (isOver = true), 600000).unref();
const ask = (host, headers) => new Promise((done) => {
  const request = http.get({ host, port: 80, agent: false, headers, timeout: 8000 }, (answer) => {
    let text = answer.statusCode + " ";
    answer.setEncoding("utf8").on("data", (more) => (text += more)).on("end", () => done(text)).on("error", (e) => done(e.code));
  }).on("timeout", () => request.destroy(new Error("timeout"))).on("error", (e) => done(e.code || e.message));
});
const loop = async ({ who, host, headers }) => {
  while (!isOver) {
    const fromMs = Date.now(), text = await ask(host, headers);
    console.log(JSON.stringify({ who, fromMs, untilMs: Date.now(), text }));
    await new Promise((done) => setTimeout(done, 40));
  }
};
Promise.all(JSON.parse(process.argv[1]).map(loop)).then(() => process.exit());`;

export interface Answer {
  readonly who: string;
  /** By the clock of this machine, which is the nodes', too. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** "200 pod", or an error's code. */
  readonly text: string;
}

export class World {
  readonly namespace: string;
  readonly #addresses = new Map<string, string>();
  #services = new Map<string, string>();
  #objects = "";

  constructor(namespace: string) {
    this.namespace = namespace;
  }

  async make(): Promise<void> {
    const { namespace } = this;
    await imageOfFiles(NODE_IMAGE, [process.execPath]);
    await apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    await waitFor(`the service account of namespace ${namespace}`, () =>
      kubectl("get", "serviceaccount", "default", "-n", namespace).catch(() => undefined),
    );
    await apply(
      ...[this.#workload("web", 2), this.#workload("orders", 1), this.#workload("client", 1)],
      ...["web", "orders"].map((name) => this.manifest(name)),
    );
    for (const name of ["web", "orders", "client"])
      await kubectl("rollout", "status", `deployment/${name}`, "-n", namespace, "--timeout=90s");
    for (const name of ["web", "orders"]) {
      const get = ["get", "service", name, "-n", namespace, "-o", "jsonpath={.spec.clusterIP}"];
      this.#addresses.set(name, await kubectl(...get));
      await apply(this.manifest(name));
      this.#services.set(name, await this.#written(name));
    }
    this.#objects = await this.#all();
  }

  /** As its owner would apply it; made anew it has the same address. */
  manifest(name: string): object {
    return service(this.namespace, name, {
      clusterIP: this.#addresses.get(name),
      selector: { app: name },
      ports: [
        { name: "http", port: 80, targetPort: "http" },
        { name: "raw", port: 81, targetPort: 3001 },
      ],
    });
  }

  /** What is there that was not, and the other way round. */
  async changes(): Promise<string[]> {
    const before = this.#objects.split("\n");
    const now = (await this.#all()).split("\n");
    const changes = [
      ...before.filter((each) => !now.includes(each)).map((each) => `gone: ${each}`),
      ...now.filter((each) => !before.includes(each)).map((each) => `left: ${each}`),
    ];
    for (const [name, text] of this.#services) {
      const is = await this.#written(name).catch(String);
      if (is !== text) changes.push(`service/${name} is ${is}`);
    }
    return changes.length === 0 && before.length !== now.length ? ["more of the same"] : changes;
  }

  ask(): Asking {
    return new Asking(this.namespace, [
      { who: "anybody", host: this.#addresses.get("web"), headers: {} },
      { who: "marked", host: this.#addresses.get("web"), headers: { "x-dev": "one" } },
      {
        who: "slow",
        host: this.#addresses.get("web"),
        headers: { "x-dev": "one", "x-wait-ms": "150" },
      },
      { who: "orders", host: this.#addresses.get("orders"), headers: {} },
    ]);
  }

  #workload(name: string, replicas: number): object {
    const isReady = { httpGet: { path: "/ready", port: 3000 }, periodSeconds: 1 };
    return {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace: this.namespace },
      spec: {
        replicas,
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name } },
          spec: {
            terminationGracePeriodSeconds: 8,
            containers: [
              {
                name: "app",
                image: NODE_IMAGE,
                command: [process.execPath, "-e", SERVER],
                ports: [{ name: "http", containerPort: 3000 }],
                readinessProbe: isReady,
              },
            ],
          },
        },
      },
    };
  }

  /** But for what every write, and one that is made anew by the same manifest, has otherwise. */
  async #written(name: string): Promise<string> {
    const get = ["get", "service", name, "-n", this.namespace, "-o", "json"];
    const all = JSON.parse(await kubectl(...get, "--show-managed-fields"));
    const { managedFields, annotations = {}, ...metadata } = all.metadata;
    for (const key of ["resourceVersion", "uid", "creationTimestamp"]) delete metadata[key];
    // kubectl's own note, which its server-side apply takes away.
    delete annotations["kubectl.kubernetes.io/last-applied-configuration"];
    const isOurs = JSON.stringify(managedFields).includes("inpod");
    return JSON.stringify({ ...all, metadata: { ...metadata, annotations }, isOurs });
  }

  /** Names; the pods of deployments by their app. */
  async #all(): Promise<string> {
    const kinds =
      "jobs,secrets,configmaps,services,leases,serviceaccounts,roles,rolebindings,deployments";
    const template = `{range .items[*]}pod of {.metadata.labels.app}{.metadata.labels.inpod\\.dev/session}, {.status.phase}{"\\n"}{end}`;
    const [names, pods] = await Promise.all([
      kubectl("get", kinds, "-n", this.namespace, "-o", "name"),
      kubectl("get", "pods", "-n", this.namespace, "-o", `jsonpath=${template}`),
    ]);
    return (names + pods).trim().split("\n").sort().join("\n");
  }
}

export class Asking {
  readonly answers: Answer[] = [];
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;

  constructor(namespace: string, wishes: readonly object[]) {
    const inClient = ["exec", "-i", "deployment/client", "-n", namespace, "--", process.execPath];
    this.#child = spawn("kubectl", [...inClient, "-e", ASK, JSON.stringify(wishes)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#closed = new Promise((resolve) => this.#child.once("close", () => resolve()));
    const { stdout } = this.#child;
    if (stdout !== null)
      createInterface({ input: stdout }).on("line", (line) => this.answers.push(JSON.parse(line)));
  }

  async stop(): Promise<readonly Answer[]> {
    this.#child.stdin?.end();
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 20_000);
    await this.#closed;
    clearTimeout(late);
    return this.answers;
  }
}
