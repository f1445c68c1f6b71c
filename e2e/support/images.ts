/** Images of this machine's programs, in e2e/cluster. Other clusters bring images of their own. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** As the CLI names it, or as INPOD_AGENT_IMAGE does. */
export const AGENT_IMAGE =
  process.env.INPOD_AGENT_IMAGE ??
  `inpod/agent:${JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version}`;

const run = promisify(execFile);
const cluster = join(dirname(fileURLToPath(import.meta.url)), "..", "cluster", "cluster");

/** Of programs and the libraries that they need, at their own paths. */
export async function imageOfFiles(name: string, files: readonly string[]): Promise<void> {
  await run(cluster, ["image", name, "--files", ...files], { timeout: 120_000 });
}

/**
 * An image that behaves as `script` says where an agent's image has its inpod-enter: for scenarios
 * about placing an agent that must not depend on one. /bin/busybox is all there is in it.
 */
export async function imageOfStandIn(name: string, script: string): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "inpod-standin-"));
  try {
    await mkdir(join(root, "inpod"));
    await mkdir(join(root, "bin"));
    await copyFile("/bin/busybox", join(root, "bin", "busybox"));
    const file = join(root, "inpod", "inpod-enter");
    await writeFile(file, `#!/bin/busybox sh\n${script}\n`, { mode: 0o755 });
    await run(cluster, ["image", name, root], { timeout: 120_000 });
  } finally {
    await rm(root, { recursive: true });
  }
}
