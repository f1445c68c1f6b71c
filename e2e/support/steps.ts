/** What a program of this machine gets through ports and proxies of inpod: packages/cli/test/services-client.mjs has the steps. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const CLIENT = fileURLToPath(
  new URL("../../packages/cli/test/services-client.mjs", import.meta.url),
);
const TIMEOUT_MS = 60_000;

export interface Step {
  readonly how: string;
  readonly text?: string;
  readonly status?: number;
  readonly reply?: number;
  readonly from?: string;
  readonly addresses?: readonly string[];
}

/** One after the other. */
export async function useSteps(...steps: readonly object[]): Promise<readonly Step[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [CLIENT, JSON.stringify(steps)], {
    timeout: TIMEOUT_MS,
  });
  return JSON.parse(stdout) as Step[];
}
