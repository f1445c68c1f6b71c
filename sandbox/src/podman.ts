/**
 * podman of this machine with everything of its own in a temporary folder, for tests of containers: images,
 * containers, settings, and as root a network namespace whose bridges are seen by nobody else.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { isRoot, toolPath } from "./launch.ts";

const COMMAND_TIMEOUT_MS = 120_000;
/** Seconds; a test run that is killed leaves containers behind, which end themselves then. */
const CONTAINER_TIMEOUT = "900";

export interface Podman {
  /** For each podman command, whoever starts it. */
  readonly env: NodeJS.ProcessEnv;
  /** How a program is run that calls podman itself: in this network or not, where podman's mounts are seen. */
  command(argv: readonly string[], cwd: string): readonly [string, ...string[]];
  /** `podman ARGS`; its stdout. @throws with its stderr */
  run(...args: readonly string[]): Promise<string>;
  /** A container in the background, of busybox, with `/bin/sh -c script` as its main process. The pid of that. */
  start(name: string, script: string, ...options: readonly string[]): Promise<number>;
  /**
   * Two containers that reach each other by their names: as root in a network of podman's with its name server, else
   * by a pair of interfaces and their hosts files, for want of a right to more.
   */
  startPair(first: ContainerOptions, second: ContainerOptions): Promise<readonly [number, number]>;
  /** `podman exec NAME sh -c SCRIPT`; its stdout. */
  sh(name: string, script: string): Promise<string>;
  /** Serves Docker's API; the value of DOCKER_HOST. */
  serveDocker(): Promise<string>;
  stop(): Promise<void>;
}

export interface ContainerOptions {
  readonly name: string;
  readonly script: string;
  readonly options?: readonly string[];
}

/** A reason to skip, or false: for node:test's `skip`. */
export function podmanMissing(): string | false {
  // Not run: podman would make folders in the user's own places.
  const script = 'command -v "$0" >/dev/null';
  const missing = ["podman", "runc", "busybox"].filter(
    (name) => spawnSync("sh", ["-c", script, name], { env: { PATH: toolPath } }).status !== 0,
  );
  return missing.length > 0 && `needs ${missing.join(" and ")}`;
}

/** Of busybox alone. */
export const PODMAN_IMAGE = "localhost/inpod-test/busybox:1";
const NETWORK_NAME = "inpod-test";
/** Of the range for tests of networks (RFC 2544). */
const ADDRESSES = ["198.18.210.2", "198.18.210.3"];

