/**
 * Runtimes that do not come with the machine, from the package registries that the machine's own clients are set up
 * for: into .cache/conformance of the checkout, and as root from the system's packages. Nothing is run at installation.
 */
import { execFile } from "node:child_process";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The command itself, and what stands before its arguments. */
export type Tool =
  | { readonly kind: "ready"; readonly argv: readonly string[]; readonly version: string }
  | { readonly kind: "missing"; readonly why: string };

/** The first, where all of them are there. */
export async function beside(
  tool: Promise<Tool>,
  ...others: readonly Promise<Tool>[]
): Promise<Tool> {
  const [first, ...rest] = await Promise.all([tool, ...others]);
  return rest.find(({ kind }) => kind === "missing") ?? first;
}

const CACHE = fileURLToPath(new URL("../.cache/conformance", import.meta.url));
const INSTALL_TIMEOUT_MS = 300_000;
const VERSION_TIMEOUT_MS = 20_000;
const STDERR_LIMIT_CHARS = 300;

const is = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const running = new Map<string, Promise<string | undefined>>();

/** One installation at a time for each folder. Why it failed, or undefined. */
function once(key: string, install: () => Promise<void>): Promise<string | undefined> {
  const known =
    running.get(key) ??
    install().then(
      () => undefined,
      (error: Error & { stderr?: string }) =>
        (error.stderr || error.message).trim().slice(-STDERR_LIMIT_CHARS).replace(/\s+/g, " "),
    );
  running.set(key, known);
  return known;
}

async function run(argv: readonly string[], cwd: string): Promise<void> {
  const [program = "", ...args] = argv;
  process.stderr.write(`running: ${argv.join(" ")}\n`);
  await promisify(execFile)(program, args, { cwd, timeout: INSTALL_TIMEOUT_MS });
}

/** The first word that looks like a version in what a command says; undefined where there is no such command. */
export async function versionOf(argv: readonly string[]): Promise<string | undefined> {
  const [command = "", ...rest] = argv;
  try {
    const said = await promisify(execFile)(command, rest, { timeout: VERSION_TIMEOUT_MS });
    return /\d+(\.\d+)+[\w.-]*/.exec(said.stdout + said.stderr)?.[0] ?? "unknown";
  } catch (error) {
    const { code } = error as { code?: string | number };
    // 127: what a shell says of a program that is not there.
    if (code !== "ENOENT" && code !== "EACCES" && code !== 127) throw error;
    return undefined;
  }
}

/** What is on the machine already. `version`: a command that prints it, default: with --version. */
export async function installed(
  argv: readonly string[],
  version: readonly string[] = [...argv, "--version"],
): Promise<Tool> {
  const found = await versionOf(version);
  if (found === undefined) return { kind: "missing", why: `${argv[0]} is not installed` };
  return { kind: "ready", argv, version: found };
}

/** A binary that npm's package holds. `wanted`: a version or range. */
export async function fromNpm(name: string, wanted: string, binary: string): Promise<Tool> {
  const folder = join(CACHE, `npm-${name.replace("/", "-")}-${wanted}`);
  const path = join(folder, "node_modules", name, binary);
  const why = await once(folder, async () => {
    if (await is(path)) return;
    await mkdir(folder, { recursive: true });
    const flags = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder];
    await run(["npm", "install", ...flags, `${name}@${wanted}`], folder);
  });
  if (why !== undefined) return { kind: "missing", why: `npm's ${name}@${wanted}: ${why}` };
  return installed([path]);
}

/** A folder for PYTHONPATH with packages of PyPI. */
export async function fromPyPI(
  python: string,
  names: readonly string[],
): Promise<{ kind: "ready"; folder: string } | { kind: "missing"; why: string }> {
  const folder = join(CACHE, `pip-${names.join("-")}`);
  const mark = join(folder, ".complete");
  const why = await once(folder, async () => {
    if (await is(mark)) return;
    const flags = ["--quiet", "--only-binary", ":all:", "--upgrade", "--target", folder];
    await run([python, "-m", "pip", "install", ...flags, ...names], "/");
    await mkdir(mark);
  });
  return why === undefined
    ? { kind: "ready", folder }
    : { kind: "missing", why: `PyPI's ${names.join(", ")}: ${why}` };
}

/** A program of a Go module. `version`: what it prints its version at. */
export async function fromGo(
  path: string,
  wanted: string,
  version: readonly string[],
): Promise<Tool> {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const folder = join(CACHE, `go-${name}-${wanted}`);
  const binary = join(folder, name);
  const why = await once(folder, async () => {
    if (await is(binary)) return;
    await mkdir(folder, { recursive: true });
    await run(["env", `GOBIN=${folder}`, "go", "install", `${path}@${wanted}`], "/");
  });
  if (why !== undefined) return { kind: "missing", why: `Go's ${path}@${wanted}: ${why}` };
  return installed([binary], [binary, ...version]);
}

let queue = Promise.resolve();

/** A program of the system's packages, which only root installs. `version`: as for `installed`. */
export async function fromSystem(
  packages: readonly string[],
  argv: readonly string[],
  version?: readonly string[],
): Promise<Tool> {
  const tool = await installed(argv, version);
  if (tool.kind === "ready") return tool;
  const install = ["apt-get", "install", "-y", "--no-install-recommends", ...packages];
  if (process.getuid?.() !== 0 || (await versionOf(["apt-get", "--version"])) === undefined) {
    return { kind: "missing", why: `${tool.why}; to have it: sudo ${install.join(" ")}` };
  }
  const why = await once(packages.join(" "), () => {
    // The package manager has a lock that it does not wait for.
    queue = queue
      .catch(() => {})
      .then(() => run(["env", "DEBIAN_FRONTEND=noninteractive", ...install], "/"));
    return queue;
  });
  return why === undefined ? installed(argv, version) : { kind: "missing", why };
}
