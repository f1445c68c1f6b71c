/**
 * A pod made of namespaces: what the demo and the tests use where there is no cluster.
 *
 * - pod: own root filesystem, pid, network, mount, IPC and UTS namespace, environment, a web server as pid 1
 * - services: its neighbours and its name server; client: who calls the pod; laptop: a network namespace with
 *   loopback only, where inpod runs, so that a connection that slips past it goes nowhere
 *
 * Needs util-linux, iproute2 and Node; root or unprivileged user namespaces. It changes nothing outside its own
 * namespaces, and the kernel ends all of it when the starting process ends, however that happens.
 */
import { type ChildProcess, execFile, type SpawnOptions, spawn } from "node:child_process";
import { chmod, copyFile, readFile } from "node:fs/promises";
import { basename } from "node:path";
import { promisify } from "node:util";
import {
  type ClientConnection,
  ClientControl,
  type ClientRequest,
  type ClientResponse,
} from "./client.ts";
import { isRoot, launch, toolPath } from "./launch.ts";
import { NAMES, NETWORK, POD_FILES } from "./network.ts";
import { type NamespaceMember, namespaceMembers } from "./processes.ts";

export { type Built, buildProgram, type Recipe } from "./build.ts";
export { type Certificate, type CertificateOptions, makeCertificate } from "./certificate.ts";
export type {
  ClientAddress,
  ClientConnection,
  ClientRequest,
  ClientResponse,
} from "./client.ts";
export { ClientError } from "./client.ts";
export { NAMES, NETWORK, POD_ENVIRONMENT, POD_FILES } from "./network.ts";
export {
  type ContainerOptions,
  PODMAN_IMAGE,
  type Podman,
  podmanMissing,
  startPodman,
} from "./podman.ts";
export type { NamespaceMember } from "./processes.ts";
export { buildWitness, type WitnessName, witnessNames } from "./witness.ts";

export interface SandboxOptions {
  /** Ids of the pod's main process. Default 0; others need real root. */
  readonly uid?: number;
  readonly gid?: number;
  /** Pod and client have addresses of IPv6, too. Needs a kernel with IPv6. */
  readonly hasIPv6?: boolean;
  readonly startTimeoutMs?: number;
}

