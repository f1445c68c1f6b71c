/** Connections to a port of ours that only the kernel knows of: on their way to us, or on their way to their end. */
import { readFile } from "node:fs/promises";

/** As in the kernel's net/tcp_states.h. */
const STATES = { established: "01", synRecv: "03", closeWait: "08", listen: "0A" } as const;
const UNACCEPTED: readonly string[] = [STATES.established, STATES.synRecv, STATES.closeWait];

/**
 * Asked when we know of no connection that is open: whether one has been redirected here all the same and is not accepted yet
 * (or still in its handshake, whose last packet may have been lost), or somebody has not got all of what he was sent. A
 * kernel that does not say: nobody.
 */
export async function isSomebodyComing(ports: readonly number[]): Promise<boolean> {
  if (ports.length === 0) return false;
  const tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map((path) =>
    readFile(path, "latin1").catch(() => ""),
  );
  return (await Promise.all(tables)).some((table) => isInTable(table, ports));
}

/** Pure. @param table as proc_pid_net(5) has it */
export function isInTable(table: string, ports: readonly number[]): boolean {
  const wanted = new Set(ports.map((port) => port.toString(16).toUpperCase().padStart(4, "0")));
  return table
    .split("\n")
    .slice(1)
    .some((line) => {
      // sl  local_address rem_address   st tx_queue:rx_queue
      const [, local = "", , state = "", queues = ""] = line.trim().split(/\s+/, 5);
      if (!wanted.has(local.slice(local.lastIndexOf(":") + 1))) return false;
      const [unacknowledged = "", unread = ""] = queues.split(":");
      // Of a listener: those that wait to be accepted.
      if (state === STATES.listen) return Number.parseInt(unread, 16) > 0;
      return UNACCEPTED.includes(state) || Number.parseInt(unacknowledged, 16) > 0;
    });
}
