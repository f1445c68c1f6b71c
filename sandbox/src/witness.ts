/**
 * Witness programs: the same small program in many languages, to be run in the pod and through inpod, where it
 * must observe the same. Sources and their arguments: sandbox/witness/.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export type Witness =
  /** `argv` without the program's own arguments. */
  | { readonly kind: "ready"; readonly argv: readonly string[] }
  /** `why`: which toolchain is not there. */
  | { readonly kind: "missing"; readonly why: string };

interface Recipe {
  readonly sources: readonly string[];
  /** Runs in the folder it builds into, which is `into`. Without: the source is the program. */
  readonly compile?: (sources: readonly string[], into: string) => readonly string[];
  /** `built`: the folder; `source`: the first source. */
  readonly run: (built: string, source: string) => readonly string[];
}

const compiled = (built: string): readonly string[] => [join(built, "program")];
const c = (compiler: string, source: string, ...flags: readonly string[]): Recipe => ({
  sources: [source, "errno.h"],
  compile: ([path = ""]) => [
    compiler,
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    ...flags,
    "-o",
    "program",
    path,
  ],
  run: compiled,
});
/** Static: they run in the pod, too, whatever libraries it has. */
const talk = (name: string): Recipe => ({
  ...c("cc", `talk/${name}.c`, "-static", "-pthread"),
  sources: [`talk/${name}.c`, "talk/talk.h"],
});
const go = (source: string): Recipe => ({
  sources: [source],
  compile: ([path = ""]) => ["go", "build", "-o", "program", path],
  run: compiled,
});
const java = (name: string): Recipe => ({
  sources: [`${name}.java`],
  compile: ([path = ""]) => ["javac", "-d", ".", path],
  run: (built) => ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", built, name],
});
const node = (source: string): Recipe => ({
  sources: [source],
  run: (_, path) => [process.execPath, path],
});
const python = (source: string): Recipe => ({
  sources: [source],
  run: (_, path) => ["python3", path],
});

const RECIPES = {
  "c-client": c("cc", "client.c"),
  "musl-client": c("musl-gcc", "client.c", "-static"),
  "go-client": go("client.go"),
  "node-client": node("client.mjs"),
  "python-client": python("client.py"),
  "java-client": java("Client"),
  "rust-client": {
    sources: ["client.rs"],
    compile: ([path = ""]) => ["rustc", "--edition", "2021", "-o", "program", path],
    run: compiled,
  },
  "go-server": go("server.go"),
  "node-server": node("server.mjs"),
  "python-server": python("server.py"),
  "java-server": java("Server"),
  "c-udp": c("cc", "udp.c"),
  "go-udp": go("udp.go"),
  "node-udp": node("udp.mjs"),
  "python-udp": python("udp.py"),
  "go-http2": go("http2.go"),
  "go-grpc": {
    sources: ["grpc/main.go", "grpc/go.mod", "grpc/go.sum"],
    // A module of its own, because it has dependencies.
    compile: ([path = ""], into) => [
      ...["go", "build", "-C", dirname(path), "-buildvcs=false"],
      ...["-o", join(into, "program"), "."],
    ],
    run: compiled,
  },
  "c-facts": c("musl-gcc", "facts.c", "-static"),
  "node-facts": node("facts.mjs"),
  "python-facts": python("facts.py"),
  "c-nonblock50": c("cc", "nonblock50.c"),
  "node-nonblock50": node("nonblock50.mjs"),
  "c-interrupted": c("cc", "interrupted.c", "-static"),
  "talk-peer": talk("peer"),
  "talk-out": talk("out"),
} as const satisfies Readonly<Record<string, Recipe>>;

export type WitnessName = keyof typeof RECIPES;
export const witnessNames = Object.keys(RECIPES) as readonly WitnessName[];

const COMPILE_TIMEOUT_MS = 120_000;
const building = new Map<WitnessName, Promise<Witness>>();

/**
 * Builds a witness once: the result is kept in a folder of this user under the temporary folder, by the hash of its
 * source, and shared by later runs.
 *
 * @throws where the compiler is there and refuses the source
 */
export function buildWitness(name: WitnessName): Promise<Witness> {
  const known = building.get(name) ?? build(RECIPES[name]);
  building.set(name, known);
  return known;
}

async function build(recipe: Recipe): Promise<Witness> {
  const sources = recipe.sources.map((file) =>
    fileURLToPath(new URL(`../witness/${file}`, import.meta.url)),
  );
  const source = sources[0] ?? "";
  if (recipe.compile === undefined) {
    const argv = recipe.run("", source);
    const missing = await lacks([argv[0] ?? "", "--version"], "/");
    return missing ?? { kind: "ready", argv };
  }
  const command = recipe.compile(sources, "");
  const hash = createHash("sha256").update(JSON.stringify([process.arch, command]));
  for (const path of sources) hash.update(await readFile(path));
  const built = join(await cacheFolder(), hash.digest("hex").slice(0, 32));
  const ready: Witness = { kind: "ready", argv: recipe.run(built, source) };
  if (await stat(built).catch(() => undefined)) return ready;
  const making = await mkdtemp(`${built}-`);
  try {
    const missing = await lacks(recipe.compile(sources, making), making);
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

/** Runs a command; a Witness when its program is not there or may not be run. */
async function lacks(command: readonly string[], cwd: string): Promise<Witness | undefined> {
  const [program = "", ...argv] = command;
  const env = {
    ...process.env,
    CGO_ENABLED: "0",
    GOTOOLCHAIN: "local",
    ...(process.env.HOME === undefined ? { GOCACHE: join(await cacheFolder(), "go") } : {}),
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
