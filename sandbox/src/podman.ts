/**
 * podman of this machine with everything of its own in a temporary folder, for tests of containers: images,
 * containers, settings, and as root a network namespace whose bridges are seen by nobody else.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
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
  /** `podman ARGS`; its stdout. @throws with its stderr */
  run(...args: readonly string[]): Promise<string>;
  /** A container in the background, of busybox, with `/bin/sh -c script` as its main process. */
  start(
    name: string,
    script: string,
    ...options: readonly string[]
  ): Promise<{ readonly pid: number; readonly address: string }>;
  /** `podman exec NAME sh -c SCRIPT`; its stdout. */
  sh(name: string, script: string): Promise<string>;
  /** Serves Docker's API; the value of DOCKER_HOST. */
  serveDocker(): Promise<string>;
  stop(): Promise<void>;
}

/** A reason to skip, or false: for node:test's `skip`. */
export function podmanMissing(): string | false {
  try {
    execFileSync("podman", ["--version"], { env: { ...process.env, PATH: toolPath } });
    execFileSync("busybox", ["true"], { env: { ...process.env, PATH: toolPath } });
  } catch (error) {
    return `needs podman and busybox: ${(error as Error).message}`;
  }
  return false;
}

/** Of busybox alone. */
export const PODMAN_IMAGE = "localhost/inpod-test/busybox:1";
/** Where containers of root find each other by name. */
export const PODMAN_NETWORK = "inpod-test";

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
    network === undefined ? [...argv] : ["nsenter", `--net=/proc/${network.pid}/ns/net`, ...argv];
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

  const podman: Podman = {
    env,
    run,
    start: async (name, script, ...options) => {
      await run(
        ...["run", "--detach", "--name", name, "--timeout", CONTAINER_TIMEOUT],
        ...["--network", isRoot ? PODMAN_NETWORK : "none", "--stop-timeout", "0"],
        ...[...options, PODMAN_IMAGE, "/bin/sh", "-c", script],
      );
      const format = "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
      const [pid = "", address = ""] = (await run("inspect", "--format", format, name))
        .trim()
        .split(" ");
      return { pid: Number(pid), address };
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
      if (isRoot) await rm(folder, { recursive: true, force: true });
      else {
        // Files of the containers' other users are theirs alone.
        await run("unshare", "rm", "-rf", at("graph"), at("runroot"));
        await rm(folder, { recursive: true, force: true });
      }
      network?.stdin?.end();
    },
  };
  try {
    await importBusybox(at("rootfs"), run);
    if (isRoot) await run("network", "create", PODMAN_NETWORK);
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

/** A network namespace with loopback, for as long as its process has our pipe. */
async function holdNetwork(): Promise<ChildProcess> {
  const holder = spawn(
    "unshare",
    ["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"],
    {
      env: { PATH: toolPath },
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  if (holder.stdout === null) throw new Error("unshare has no output");
  for await (const line of createInterface({ input: holder.stdout })) {
    if (line === "up") return holder;
  }
  throw new Error("no network namespace can be made");
}
