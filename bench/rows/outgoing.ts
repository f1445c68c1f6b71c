/** From the user's process to a server beside the pod: bulk, round trips, new connections. */
import { type Bed, LOAD_PORT, RELAY } from "../bed.ts";
import { warm } from "../measure.ts";
import type { Shell } from "../shell.ts";
import { atLeast, type Row } from "../table.ts";

/** Of the relays, one set of three (echo, sink, source) for each. */
const NEAR_PORT = 7200;
const FAR_PORT = 7300;

export interface LoadRow {
  readonly what: string;
  readonly mode: "up" | "down" | "echo" | "connect";
  readonly connections: number;
  readonly unit: string;
}

export const LOAD_ROWS: readonly LoadRow[] = [
  { what: "bulk up", mode: "up", connections: 1, unit: "MB/s" },
  { what: "bulk down", mode: "down", connections: 1, unit: "MB/s" },
  { what: "round trips out, 1 connection", mode: "echo", connections: 1, unit: "/s" },
  { what: "round trips out, 50 connections", mode: "echo", connections: 50, unit: "/s" },
  { what: "new connections out, 1 at a time", mode: "connect", connections: 1, unit: "/s" },
  { what: "new connections out, 16 at a time", mode: "connect", connections: 16, unit: "/s" },
];

/** One sample of `row` by the load generator at `path` in `shell`, in the row's unit. */
export async function sampleLoad(
  shell: Shell,
  path: string,
  row: LoadRow,
  to: { readonly host: string; readonly port: number },
  loadMs: number,
): Promise<number> {
  const command = `${path} ${row.mode} ${to.host} ${to.port} ${row.connections} ${loadMs}`;
  const [rate = Number.NaN] = await shell.numbers(command);
  return row.unit === "MB/s" ? rate / 1e6 : rate;
}

/**
 * As many processes and hops as inpod's own: program, relay, relay, server. Both live in the pod's network, where
 * they are joined by loopback as inpod's CLI and agent are by theirs.
 */
async function startRelays(bed: Bed, host: string): Promise<void> {
  const three = (fromPort: number, to: string, toPort: number): string[] =>
    [0, 1, 2].flatMap((kind) => [`127.0.0.1:${fromPort + kind}`, `${to}:${toPort + kind}`]);
  for (const ports of [three(FAR_PORT, host, LOAD_PORT), three(NEAR_PORT, "127.0.0.1", FAR_PORT)]) {
    const argv = [process.execPath, RELAY, ...ports];
    await bed.server(bed.spawnIn("pod", argv, { stdio: ["ignore", "pipe", "pipe"] }));
  }
}

export async function outgoing(bed: Bed): Promise<Row[]> {
  const host = bed.sandbox.network.services.greetings;
  await bed.server(
    bed.spawnIn("services", [bed.load, "serve", String(LOAD_PORT)], {
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
  await startRelays(bed, host);
  const inpod = bed.sessionShell();
  const pod = bed.plainShell("pod");
  const { rounds, loadMs } = bed.length;
  const rows: Row[] = [];
  for (const row of LOAD_ROWS) {
    const found = await warm(rounds, {
      direct: () => sampleLoad(pod, bed.load, row, { host, port: LOAD_PORT }, loadMs),
      relay: () => sampleLoad(pod, bed.load, row, { host: "127.0.0.1", port: NEAR_PORT }, loadMs),
      inpod: () => sampleLoad(inpod, bed.load, row, { host, port: LOAD_PORT }, loadMs),
    });
    const { what, unit } = row;
    rows.push(
      {
        ...{ what, unit, beside: "two Node relays", plain: found.relay, inpod: found.inpod },
        ...(unit === "MB/s" ? { goal: atLeast(0.8) } : {}),
      },
      { what, unit, beside: "direct in the pod", plain: found.direct, inpod: found.inpod },
    );
  }
  await Promise.all([inpod.end(), pod.end()]);
  return rows;
}
