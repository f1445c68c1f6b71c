/** New connections of clients under the tap to this machine's own addresses; those to the pod are in outgoing.ts. */
import type { SpawnOptions } from "node:child_process";
import { type Bed, LOAD_PORT } from "../bed.ts";
import { warm } from "../measure.ts";
import { atLeast, type Row } from "../table.ts";
import { type LoadRow, sampleLoad } from "./outgoing.ts";

const PIPES: SpawnOptions = { stdio: ["ignore", "pipe", "pipe"] };
const ABREAST = [1, 16] as const;
const GOAL = 0.7;

export async function localConnections(bed: Bed): Promise<Row[]> {
  await bed.server(bed.spawnIn("laptop", [bed.load, "serve", String(LOAD_PORT)], PIPES));
  const feature = { network: { outgoing: { filter: { local: ["127.0.0.0/8"] } } } };
  const plain = bed.plainShell("laptop");
  const inpod = bed.sessionShell(["-f", bed.file("clients.json", JSON.stringify({ feature }))]);
  const rows: Row[] = [];
  for (const connections of ABREAST) {
    const what = `new connections to an address kept local, ${connections} at a time`;
    const row: LoadRow = { what, mode: "connect", connections, unit: "/s" };
    const to = { host: "127.0.0.1", port: LOAD_PORT };
    const found = await warm(bed.length.rounds, {
      plain: () => sampleLoad(plain, bed.load, row, to, bed.length.loadMs),
      inpod: () => sampleLoad(inpod, bed.load, row, to, bed.length.loadMs),
    });
    rows.push({ what, unit: row.unit, beside: "without inpod", ...found, goal: atLeast(GOAL) });
  }
  await Promise.all([plain.end(), inpod.end()]);
  return rows;
}