export interface Sandbox {
  /** The pod's main process as the caller sees it: inpod's target is `process/${pid}`. */
  readonly pid: number;
  readonly podAddress: string;
  readonly network: typeof NETWORK;
  readonly names: typeof NAMES;
  readonly files: typeof POD_FILES;
  /** An HTTP request by the client. A string: `http://ADDRESS[:PORT]/PATH`. Rejects with a ClientError. */
  request(request: string | ClientRequest): Promise<ClientResponse>;
  /** A TCP connection of the client; default: to the pod's echo port. Rejects with a ClientError. */
  connect(to?: { host?: string; port?: number; timeoutMs?: number }): Promise<ClientConnection>;
  /** Runs a program in the client's network namespace, on the caller's filesystem. */
  inClient(argv: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Runs a program in all of the pod's namespaces, with its environment unless `options.env` is given. */
  inPod(argv: readonly string[], options?: SpawnOptions): ChildProcess;
  /**
   * Runs a program as the caller, in everything but its network: that has loopback only. It may use the pid of
   * this sandbox. It dies with the caller's main thread and at stop().
   */
  inLaptop(argv: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Copies a file to /tmp of the pod, executable for all. Its path in the pod. */
  copyIntoPod(path: string): Promise<string>;
  /** `nft list ruleset` in the pod's network namespace; "" when it is empty. */
  ruleset(): Promise<string>;
  /** Everything that is in the pod's pid or network namespace, its main process included. */
  processes(): Promise<readonly NamespaceMember[]>;
  /** Ends all of it and everything started in it. Resolves when it is gone; idempotent. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const TOOL_TIMEOUT_MS = 60_000;

/** @throws Error with one sentence that names the setting to change, where this machine refuses namespaces. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const launched = await launch({
    uid: options.uid ?? 0,
    gid: options.gid ?? 0,
    hasIPv6: options.hasIPv6 ?? false,
    timeoutMs: options.startTimeoutMs ?? START_TIMEOUT_MS,
  });
  const { laptop, pids } = launched;
  const client = new ClientControl(launched.control);
  const environment = await readEnvironment(pids.pod);
  const started = new Set<ChildProcess>();
  const ended = new Promise<void>((resolve) => laptop.once("close", () => resolve()));
  let stopping: Promise<void> | undefined;

  const user = isRoot ? [] : ["--user", "--preserve-credentials"];
  const run = (argv: readonly string[], spawnOptions: SpawnOptions): ChildProcess => {
    // Node resolves a bare name by the given environment's PATH, which may be the pod's.
    const child = spawn("/usr/bin/env", [`PATH=${toolPath}`, ...argv], spawnOptions);
    started.add(child);
    child.once("exit", () => started.delete(child));
    return child;
  };
  // nsenter waits for the child it forks into a pid namespace and passes no signal on: the second setpriv ends
  // the program when nsenter is ended.
  const enter = (
    target: number,
    namespaces: readonly string[],
    program: readonly string[],
  ): string[] => [
    ...["setpriv", "--pdeathsig", "KILL", "nsenter", "--target", String(target), ...user],
    ...[...namespaces, "setpriv", "--pdeathsig", "KILL", "env", ...program],
  ];
  const pathOf = (spawnOptions: SpawnOptions): string =>
    spawnOptions.env?.PATH ?? process.env.PATH ?? "";

  return {
    pid: pids.pod,
    podAddress: NETWORK.pod.address,
    network: NETWORK,
    names: NAMES,
    files: POD_FILES,

    request: (request) => {
      const asked = typeof request === "string" ? parseUrl(request) : request;
      return client.request(
        asked,
        asked.host ?? NETWORK.pod.address,
        asked.port ?? NETWORK.pod.httpPort,
      );
    },
    connect: ({ host, port, timeoutMs } = {}) =>
      client.connect(host ?? NETWORK.pod.address, port ?? NETWORK.pod.echoPort, timeoutMs),

    inClient: (argv, spawnOptions = {}) => {
      // Entering the mount namespace, whose only difference is /proc, loses the working directory.
      const cwd = String(spawnOptions.cwd ?? process.cwd());
      const program = [`--chdir=${cwd}`, `PATH=${pathOf(spawnOptions)}`, ...argv];
      return run(enter(pids.client, ["--mount", "--net", "--pid"], program), spawnOptions);
    },
    inPod: (argv, spawnOptions = {}) => {
      const env = spawnOptions.env ?? environment;
      const namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"];
      return run(enter(pids.pod, namespaces, [`PATH=${env.PATH ?? ""}`, ...argv]), {
        ...spawnOptions,
        env,
      });
    },
    inLaptop: (argv, spawnOptions = {}) =>
      run(enter(pids.laptop, ["--net"], [`PATH=${pathOf(spawnOptions)}`, ...argv]), spawnOptions),

    copyIntoPod: async (path) => {
      const inside = `/tmp/${basename(path)}`;
      await copyFile(path, `/proc/${pids.pod}/root${inside}`);
      await chmod(`/proc/${pids.pod}/root${inside}`, 0o755);
      return inside;
    },
    ruleset: async () => {
      const argv = ["--target", String(pids.pod), ...user, "--net", "nft", "list", "ruleset"];
      const { stdout } = await promisify(execFile)("nsenter", argv, {
        env: { PATH: toolPath },
        timeout: TOOL_TIMEOUT_MS,
      });
      return stdout.trim();
    },
    processes: () => namespaceMembers(pids.pod, ["pid", "net"]),

    stop: () => {
      stopping ??= stop(laptop, started, ended);
      return stopping;
    },
  };
}

async function stop(
  laptop: ChildProcess,
  started: Set<ChildProcess>,
  ended: Promise<void>,
): Promise<void> {
  const exits = [...started].map((child) => new Promise((resolve) => child.once("exit", resolve)));
  for (const child of started) child.kill("SIGKILL");
  laptop.stdin?.destroy();
  let deadline: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    deadline = setTimeout(() => {
      // The supervisor's parent, unshare --kill-child, is in the laptop's process group, as it is itself.
      if (laptop.pid !== undefined) process.kill(-laptop.pid, "SIGKILL");
      reject(new Error(`the sandbox did not end within ${STOP_TIMEOUT_MS} ms and was killed`));
    }, STOP_TIMEOUT_MS);
  });
  try {
    await Promise.race([Promise.all([ended, ...exits]), late]);
  } finally {
    clearTimeout(deadline);
  }
}

function parseUrl(text: string): ClientRequest {
  const url = new URL(text);
  return { host: url.hostname, port: Number(url.port || 80), path: url.pathname + url.search };
}

async function readEnvironment(pid: number): Promise<Record<string, string>> {
  const text = await readFile(`/proc/${pid}/environ`, "utf8");
  const pairs = text.split("\0").filter((pair) => pair.includes("="));
  return Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
  );
}
