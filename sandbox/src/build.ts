/**
 * Builds small programs for tests, once: a result is kept in a folder of this user under the temporary folder, by the
 * hash of its sources and command, and shared by later runs.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export type Built =
  /** `argv` without the program's own arguments. */
  | { readonly kind: "ready"; readonly argv: readonly string[] }
  /** `why`: which toolchain is not there. */
  | { readonly kind: "missing"; readonly why: string };

export interface Recipe {
  /** Absolute paths. */
  readonly sources: readonly string[];
  /** Runs in the folder it builds into, which is `into`. Without: the source is the program. */
  readonly compile?: (sources: readonly string[], into: string) => readonly string[];
  /** For the compiler, beside this process's own; Go builds without cgo unless told. */
  readonly environment?: Readonly<Record<string, string>>;
  /** `built`: the folder; `source`: the first source. */
  readonly run: (built: string, source: string) => readonly string[];
}

/** Where compilers are told to put their result. */
export const compiled = (built: string): readonly string[] => [join(built, "program")];

const COMPILE_TIMEOUT_MS = 120_000;

/** @throws where the compiler is there and refuses the source */
export async function buildProgram(recipe: Recipe): Promise<Built> {
  const { sources } = recipe;
  const source = sources[0] ?? "";
  if (recipe.compile === undefined) {
    const argv = recipe.run("", source);
    const missing = await lacks([argv[0] ?? "", "--version"], "/", {});
    return missing ?? { kind: "ready", argv };
  }
  const command = recipe.compile(sources, "");
  const { environment = {} } = recipe;
  const hash = createHash("sha256").update(JSON.stringify([process.arch, command, environment]));
  for (const path of sources) hash.update(await readFile(path));
  const built = join(await cacheFolder(), hash.digest("hex").slice(0, 32));
  const ready: Built = { kind: "ready", argv: recipe.run(built, source) };
  if (await stat(built).catch(() => undefined)) return ready;
  const making = await mkdtemp(`${built}-`);
  try {
    const missing = await lacks(recipe.compile(sources, making), making, environment);
    if (missing !== undefined) return missing;
    // Another process may have been first: its result is the same.
    await rename(making, built).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
    return ready;
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}

/** Runs a command; a Built when its program is not there or may not be run. */
async function lacks(
  command: readonly string[],
  cwd: string,
  environment: Readonly<Record<string, string>>,
): Promise<Built | undefined> {
  const [program = "", ...argv] = command;
  const env = {
    ...process.env,
    CGO_ENABLED: "0",
    GOTOOLCHAIN: "local",
    ...(process.env.HOME === undefined ? { GOCACHE: join(await cacheFolder(), "go") } : {}),
    ...environment,
  };
  try {
    await promisify(execFile)(program, argv, { cwd, env, timeout: COMPILE_TIMEOUT_MS });
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "EACCES") throw error;
    return { kind: "missing", why: `${program} is not installed` };
  }
}

async function cacheFolder(): Promise<string> {
  const uid = process.getuid?.();
  const folder = join(tmpdir(), `inpod-witness-${uid}`);
  await mkdir(folder, { mode: 0o700, recursive: true });
  // The temporary folder is everybody's: what others may have put there must not be run.
  const { uid: owner, mode } = await stat(folder);
  if (owner !== uid || (mode & 0o022) !== 0) throw new Error(`${folder} belongs to somebody else`);
  return folder;
}
