/**
 * What each accident happens to: a session with a stolen web server that reads a file of the pod and connects to
 * another pod for each request; beside it what the pod itself answers, and an inventory of before.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext } from "node:test";
import { imageOfFiles } from "./images.ts";
import { type Running, startInpod } from "./inpod.ts";
import { apply, inventory, kubectl, stayingPods, waitFor } from "./kubectl.ts";
import { useNamespace } from "./namespace.ts";
import { NODE_IMAGE, runNodePod } from "./pods.ts";
import {
  askFrom,
  commandOf,
  mounts,
  notOnThisKernel,
  parentOf,
  processesOfPod,
  processesWhere,
  processesWith,
  rulesetOf,
  variableOf,
} from "./this-kernel.ts";
import { workload } from "./workloads.ts";

/** Answers each request at port 3000, holds what is opened to 3001, and pours into what is opened to 3002. */
const PEER = `
require("http").createServer((q, r) => r.end("peer")).listen(3000);
const net = require("net");
net.createServer((s) => { s.on("error", () => {}); s.write("hello"); }).listen(3001);
net.createServer((s) => {
  const pour = () => { while (!s.destroyed && s.write(Buffer.alloc(65536))); };
  s.on("error", () => {}).on("drain", pour);
  pour();
}).listen(3002);`;
/** Its file is of this life: that of another pod, or of the next container, has other words. */
const POD_SERVER = `
const fs = require("fs");
fs.mkdirSync("/pod", { recursive: true });
fs.writeFileSync("/pod/name", process.env.HOSTNAME);
require("http").createServer((q, r) => r.end("pod " + process.env.HOSTNAME)).listen(3000);
process.on("SIGTERM", () => process.exit(0));`;
/** One request shows all three: the stolen port, a file of the pod, a new connection from the pod. */
const LOCAL_SERVER = `
const fs = require("fs"), http = require("http"), net = require("net");
const [peer, port] = process.argv.slice(2);
const held = net.connect(3001, peer, () => console.log("held connection opened"));
held.on("error", (error) => console.log("held connection ended:", error.code));
held.on("close", () => console.log("held connection closed"));
// Opens so many that pour, reads none, and answers when nothing more can have come for a while.
async function flood(count) {
  const sockets = Array.from({ length: count }, () => net.connect(3002, peer).on("error", () => {}).pause());
  await Promise.all(sockets.map((each) => new Promise((resolve) => each.once("connect", resolve).once("close", resolve))));
  await new Promise((resolve) => setTimeout(resolve, 3000));
  for (const each of sockets) each.destroy();
}
http.createServer((q, r) => {
  if (q.url.startsWith("/flood?")) return void flood(Number(q.url.slice(7))).then(() => r.end("flooded"));
  let file;
  try { file = fs.readFileSync("/pod/name", "utf8"); } catch (error) { file = "no file: " + (error.code ?? error.errno); }
  http.get({ host: peer, port: 3000, agent: false, timeout: 20000 }, (answer) => {
    let text = "";
    answer.on("data", (chunk) => { text += chunk; });
    answer.on("end", () => r.end("local " + process.pid + " reads " + file + " reaches " + text));
  }).on("error", (error) => r.end("local " + process.pid + " reads " + file + " fails " + error.code));
}).listen(Number(port), () => console.log("local server listens"));`;

/** Many scenes wait at the same time, and each question to the cluster costs a program. */
const POLL_MS = 500;
/** All that comes in is answered by it, and all that it needs is there. */
const ALL_IS_WELL = /^local \d+ reads (?!no file).* reaches peer$/;

export interface Inventory {
  readonly objects: readonly string[];
  readonly ruleset: string;
  readonly agents: readonly string[];
  readonly processes: readonly string[];
}

/** What all scenes of a file share: a pod that asks, and one that is connected to. */
export interface Stage {
  scene(name: string, options?: SceneOptions): Promise<Scene>;
}

export interface SceneOptions {
  /** A Deployment instead of a pod. */
  readonly isDeployment?: boolean;
  /** Where its pods may run. */
  readonly node?: string;
}

/** @param node where the pods run that ask and are connected to */
export function useStage(prefix: string, node?: string): Stage {
  const namespace = useNamespace(prefix);
  const folder = mkdtempSync(join(tmpdir(), `${prefix}-`));
  let peer = "";
  let clientPid = 0;
  let mounted: string[] = [];
  const made: string[] = [];
  if (!notOnThisKernel) {
    before(async () => {
      await imageOfFiles(NODE_IMAGE, [process.execPath]);
      writeFileSync(join(folder, "server.js"), LOCAL_SERVER);
      await runNodePod({ namespace, name: "peer", source: PEER, ...(node && { node }) });
      const of = ["get", "pod", "peer", "-n", namespace, "-o"];
      peer = await kubectl(...of, "jsonpath={.status.podIP}");
      const [pid] = processesOfPod(await kubectl(...of, "jsonpath={.metadata.uid}"));
      clientPid = pid as number;
      mounted = mounts();
    });
    after(async () => {
      rmSync(folder, { recursive: true });
      await Promise.all(
        made.map((each) => kubectl("delete", "namespace", each, "--wait=false").catch(() => "")),
      );
      // Mounts of other programs come and go; nothing of ours stays.
      await waitFor("no mount that was not there before", async () =>
        mounts().every((each) => mounted.includes(each)) ? true : undefined,
      );
    });
  }
  return {
    scene: async (name, options = {}) => {
      const own = `${namespace}-${name}`;
      made.push(own);
      const scene = new Scene({ name: own, folder, peer, clientPid, options });
      await scene.begin();
      return scene;
    },
  };
}

