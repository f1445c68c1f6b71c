/** Reads the machine's process table from /proc. A process that ends meanwhile is left out. */
import { readdir, readFile, readlink } from "node:fs/promises";

export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  /** The pid in every namespace from the reader's own to the process's (proc_pid_status(5), NSpid). */
  readonly namespacePids: readonly number[];
}

export async function readProcessTable(): Promise<readonly ProcessEntry[]> {
  const entries = await Promise.all((await numberedEntries()).map(readEntry));
  return entries.filter((entry) => entry !== undefined);
}

async function numberedEntries(): Promise<string[]> {
  return (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
}

async function readEntry(pid: string): Promise<ProcessEntry | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => undefined);
  const parent = status?.match(/^PPid:\s*(\d+)$/m)?.[1];
  const pids = status?.match(/^NSpid:\s*([\d\s]+)$/m)?.[1];
  if (parent === undefined || pids === undefined) return undefined;
  return {
    pid: Number(pid),
    parent: Number(parent),
    namespacePids: pids.trim().split(/\s+/).map(Number),
  };
}

export function descendantsOf(pid: number, table: readonly ProcessEntry[]): ProcessEntry[] {
  const children = table.filter((entry) => entry.parent === pid);
  return children.flatMap((child) => [child, ...descendantsOf(child.pid, table)]);
}

export interface NamespaceMember {
  readonly pid: number;
  /** Arguments, joined by spaces. */
  readonly command: string;
  /** Which of the asked namespaces it is in. */
  readonly namespaces: readonly NamespaceKind[];
}
export type NamespaceKind = "pid" | "net" | "mnt";

/**
 * Processes that share at least one namespace of `kinds` with `pid`, itself included. Zombies have none any more,
 * and those whose namespaces the reader may not see (ptrace(2), access mode checking) are left out.
 */
export async function namespaceMembers(
  pid: number,
  kinds: readonly NamespaceKind[],
): Promise<readonly NamespaceMember[]> {
  const wanted = await Promise.all(kinds.map((kind) => readlink(`/proc/${pid}/ns/${kind}`)));
  const found = await Promise.all(
    (await numberedEntries()).map(async (candidate) => {
      const own = await Promise.all(
        kinds.map((kind) => readlink(`/proc/${candidate}/ns/${kind}`).catch(() => undefined)),
      );
      const namespaces = kinds.filter((_, index) => own[index] === wanted[index]);
      if (namespaces.length === 0) return undefined;
      const cmdline = await readFile(`/proc/${candidate}/cmdline`, "latin1").catch(() => "");
      return { pid: Number(candidate), command: cmdline.split("\0").join(" ").trim(), namespaces };
    }),
  );
  return found.filter((member) => member !== undefined).sort((a, b) => a.pid - b.pid);
}
