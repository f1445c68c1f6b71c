/**
 * Who on this machine has a UDP port of loopback: a program may speak with itself there, by a port that the kernel has
 * chosen (PostgreSQL's statistics until 14, squid's helpers), and natively nobody is asked about such a bind.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import type { Endpoint } from "@inpod/protocol";
import { hasMark } from "@inpod/tap";

const TABLES = ["/proc/self/net/udp", "/proc/self/net/udp6"];

/** `sl local_address rem_address st queues timer retransmits uid timeout inode …` of Linux' proc_net_udp. */
const ROW =
  /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ \S+ \S+ \S+ \S+\s+\d+\s+\d+ (\d+) /;

const ANY_IPV4 = "00000000";
const ANY = "0".repeat(32);
const LOOPBACK_IPV6 = `${"0".repeat(24)}01000000`;

/** As the tables have it: words in this machine's order, which is little-endian wherever inpod runs. */
function addressesOf(address: string): readonly string[] {
  if (isIPv6(address)) return [LOOPBACK_IPV6, ANY];
  const bytes = address.split(".").map((each) => Number(each).toString(16).padStart(2, "0"));
  const word = bytes.reverse().join("").toUpperCase();
  return [word, `${"0".repeat(16)}FFFF0000${word}`, ANY_IPV4, ANY];
}

/** Inodes of the sockets that get what is sent there. `to`: an address of loopback. */
export function socketsAt(table: string, to: Endpoint): readonly string[] {
  const addresses = new Set(addressesOf(to.address));
  return table.split("\n").flatMap((line) => {
    const [, address = "", port = "", inode = ""] = ROW.exec(line) ?? [];
    return Number.parseInt(port, 16) === to.port && addresses.has(address) ? [inode] : [];
  });
}

/** Undefined: this machine does not tell. */
async function socketsHere(to: Endpoint): Promise<readonly string[] | undefined> {
  const [v4, v6] = await Promise.all(
    TABLES.map((path) => readFile(path, "latin1").catch(() => undefined)),
  );
  return v4 === undefined ? undefined : socketsAt(`${v4}\n${v6 ?? ""}`, to);
}

/** Whether anybody on this machine gets what is sent there. */
export async function isTakenHere(to: Endpoint): Promise<boolean> {
  const found = await socketsHere(to);
  return found === undefined || found.length > 0;
}

/** Whether the process, or another with the session's mark, does. */
export async function isOfTree(to: Endpoint, tgid: number, mark: string): Promise<boolean> {
  const found = new Set((await socketsHere(to))?.map((inode) => `socket:[${inode}]`));
  if (found.size === 0) return false;
  if (hasOne(String(tgid), found)) return true;
  return readdirSync("/proc").some(
    (pid) => /^\d+$/.test(pid) && hasMark(pid, mark) && hasOne(pid, found),
  );
}

function hasOne(pid: string, sockets: ReadonlySet<string>): boolean {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).some((fd) => sockets.has(linkOf(`${folder}/${fd}`)));
  } catch {
    return false; // it has ended, or may not be looked into
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}
