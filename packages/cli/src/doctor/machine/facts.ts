/** This machine as `exec` would meet it. Gathering reads and tries; what it means is judged elsewhere. */
import { execFile } from "node:child_process";
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync } from "node:fs";
import { arch, release } from "node:os";
import { join } from "node:path";
import type { MountProbe } from "@inpod/files/probe";
import type { TapProbe } from "@inpod/layer/probe";

export interface MachineFacts {
  readonly platform: NodeJS.Platform;
  /** uname -r */
  readonly release: string;
  readonly architecture: string;
  readonly nodeVersion: string;
  /** Undefined: not Linux, so nothing was tried. */
  readonly tap: TapProbe | undefined;
  readonly fuse: {
    /** Opening /dev/fuse: "ok" or an errno. */
    readonly device: string;
    /** Absolute path; undefined: not on PATH. */
    readonly helper: string | undefined;
  };
  /** What a mount came to, as exec makes one; undefined: not Linux, so it was not tried. */
  readonly mount: MountProbe | undefined;
  readonly userNamespaces: {
    /** undefined: unshare(1) is not there to try with. */
    readonly isAllowed: boolean | undefined;
    /** Of /proc/sys, by its name with dots; only those that are there. */
    readonly settings: Readonly<Record<string, string>>;
  };
  /** kernel.yama.ptrace_scope; undefined: no Yama. */
  readonly ptraceScope: number | undefined;
  readonly isPtraceCapable: boolean;
  /** This is a child of `inpod exec`. */
  readonly isInsideInpod: boolean;
  readonly isRoot: boolean;
  readonly container: ContainerKind | undefined;
  /** /proc/self/status: 0 none, 1 strict, 2 a filter. */
  readonly seccompMode: number;
  readonly hasNoNewPrivileges: boolean;
  /** Of open files, hard; Infinity: none. */
  readonly fileLimit: number;
  /** The services after `hosts:` in nsswitch.conf. */
  readonly hostServices: readonly string[];
  readonly hasNscd: boolean;
}

export type ContainerKind = "docker" | "podman" | "kubernetes" | "wsl" | "other";

const SETTINGS = [
  "user.max_user_namespaces",
  "kernel.unprivileged_userns_clone",
  "kernel.apparmor_restrict_unprivileged_userns",
] as const;
const CAP_SYS_PTRACE = 19n;
const UNSHARE_TIMEOUT_MS = 5_000;

export async function gatherMachine(
  env: NodeJS.ProcessEnv,
  probe: () => Promise<MachineFacts["tap"]>,
): Promise<MachineFacts> {
  const isLinux = process.platform === "linux";
  const status = read("/proc/self/status") ?? "";
  const scope = read("/proc/sys/kernel/yama/ptrace_scope");
  const [tap, isAllowed, mount] = isLinux
    ? await Promise.all([probe(), tryUserNamespace(), tryMount()])
    : [];
  return {
    platform: process.platform,
    release: release(),
    architecture: arch(),
    nodeVersion: process.version,
    tap,
    mount,
    fuse: { device: openFuse(), helper: onPath("fusermount3", env.PATH) },
    userNamespaces: {
      isAllowed,
      settings: Object.fromEntries(
        SETTINGS.flatMap((name) => {
          const value = read(`/proc/sys/${name.replaceAll(".", "/")}`);
          return value === undefined ? [] : [[name, value.trim()]];
        }),
      ),
    },
    ptraceScope: scope === undefined ? undefined : Number(scope),
    isInsideInpod: env.INPOD_SESSION !== undefined,
    isPtraceCapable: hasCapability(status, CAP_SYS_PTRACE),
    isRoot: process.getuid?.() === 0,
    container: containerKind(env, read),
    seccompMode: Number(field(status, "Seccomp") ?? 0),
    hasNoNewPrivileges: field(status, "NoNewPrivs") === "1",
    fileLimit: fileLimit(read("/proc/self/limits") ?? ""),
    hostServices: hostServices(read("/etc/nsswitch.conf") ?? ""),
    hasNscd: ["/run/nscd/socket", "/var/run/nscd/socket"].some((path) => existsSync(path)),
  };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}

const field = (status: string, name: string): string | undefined =>
  new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1];

export const hasCapability = (status: string, bit: bigint): boolean =>
  ((BigInt(`0x${field(status, "CapEff") ?? "0"}`) >> bit) & 1n) === 1n;

/** The hard limit: exec raises the soft one to it. */
export function fileLimit(limits: string): number {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  return hard === undefined || hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard);
}

export const hostServices = (nsswitch: string): string[] =>
  (/^[ \t]*hosts[ \t]*:([^\n#]*)/m.exec(nsswitch)?.[1] ?? "")
    .replace(/\[[^\]]*\]/g, " ")
    .split(/\s+/)
    .filter((word) => word !== "");

/** Docker and podman leave a file, Kubernetes a variable, WSL a kernel of its own; the rest shows in cgroups. */
export function containerKind(
  env: NodeJS.ProcessEnv,
  readFile: (path: string) => string | undefined,
): ContainerKind | undefined {
  if (env.KUBERNETES_SERVICE_HOST) return "kubernetes";
  if (readFile("/.dockerenv") !== undefined) return "docker";
  if (readFile("/run/.containerenv") !== undefined) return "podman";
  if (/microsoft/i.test(readFile("/proc/sys/kernel/osrelease") ?? "")) return "wsl";
  if (env.container || /\/(docker|lxc|libpod|kubepods)[-/.]/.test(readFile("/proc/1/cgroup") ?? ""))
    return "other";
  return undefined;
}

function openFuse(): string {
  try {
    closeSync(openSync("/dev/fuse", "r+"));
    return "ok";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "EIO";
  }
}

function onPath(name: string, path = "/usr/bin:/bin"): string | undefined {
  return path
    .split(":")
    .filter((folder) => folder.startsWith("/"))
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Loaded by import(): where there is no Linux nothing native is touched. */
async function tryMount(): Promise<MountProbe> {
  try {
    const { probeMount } = await import("@inpod/files/probe");
    return await probeMount();
  } catch (error) {
    // The addon is not there, or is for another system.
    return { kind: "refused", refusals: [error instanceof Error ? error.message : String(error)] };
  }
}

/** In a child: a process that has become root of a namespace stays it. */
function tryUserNamespace(): Promise<boolean | undefined> {
  return new Promise((resolve) => {
    execFile(
      "unshare",
      ["--user", "--map-root-user", "true"],
      { timeout: UNSHARE_TIMEOUT_MS },
      (error) => {
        const code = (error as { code?: unknown } | null)?.code;
        resolve(error === null ? true : code === "ENOENT" ? undefined : false);
      },
    );
  });
}
