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

/** One at a time: two that load the same image into a node at once are in each other's way. */
const makeImage = (...args: readonly string[]): Promise<unknown> =>
  run("flock", ["/run/lock/inpod-e2e-images", cluster, "image", ...args], { timeout: 240_000 });

/** Of programs and the libraries that they need, at their own paths. */
export async function imageOfFiles(name: string, files: readonly string[]): Promise<void> {
  await makeImage(name, "--files", ...files);
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
    await makeImage(name, root);
  } finally {
    await rm(root, { recursive: true });
  }
}
