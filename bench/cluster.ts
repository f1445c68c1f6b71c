/** A real cluster, where there is one that has the agent's image: two pods of busybox with the load generator. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Bed, CLI, LOAD_PORT } from "./bed.ts";

/** Of e2e/cluster. */
const OWN_KUBECONFIG = "/var/lib/lab/kubeconfig";
const OWN_KUBECTL = "/var/cache/lab/bin/kubectl";
const BUSYBOX = process.env.INPOD_E2E_BUSYBOX ?? "lab/busybox:1";
const COMMAND_TIMEOUT_MS = 90_000;
const IN_POD = "/tmp/bench-load";

const run = promisify(execFile);

/** One after the other, and the last one's namespace is still being deleted. */
let made = 0;

export class Cluster {
  readonly namespace: string;
  /** The target's address, where the load generator serves. */
  serverAddress = "";
  readonly load = IN_POD;
  readonly kubeconfig: string;
  readonly #kubectl: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(
    kubectl: string,
    kubeconfig: string,
    namespace = `inpod-bench-${process.pid}-${++made}`,
  ) {
    this.namespace = namespace;
    this.kubeconfig = kubeconfig;
    this.#kubectl = kubectl;
    this.#env = { ...process.env, KUBECONFIG: kubeconfig };
  }

  /** A sentence where there is none to measure on. */
  static async find(): Promise<Cluster | string> {
    const { KUBECONFIG: named } = process.env;
    const kubeconfig = named || OWN_KUBECONFIG;
    if (!named && !existsSync(OWN_KUBECONFIG)) return "no KUBECONFIG, and e2e/cluster is not up";
    const cluster = new Cluster(existsSync(OWN_KUBECTL) ? OWN_KUBECTL : "kubectl", kubeconfig);
    try {
      const nodes = await cluster.kubectl("get", "nodes", "-o", "json");
      return nodes.includes(agentImage()) ? cluster : `no node has the image ${agentImage()}`;
    } catch (error) {
      return `the cluster of ${kubeconfig} does not answer: ${(error as Error).message.trim()}`;
    }
  }

  /** URL of its API server. */
  get server(): string {
    const found = /^\s*server: (\S+)$/m.exec(readFileSync(this.kubeconfig, "utf8"))?.[1];
    if (found === undefined) throw new Error(`no server in ${this.kubeconfig}`);
    return found;
  }

  /** The same, its API server reached by a port of this machine. */
  through(bed: Bed, port: number): Cluster {
    const text = readFileSync(this.kubeconfig, "utf8");
    const near = text.replace(this.server, `https://127.0.0.1:${port}`);
    const far = new Cluster(this.#kubectl, bed.file(`kubeconfig-${port}`, near), this.namespace);
    far.serverAddress = this.serverAddress;
    return far;
  }

  async kubectl(...args: readonly string[]): Promise<string> {
    const options = { env: this.#env, timeout: COMMAND_TIMEOUT_MS, maxBuffer: 32e6 };
    return (await run(this.#kubectl, [...args], options)).stdout;
  }

  /** `kubectl -n NAMESPACE …`, for who runs it somewhere else. */
  kubectlWords(...args: readonly string[]): readonly [string, ...string[]] {
    return [this.#kubectl, "--kubeconfig", this.kubeconfig, "-n", this.namespace, ...args];
  }

  /** `kubectl -n NAMESPACE …` with pipes. */
  start(bed: Bed, ...args: readonly string[]): ChildProcess {
    const argv = ["-n", this.namespace, ...args];
    return bed.own(spawn(this.#kubectl, argv, { env: this.#env, stdio: "pipe" }));
  }

  /** `inpod exec` in the target's place; in a process group of its own. */
  exec(
    bed: Bed,
    command: readonly string[],
    flags: readonly string[] = [],
    pod = "server",
  ): ChildProcess {
    const target = ["--target", `pod/${pod}`, "-n", this.namespace];
    const argv = [CLI, "exec", ...target, ...flags, "--", ...command];
    return bed.own(
      spawn(process.execPath, argv, {
        cwd: bed.folder,
        env: this.#env,
        stdio: "pipe",
        detached: true,
      }),
    );
  }

  /** `inpod COMMAND …` in the namespace; in a process group of its own. */
  inpod(bed: Bed, ...words: readonly string[]): ChildProcess {
    return bed.own(
      spawn(process.execPath, [CLI, ...words, "-n", this.namespace], {
        cwd: bed.folder,
        env: this.#env,
        stdio: "pipe",
        detached: true,
      }),
    );
  }

  /** Both pods with the load generator, the target serving. */
  async prepare(bed: Bed): Promise<void> {
    await this.kubectl("create", "namespace", this.namespace);
    const go = `until [ -e ${IN_POD}.go ]; do sleep 0.1; done; exec`;
    await Promise.all([
      this.#pod(bed, "server", `${go} ${IN_POD} serve ${LOAD_PORT}`),
      this.#pod(bed, "client", `${go} sleep 3600`),
    ]);
    const path = "jsonpath={.status.podIP}";
    this.serverAddress = await this.kubectl(
      ...["get", "pod", "server", "-n", this.namespace, "-o", path],
    );
  }

  /** So many pods that do nothing, all on one node; their names. */
  async pods(count: number): Promise<string[]> {
    await this.kubectl("create", "namespace", this.namespace);
    const nodes = await this.kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}");
    const nodeName = nodes.split(" ").at(-1) ?? "";
    const names = Array.from({ length: count }, (_, number) => `many-${number}`);
    const items = names.map((name) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: this.namespace },
      spec: {
        nodeName,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: "app", image: BUSYBOX, command: ["sleep", "3600"] }],
      },
    }));
    const apply = spawn(this.#kubectl, ["apply", "-f", "-"], {
      env: this.#env,
      stdio: ["pipe", "ignore", "inherit"],
    });
    apply.stdin?.end(JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    const code = await new Promise((resolve) => apply.once("close", resolve));
    if (code !== 0) throw new Error("the pods could not be made");
    const where = ["-n", this.namespace, "--timeout=90s"];
    await this.kubectl(
      "wait",
      "--for=condition=Ready",
      ...names.map((name) => `pod/${name}`),
      ...where,
    );
    return names;
  }

  async #pod(bed: Bed, name: string, script: string): Promise<void> {
    const where = ["-n", this.namespace];
    const args = ["--image", BUSYBOX, "--restart=Never", "--command", "--", "sh", "-c", script];
    await this.kubectl("run", name, ...where, ...args);
    await this.kubectl("wait", "--for=condition=Ready", `pod/${name}`, ...where, "--timeout=60s");
    const receive = `cat > ${IN_POD} && chmod 755 ${IN_POD} && : > ${IN_POD}.go`;
    const child = this.start(bed, "exec", "-i", name, "--", "sh", "-c", receive);
    child.stdin?.end(readFileSync(bed.load));
    const code = await new Promise((resolve) => child.once("close", resolve));
    if (code !== 0) throw new Error(`the load generator could not be put into pod/${name}`);
  }

  async remove(): Promise<void> {
    await this.kubectl("delete", "namespace", this.namespace, "--ignore-not-found", "--wait=false");
  }
}

/** As the CLI names it; its environment is ours. */
function agentImage(): string {
  if (process.env.INPOD_AGENT_IMAGE) return process.env.INPOD_AGENT_IMAGE;
  const manifest = join(dirname(fileURLToPath(import.meta.url)), "..", "package.json");
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  return `inpod/agent:${version}`;
}