interface SceneParts {
  /** The namespace of its own. */
  readonly name: string;
  readonly folder: string;
  readonly peer: string;
  /** A process of the pod that asks. */
  readonly clientPid: number;
  readonly options: SceneOptions;
}

interface TargetPod {
  readonly name: string;
  readonly uid: string;
  readonly address: string;
}

export class Scene {
  readonly namespace: string;
  readonly #parts: SceneParts;
  readonly #mark = `INPOD_E2E=${Math.random().toString(36).slice(2)}`;
  /** Of the target pods that there were, in order. */
  readonly #uids = new Set<string>();
  #before: Inventory | undefined;
  #sessions: Running[] = [];

  constructor(parts: SceneParts) {
    this.#parts = parts;
    this.namespace = parts.name;
  }

  async begin(): Promise<void> {
    const { isDeployment = false, node } = this.#parts.options;
    const name = this.namespace;
    await apply({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
    await waitFor("its service account", () =>
      kubectl("get", "serviceaccount", "default", "-n", name).catch(() => undefined),
    );
    const shape = {
      labels: { app: "web" },
      image: NODE_IMAGE,
      command: [process.execPath, "-e", POD_SERVER],
      container: { readinessProbe: { tcpSocket: { port: 3000 }, periodSeconds: 1 } },
      pod: {
        restartPolicy: "Always",
        ...(node === undefined ? {} : { nodeSelector: { "kubernetes.io/hostname": node } }),
      },
    };
    const deployment = workload("Deployment", name, "web", shape) as {
      spec: { template: { metadata: object; spec: object } };
    };
    if (isDeployment) await apply(deployment);
    else {
      const { metadata, spec } = deployment.spec.template;
      await apply({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { ...metadata, name: "web", namespace: name },
        spec,
      });
    }
    await this.untilPodAnswers();
    this.#before = await this.inventory();
  }

  get target(): string {
    return this.#parts.options.isDeployment ? "deployment/web" : "pod/web";
  }

  /** The pod that is to answer now. */
  pod(): Promise<TargetPod> {
    return waitFor(
      "a target pod that is ready",
      async () => {
        const pod = (await stayingPods(this.namespace, "app=web")).find(
          ({ status }) =>
            status.phase === "Running" &&
            status.conditions?.some((each) => each.type === "Ready" && each.status === "True"),
        );
        if (pod?.status.podIP === undefined) return undefined;
        this.#uids.add(pod.metadata.uid);
        return { name: pod.metadata.name, uid: pod.metadata.uid, address: pod.status.podIP };
      },
      150_000,
    );
  }

  /** What a client in another pod is told; "" for no answer. Nobody of the cluster is needed for it. */
  ask(address: string, port = 3000, path = "/"): Promise<string> {
    return askFrom(this.#parts.clientPid, address, port, path);
  }

  /** @returns the seconds that it took */
  async until(words: RegExp, limitMs = 120_000, port = 3000, at?: string): Promise<number> {
    const since = performance.now();
    const address = at ?? (await this.pod()).address;
    let last = "";
    await waitFor(
      `an answer like ${words}`,
      async () => {
        last = await this.ask(address, port);
        return words.test(last) ? true : undefined;
      },
      limitMs,
    ).catch((error: Error) => {
      throw new Error(`${error.message}; the last one: "${last}"; ${this.said()}`);
    });
    return (performance.now() - since) / 1000;
  }

  untilPodAnswers = (limitMs?: number, at?: string): Promise<number> =>
    this.until(/^pod /, limitMs, 3000, at);
  /** The stolen port, the file and a new connection, all of them. */
  untilAllIsWell = (limitMs?: number, port?: number, at?: string): Promise<number> =>
    this.until(ALL_IS_WELL, limitMs, port, at);

  start(config: object = {}, options: { kubeconfig?: string; port?: number } = {}): Running {
    const { folder, peer } = this.#parts;
    const file = join(folder, `${Math.random().toString(36).slice(2)}.json`);
    const feature = { fs: { mode: "read", read_only: ["^/pod/"] } };
    writeFileSync(file, JSON.stringify({ feature, ...config }));
    const [name = "", value = ""] = this.#mark.split("=");
    const inpod = startInpod(
      [
        ...["exec", "-t", this.target, "-n", this.namespace, "-f", file, "--steal"],
        ...["--", "node", "server.js", peer, String(options.port ?? 3000)],
      ],
      {
        cwd: folder,
        timeoutMs: 500_000,
        env: {
          [name]: value,
          ...(options.kubeconfig === undefined ? {} : { KUBECONFIG: options.kubeconfig }),
        },
      },
    );
    this.#sessions.push(inpod);
    return inpod;
  }

  /** And waits until everything works. */
  async started(...args: Parameters<Scene["start"]>): Promise<Running> {
    const inpod = this.start(...args);
    await inpod.says(/local server listens/);
    await this.untilAllIsWell(undefined, args[1]?.port);
    return inpod;
  }

  said(): string {
    return this.#sessions.map((each) => each.output()).join("\n--\n");
  }

  /** Processes of the developer's side: CLI, keeper and program. */
  processes(): number[] {
    const marked = processesWith(this.#mark);
    const sessions = new Set(marked.map((pid) => variableOf(pid, "INPOD_SESSION")));
    const keepers = processesWhere((pid) => {
      const mark = /inpod-keeper \S+ INPOD_SESSION=(\S+)/.exec(commandOf(pid))?.[1];
      return mark !== undefined && sessions.has(mark);
    });
    return [...marked, ...keepers];
  }

  programs = (): number[] =>
    this.processes().filter((pid) => /^node server\.js/.test(commandOf(pid)));
  keepers = (): number[] => this.processes().filter((pid) => /inpod-keeper/.test(commandOf(pid)));
  clis = (): number[] =>
    this.processes().filter((pid) => /dist\/cli\.js exec/.test(commandOf(pid)));
  /** inpod-enter of each agent beside the target; its file worker is a child of the same name. */
  enters = (): number[] => {
    const all = this.#enters();
    return all.filter((pid) => !all.includes(parentOf(pid)));
  };
  #enters = (): number[] =>
    processesWhere((pid) => {
      const command = commandOf(pid);
      return (
        command.startsWith("/inpod/inpod-enter ") &&
        [...this.#uids].some((uid) => command.includes(uid))
      );
    });

  async agentPod(): Promise<string | undefined> {
    const selector = "app.kubernetes.io/managed-by=inpod";
    const names = await kubectl("get", "pods", "-n", this.namespace, "-l", selector, "-o", "name");
    return names.trim().split("\n").at(-1) || undefined;
  }

  /** The target's own pods have other names after some accidents. */
  async inventory(): Promise<Inventory> {
    const objects = await inventory(this.namespace);
    const { uid } = await this.pod();
    const [pid] = processesOfPod(uid);
    return {
      objects: objects
        .map((name) =>
          this.#parts.options.isDeployment ? name.replace(/^pod\/web-.*/, "pod/web") : name,
        )
        .sort(),
      ruleset: pid === undefined ? "no process" : await rulesetOf(pid),
      agents: this.#enters().map(commandOf),
      processes: this.processes().map(commandOf),
    };
  }

  async untilAsBefore(limitMs = 120_000): Promise<void> {
    let now: Inventory | undefined;
    await waitFor(
      "everything to be as before",
      async () => {
        now = await this.inventory();
        return JSON.stringify(now) === JSON.stringify(this.#before) ? true : undefined;
      },
      limitMs,
    ).catch(() => assert.deepEqual(now, this.#before, this.said()));
  }

  /** As before, without the target and its network. */
  async untilGone(): Promise<void> {
    let left: readonly string[] = [];
    const wanted = this.#before?.objects.filter((name) => !/^pod\/web$/.test(name)) ?? [];
    await waitFor(
      "everything but the target to be as before",
      async () => {
        const objects = await inventory(this.namespace);
        left = [
          ...objects.filter((name) => !wanted.includes(name)),
          ...[...this.enters(), ...this.processes()].map(commandOf),
        ];
        return left.length === 0 ? true : undefined;
      },
      120_000,
      POLL_MS,
    ).catch(() => assert.deepEqual(left, [], this.said()));
  }

  /** Ctrl-C, then everything as before. */
  async end(inpod: Running): Promise<void> {
    inpod.interrupt();
    const { signal, code, stderr } = await inpod.done;
    assert.ok(signal === "SIGINT" || code === 130, `${signal} ${code} ${stderr}`);
    await this.untilPodAnswers();
    await this.untilAsBefore();
  }

  /** After a failed test nothing may go on. */
  stop(): void {
    for (const pid of this.processes()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // it has ended
      }
    }
  }
}

/** One row of the table of accidents: what was seen. */
export function seen(t: TestContext, ...columns: readonly (string | number)[]): void {
  const texts = columns.map((each) => (typeof each === "number" ? `${each.toFixed(1)} s` : each));
  t.diagnostic([t.name, ...texts].join(" | "));
}
