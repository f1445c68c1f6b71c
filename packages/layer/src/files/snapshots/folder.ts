/**
 * Where the tree of the pod's files stands: a directory for nobody else, in memory if there is such a place. It is
 * removed at the end of the session, by the keeper if this process is killed, and by the next session if both were.
 */
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TMPFS_MAGIC = 0x01021994;

export interface SnapshotFolder {
  readonly path: string;
  /** What is written there is never written to a disk. */
  readonly isMemory: boolean;
}

/** The user's own first: nobody else can look into it. */
const places = (env: NodeJS.ProcessEnv): string[] =>
  [
    ...new Set([env.XDG_RUNTIME_DIR, "/dev/shm", tmpdir()].filter((path) => path?.startsWith("/"))),
  ] as string[];

/** @throws the last place's error when there is none */
export function makeFolder(env: NodeJS.ProcessEnv = process.env): SnapshotFolder {
  let failed: unknown = new Error("no directory for temporary files");
  for (const place of places(env)) {
    sweep(place);
    try {
      const path = mkdtempSync(join(place, prefixOf(process.pid)));
      return { path, isMemory: statfsSync(path).type === TMPFS_MAGIC };
    } catch (error) {
      failed = error;
    }
  }
  throw failed;
}

/** Directories of sessions of ours that were killed with their keepers. */
export function leftFolders(env: NodeJS.ProcessEnv = process.env): string[] {
  return places(env).flatMap(leftIn);
}

function sweep(place: string): void {
  for (const path of leftIn(place)) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // `inpod verify` names it.
    }
  }
}

/** By its name: whose process it is, in which namespace, and since when, because numbers are used again. */
const NAME = /^inpod-files\.(\d+)\.(\d+)\.(\d+)\.[A-Za-z0-9]{6}$/;

function leftIn(place: string): string[] {
  let names: string[] = [];
  try {
    names = readdirSync(place);
  } catch {
    // There is no such place.
  }
  return names.flatMap((name) => {
    const [, namespace, pid = "", since] = NAME.exec(name) ?? [];
    if (namespace === undefined || namespace !== pidNamespace()) return [];
    if (startOf(pid) === since) return [];
    const path = join(place, name);
    try {
      return statSync(path).uid === process.getuid?.() ? [path] : [];
    } catch {
      return [];
    }
  });
}

const prefixOf = (pid: number): string =>
  `inpod-files.${pidNamespace()}.${pid}.${startOf(String(pid)) ?? 0}.`;

const pidNamespace = (): string => /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "0";

/** proc_pid_stat(5), field 22; undefined: there is no such process. */
function startOf(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
