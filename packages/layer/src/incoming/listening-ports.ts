/**
 * Which TCP ports somebody listens on in this network namespace. close(2) is not trapped, and what is left of a
 * listening socket when one process has closed it (others may have it, too, or another with SO_REUSEPORT) only the kernel
 * knows. Asked here is /proc, where the tap's listeningPorts() has no answer (a kernel without CONFIG_INET_DIAG). Its
 * tables name the listening sockets first, so that no others are read, however many there are.
 */
import { type FileHandle, open } from "node:fs/promises";

export interface ListeningPorts {
  readonly ipv4: ReadonlySet<number>;
  /** Those of both kinds included. */
  readonly ipv6: ReadonlySet<number>;
}

/** /proc gives a page at a time. */
const CHUNK = 4096;
/** Bytes; some 7,000 sockets. */
const MAX_TABLE = 1024 * 1024;
/** TCP_LISTEN (net/tcp_states.h). */
const LISTEN = "0A";

/** Undefined: the kernel does not show it. */
export async function listeningPorts(
  folder = "/proc/self/net",
): Promise<ListeningPorts | undefined> {
  const [ipv4, ipv6] = await Promise.all([portsIn(`${folder}/tcp`), portsIn(`${folder}/tcp6`)]);
  return ipv4 && { ipv4, ipv6: ipv6 ?? new Set() };
}

async function portsIn(path: string): Promise<Set<number> | undefined> {
  let table: FileHandle;
  try {
    table = await open(path);
  } catch {
    return undefined;
  }
  try {
    const ports = new Set<number>();
    const chunk = Buffer.alloc(CHUNK);
    let rest = "";
    for (let length = 0; length < MAX_TABLE; ) {
      const { bytesRead } = await table.read(chunk, 0, CHUNK, null);
      if (bytesRead === 0) return ports;
      length += bytesRead;
      const lines = (rest + chunk.toString("latin1", 0, bytesRead)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, local, , state] = line.trim().split(/\s+/);
        if (state === "st") continue; // the titles
        if (state !== LISTEN) return ports;
        ports.add(Number.parseInt(local?.split(":")[1] ?? "", 16));
      }
    }
    return undefined; // so long that what is missing cannot be told
  } catch {
    return undefined;
  } finally {
    await table.close();
  }
}
