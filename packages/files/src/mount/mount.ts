/**
 * The ways to a FUSE mount, the best first. None leaves a mount point: with the last descriptor and process that use
 * it, the mount is gone, whatever killed them.
 */
import { spawn } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { artifacts, type Native } from "../native.ts";
import { type Via, WAYS } from "../relay/frames.ts";

export interface Mounted {
  readonly via: Via;
  /** Requests come from it. */
  readonly device: number;
  /** A clone of it, for notifications. */
  readonly notifying: number;
  /** The mount's root: O_PATH. */
  readonly root: number;
  /** The better ways, and why they are closed. */
  readonly refusals: readonly string[];
}

/** No way is open. */
export class NoMount extends Error {
  readonly refusals: readonly string[];
  constructor(refusals: readonly string[]) {
    super(refusals.join("; "));
    this.refusals = refusals;
  }
}

const HELPER_WITHIN_MS = 5000;
const OPTIONS = ["source=inpod", "subtype=inpod", "max_read=1048576"];

/** @param allowed the ways that are tried */
export async function mount(native: Native, allowed: readonly Via[] = WAYS): Promise<Mounted> {
  const refusals: string[] = [];
  const isRoot = process.geteuid?.() === 0;
  const ways: readonly [Via, () => Promise<Omit<Mounted, "via" | "refusals">>][] = [
    // Programs of the user's tree may have another user's rights. Only root may allow that.
    ["detached", () => byHelper(native, "detached", isRoot ? ["allow_other"] : [])],
    ["userns", () => byHelper(native, "userns", [])],
    ["fusermount", () => byFusermount(native)],
  ];
  for (const [via, make] of ways) {
    if (!allowed.includes(via)) continue;
    try {
      return { via, refusals, ...(await make()) };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refusals.push(`${DOORS[via]}: ${error.message}`);
    }
  }
  throw new NoMount(refusals);
}

const DOORS: Readonly<Record<Via, string>> = {
  detached: "a detached mount",
  userns: "a mount in a user namespace",
  fusermount: "fusermount3",
};

class Refused extends Error {}

/** What is to be changed so that a step is not refused; by knowledge of the usual reasons. */
function reason(step: string, errno: string): string {
  const what = `${step}: ${errno}`;
  switch (step) {
    case "/dev/fuse":
      return errno === "ENOENT" || errno === "ENXIO"
        ? `${what} (the fuse module is not loaded, or a container was started without --device /dev/fuse)`
        : `${what} (not readable and writable: udev gives it mode 0666, a container needs --device /dev/fuse)`;
    case "unshare":
    case "uid_map":
    case "gid_map":
      return `${what} (see sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, or the container's seccomp profile)`;
    case "fsopen":
      return errno === "EPERM" ? `${what} (CAP_SYS_ADMIN is needed, or seccomp forbids it)` : what;
    default:
      return what;
  }
}

async function byHelper(
  native: Native,
  way: "detached" | "userns",
  more: readonly string[],
): Promise<Omit<Mounted, "via" | "refusals">> {
  const pair = native.socketPair(false);
  if (typeof pair === "number") throw new Refused(getSystemErrorName(pair));
  const [ours, theirs] = pair;
  try {
    const { code, output } = await run(
      join(artifacts, "inpod-mount"),
      [way, "3", ...OPTIONS, ...more],
      theirs,
      {},
    );
    if (code !== 0) {
      const [, errno, step] = /^(\d+) (.*)$/.exec(output.trim()) ?? [];
      if (errno === undefined || step === undefined) throw new Refused(`inpod-mount: ${output}`);
      throw new Refused(reason(step, getSystemErrorName(-Number(errno))));
    }
    const fds = native.receiveDescriptors(ours);
    if (typeof fds === "number" || fds.length !== 3) throw new Refused("no descriptors came");
    const [device, notifying, root] = fds as [number, number, number];
    return { device, notifying, root };
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
}

/** libfuse's setuid program. The mount has a mount point for a moment, in a folder that nobody else may enter. */
async function byFusermount(native: Native): Promise<Omit<Mounted, "via" | "refusals">> {
  const pair = native.socketPair(false);
  if (typeof pair === "number") throw new Refused(getSystemErrorName(pair));
  const [ours, theirs] = pair;
  const folder = mkdtempSync(join(process.env.XDG_RUNTIME_DIR ?? tmpdir(), "inpod-"));
  try {
    const options = "nosuid,nodev,fsname=inpod,subtype=inpod,max_read=1048576";
    const made = await run("fusermount3", ["-o", options, "--", folder], theirs, {
      _FUSE_COMMFD: "3",
    });
    if (made.code !== 0) throw new Refused(made.output.trim() || `exit code ${made.code}`);
    const fds = native.receiveDescriptors(ours);
    const device = typeof fds === "number" ? undefined : fds[0];
    if (device === undefined) throw new Refused("no descriptor came");
    const root = openSync(folder, constants.O_DIRECTORY | O_PATH);
    const freed = await run("fusermount3", ["-u", "-z", "--", folder], undefined, {});
    const notifying = native.cloneDevice(device);
    if (freed.code !== 0 || notifying < 0) {
      closeSync(root);
      closeSync(device);
      throw new Refused(freed.output.trim() || getSystemErrorName(notifying));
    }
    return { device, notifying, root };
  } finally {
    closeSync(ours);
    closeSync(theirs);
    removeFolder(folder);
  }
}

const O_PATH = 0o10000000;

function removeFolder(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It is a mount point still, or gone.
  }
}

/** Descriptor 3 is `socket`. */
function run(
  program: string,
  args: readonly string[],
  socket: number | undefined,
  variables: Record<string, string>,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe", ...(socket === undefined ? [] : [socket])],
      env: { PATH: process.env.PATH, ...variables },
      timeout: HELPER_WITHIN_MS,
      killSignal: "SIGKILL",
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        if (output.length < 2000) output += chunk.toString();
      });
    }
    child.on("error", (error: NodeJS.ErrnoException) => {
      reject(new Refused(error.code === "ENOENT" ? `no ${program} on PATH` : String(error.code)));
    });
    child.on("close", (code) => resolve({ code: code ?? -1, output }));
  });
}
