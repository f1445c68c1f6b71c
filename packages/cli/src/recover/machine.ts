/** `inpod recover`, of this machine: what `inpod connect` by routes has left when it was killed. */
import type { Io } from "../io.ts";

/**
 * Before any cluster is asked: without its name servers this machine may find none. Only what was done is told, or could not
 * be.
 */
export async function recoverThisMachine({ stderr }: Io): Promise<void> {
  if (process.platform !== "linux") return;
  const { recoverMachine } = await import("@inpod/routes/left");
  for (const line of await recoverMachine()) stderr.write(`inpod: ${line}\n`);
}