/** @throws where this machine does not let podman run containers */
export async function startPodman(): Promise<Podman> {
  const folder = await mkdtemp(join(tmpdir(), "inpod-podman-"));
  const at = (name: string): string => join(folder, name);
  for (const name of ["home", "run", "tmp", "rootfs", "networks"]) await mkdir(at(name));
  // crun refuses machines that have both versions of cgroups; runc's limits are those of the caller, because
  // raising them takes a right that containers on containers lack.
  await writeFile(
    at("containers.conf"),
    `[containers]
default_ulimits = []
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
exit_command_delay = 1
tmp_dir = "${at("tmp")}"
[network]
network_config_dir = "${at("networks")}"
`,
  );
  // Layers as whole copies: overlay mounts are refused in many containers. One user's id is all there is
  // where nobody has been given more.
  await writeFile(
    at("storage.conf"),
    `[storage]
driver = "vfs"
graphroot = "${at("graph")}"
runroot = "${at("runroot")}"
rootless_storage_path = "${at("graph")}"
[storage.options]
ignore_chown_errors = "true"
[storage.options.vfs]
ignore_chown_errors = "true"
`,
  );
  const env = {
    ...process.env,
    PATH: toolPath,
    HOME: at("home"),
    XDG_RUNTIME_DIR: at("run"),
    TMPDIR: at("tmp"),
    CONTAINERS_CONF: at("containers.conf"),
    CONTAINERS_STORAGE_CONF: at("storage.conf"),
  };
  const network = isRoot ? await holdNetwork() : undefined;
  const inNetwork = (argv: readonly string[]): string[] =>
    network === undefined
      ? [...argv]
      : ["nsenter", "--target", String(network.pid), "--net", "--mount", ...argv];
  const run = async (...args: readonly string[]): Promise<string> => {
    const [program = "", ...rest] = inNetwork(["podman", ...args]);
    const { stdout } = await promisify(execFile)(program, rest, {
      env,
      cwd: "/",
      timeout: COMMAND_TIMEOUT_MS,
      maxBuffer: 16 * 1024 * 1024,
    });
    return stdout;
  };
  const services: ChildProcess[] = [];
  /** The process that holds an ordinary user's namespaces from one command to the next. */
  const endPause = async (): Promise<void> => {
    for (const folderOfIt of [at("tmp"), at("run/libpod/tmp")])
      await endProcessOf(join(folderOfIt, "pause.pid"));
  };

  const podman: Podman = {
    env,
    command: (argv, cwd) => [
      ...(network === undefined
        ? (["env"] as const)
        : (["nsenter", "--target", String(network.pid), "--mount", "env"] as const)),
      ...[`--chdir=${cwd}`, ...argv],
    ],
    run,
    start: async (name, script, ...options) => {
      await run(
        ...[
          "run",
          "--detach",
          "--name",
          name,
          "--timeout",
          CONTAINER_TIMEOUT,
          "--stop-timeout",
          "0",
        ],
        ...[...options, PODMAN_IMAGE, "/bin/sh", "-c", script],
      );
      return Number(await run("inspect", "--format", "{{.State.Pid}}", name));
    },
    startPair: async (...pair) => {
      const [first, second] = pair;
      const network = isRoot ? ["--network", NETWORK_NAME] : ["--network", "none"];
      const hosts = isRoot
        ? []
        : pair.flatMap(({ name }, at) => ["--add-host", `${name}:${ADDRESSES[at]}`]);
      const begin = ({ name, script, options = [] }: ContainerOptions): Promise<number> =>
        podman.start(name, script, ...network, ...hosts, ...options);
      const pids = [await begin(first), await begin(second)] as const;
      if (!isRoot) {
        const inside = (pid: number, ...command: readonly string[]): Promise<string> =>
          run("unshare", "nsenter", `--net=/proc/${pid}/ns/net`, ...command);
        await inside(
          pids[0],
          ..."ip link add eth0 type veth peer name eth0 netns".split(" "),
          String(pids[1]),
        );
        for (const [at, pid] of pids.entries()) {
          await inside(pid, "ip", "address", "add", `${ADDRESSES[at]}/24`, "dev", "eth0");
          await inside(pid, "ip", "link", "set", "eth0", "up");
        }
      }
      return pids;
    },
    sh: (name, script) => run("exec", name, "/bin/sh", "-c", script),
    serveDocker: async () => {
      const socket = at("docker.sock");
      const [program = "", ...rest] = inNetwork([
        "podman",
        "system",
        "service",
        "--time",
        "0",
        `unix://${socket}`,
      ]);
      const service = spawn(program, rest, { env, cwd: "/", stdio: "ignore" });
      services.push(service);
      const ready = async (): Promise<boolean> =>
        promisify(execFile)("curl", ["-sf", "--unix-socket", socket, "http://d/_ping"]).then(
          () => true,
          () => false,
        );
      for (const end = Date.now() + COMMAND_TIMEOUT_MS; !(await ready()); )
        if (Date.now() > end || service.exitCode !== null) throw new Error("podman serves no API");
      return `unix://${socket}`;
    },
    stop: async () => {
      for (const service of services) {
        const ended = once(service, "exit");
        if (service.exitCode === null && service.kill("SIGKILL")) await ended;
      }
      await run("rm", "--all", "--force", "--time", "0");
      if (isRoot) await rm(folder, { recursive: true, force: true, maxRetries: 20 });
      else {
        // Files of the containers' other users are theirs alone.
        await run("unshare", "rm", "-rf", at("graph"), at("runroot"));
        await endPause();
        await rm(folder, { recursive: true, force: true, maxRetries: 20 });
      }
      if (network !== undefined) await endNameServer(network);
      network?.stdin?.end();
    },
  };
  try {
    await importBusybox(at("rootfs"), run);
    if (isRoot) await run("network", "create", "--subnet", "198.18.211.0/24", NETWORK_NAME);
    return podman;
  } catch (error) {
    await podman.stop().catch(() => {});
    throw error;
  }
}

async function importBusybox(rootfs: string, run: Podman["run"]): Promise<void> {
  const { stdout } = await promisify(execFile)(
    "sh",
    ["-c", 'command -v busybox; exec "$(command -v busybox)" --list'],
    { env: { PATH: toolPath } },
  );
  const [program = "", ...applets] = stdout.trim().split("\n");
  for (const name of ["bin", "etc", "tmp", "root", "proc", "sys", "dev"])
    await mkdir(join(rootfs, name));
  await copyFile(program, join(rootfs, "bin/busybox"));
  for (const applet of applets)
    if (applet !== "busybox") await symlink("busybox", join(rootfs, "bin", applet));
  const archive = `${rootfs}.tar`;
  await promisify(execFile)("tar", ["-C", rootfs, "-cf", archive, "."]);
  await run("import", "--quiet", "--change", "ENV PATH=/bin", archive, PODMAN_IMAGE);
}

/** It ends with the last container, unless something went wrong. */
const endNameServer = (network: ChildProcess): Promise<void> =>
  endProcessOf(`/proc/${network.pid}/root/run/containers/networks/aardvark-dns/aardvark.pid`);

/** The process whose number is in a file, if there is one. */
async function endProcessOf(file: string): Promise<void> {
  const pid = Number(await readFile(file, "utf8").catch(() => "0"));
  try {
    if (pid > 0) process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/**
 * A network namespace with loopback, for as long as its process has our pipe; and a mount namespace, since root's podman
 * keeps what it knows of networks and their name servers in one place only.
 */
async function holdNetwork(): Promise<ChildProcess> {
  const script =
    "ip link set lo up && mkdir -p /run/containers && mount -t tmpfs inpod-test /run/containers && echo up && exec cat";
  const holder = spawn("unshare", ["--net", "--mount", "sh", "-c", script], {
    env: { PATH: toolPath },
    stdio: ["pipe", "pipe", "inherit"],
  });
  if (holder.stdout === null) throw new Error("unshare has no output");
  for await (const line of createInterface({ input: holder.stdout })) {
    if (line === "up") return holder;
  }
  throw new Error("no network namespace can be made");
}
