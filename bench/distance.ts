/** A relay that makes a server as far away as a round trip says: this kernel's own way (netem) is not everywhere. */
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Bed } from "./bed.ts";

const RELAY = join(dirname(fileURLToPath(import.meta.url)), "load", "distance.cjs");
const READY_TIMEOUT_MS = 10_000;

export interface Distance {
  /** Of 127.0.0.1: leads to the server. */
  readonly port: number;
  close(): Promise<void>;
}

export async function layDistance(
  bed: Bed,
  to: { readonly host: string; readonly port: number },
  rttMs: number,
): Promise<Distance> {
  const argv = [process.execPath, RELAY, to.host, String(to.port), String(rttMs)] as const;
  const child = bed.start([...argv]);
  if (!child.stdout) throw new Error("the relay needs a pipe");
  const lines = createInterface(child.stdout);
  const port = await new Promise<number>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the relay is not ready")), READY_TIMEOUT_MS);
    lines.on("line", (line) => {
      clearTimeout(timer);
      resolve(Number(line.split(" ")[1]));
    });
  });
  return { port, close: () => bed.end(child, "SIGKILL") };
}
