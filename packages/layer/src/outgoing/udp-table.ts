/** Which UDP ports of this machine are in use, by /proc/net/udp (proc_net(5)): nothing else tells that a socket was closed. */
import { readFile } from "node:fs/promises";

export interface UdpPorts {
  /** Ports that sockets are bound to. */
  readonly bound: ReadonlySet<number>;
  /** Ports of the peers that sockets are connected to. */
  readonly peers: ReadonlySet<number>;
}

const TABLES = ["/proc/self/net/udp", "/proc/self/net/udp6"];

/** `sl local_address rem_address …`, addresses as HEX:PORT in hex. */
const ROW = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) /;

export function parseUdpTable(text: string): UdpPorts {
  const bound = new Set<number>();
  const peers = new Set<number>();
  for (const line of text.split("\n")) {
    const [, local, peer] = ROW.exec(line) ?? [];
    if (local === undefined || peer === undefined) continue;
    bound.add(Number.parseInt(local, 16));
    peers.add(Number.parseInt(peer, 16));
  }
  return { bound, peers };
}

/** Undefined: this machine does not tell. */
export async function udpPorts(): Promise<UdpPorts | undefined> {
  const [v4, v6] = await Promise.all(
    TABLES.map((path) => readFile(path, "latin1").catch(() => undefined)),
  );
  // Without IPv6 there is no second table.
  return v4 === undefined ? undefined : parseUdpTable(`${v4}\n${v6 ?? ""}`);
}
