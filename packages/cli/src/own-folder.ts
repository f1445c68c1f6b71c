/** A directory of this user's on this machine that outlives a command: nobody else's, for /tmp is everybody's. */
import { lstatSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Made if it is not there; undefined where it cannot be had, or is another's. */
export function ownFolder(env: NodeJS.ProcessEnv): string | undefined {
  const user = process.getuid?.();
  const runtime = env.XDG_RUNTIME_DIR;
  const folder = runtime ? join(runtime, "inpod") : join(tmpdir(), `inpod-${user ?? "completion"}`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const stats = lstatSync(folder);
    const isOwn = user === undefined || (stats.uid === user && (stats.mode & 0o077) === 0);
    return stats.isDirectory() && isOwn ? folder : undefined;
  } catch {
    return undefined;
  }
}
