/**
 * Whether somebody is bound to a UDP port of this machine: closing a socket is no call that the tap sees. The program's
 * network is ours.
 */
import { readFile } from "node:fs/promises";

/** Ports in /proc/net/udp or udp6 (proc_net_udp of Linux): "sl local_address …", the address as ADDRESS:PORT in hex. */
export function portsIn(table: string): Set<number> {
  const ports = new Set<number>();
  for (const [, port = ""] of table.matchAll(/^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) /gm))
    ports.add(Number.parseInt(port, 16));
  return ports;
}

/** Undefined: this machine does not say. */
export async function boundUdpPorts(): Promise<ReadonlySet<number> | undefined> {
  try {
    const tables = await Promise.all(
      ["/proc/self/net/udp", "/proc/self/net/udp6"].map((path) =>
        // Without IPv6 there is no udp6.
        readFile(path, "latin1").catch((error: NodeJS.ErrnoException) => {
          if (error.code === "ENOENT") return "";
          throw error;
        }),
      ),
    );
    return new Set(tables.flatMap((table) => [...portsIn(table)]));
  } catch {
    return undefined;
  }
}
