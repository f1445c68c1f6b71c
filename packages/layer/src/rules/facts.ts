/**
 * Where the developer's things are on this machine, for path-rules.ts. The only file of the rules
 * that looks at the machine, through functions that its caller gives it: `thisMachine()` has the usual ones.
 */
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { posix } from "node:path";
import type { ByteString } from "@inpod/protocol";
import { textToBytes } from "./match.ts";
import type { PathFacts } from "./path-rules.ts";

/** The machine as facts.ts sees it. Paths in and out are JavaScript strings, as node:fs has them. */
export interface MachineView {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of the user's process; without symbolic links, as getcwd(2) gives it. */
  readonly cwd: string;
  /** Absolute path of the command that is going to be run, found on PATH by the caller. */
  readonly executable: string;
  readonly exists: (path: string) => boolean;
  /** `undefined` when it cannot be read or is longer than `limitBytes`. */
  readonly readFile: (path: string, limitBytes: number) => string | undefined;
  /** All symbolic links resolved; `undefined` when there is no such file. */
  readonly realpath: (path: string) => string | undefined;
}

/** What is here, by node:fs. */
export const thisMachine = (
  program: Pick<MachineView, "env" | "cwd" | "executable">,
): MachineView => ({ ...program, exists: existsSync, readFile: readSmallFile, realpath });

function readSmallFile(path: string, limitBytes: number): string | undefined {
  try {
    return statSync(path).size > limitBytes ? undefined : readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function realpath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** Bytes: the largest package.json or Cargo.toml that is searched for a workspace. */
const MAX_MANIFEST = 1024 * 1024;

/** Bytes: the largest executable that can be a script. */
const MAX_SCRIPT = 1024 * 1024;

/** Entries of PATH that are looked at; a longer PATH is somebody's accident. */
const MAX_PATH_ENTRIES = 256;

/** Variables that name a directory (or a ":"-list of them) or a file which tools read. */
const TOOLCHAIN_VARIABLES = [
  "GOROOT",
  "GOPATH",
  "GOMODCACHE",
  "GOCACHE",
  "CARGO_HOME",
  "CARGO_TARGET_DIR",
  "RUSTUP_HOME",
  "JAVA_HOME",
  "MAVEN_HOME",
  "M2_HOME",
  "GRADLE_HOME",
  "GRADLE_USER_HOME",
  "PYTHONHOME",
  "PYTHONPATH",
  "PYENV_ROOT",
  "VIRTUAL_ENV",
  "CONDA_PREFIX",
  "NODE_PATH",
  "NVM_DIR",
  "VOLTA_HOME",
  "PNPM_HOME",
  "NPM_CONFIG_PREFIX",
  "npm_config_prefix",
  "npm_config_cache",
  "BUN_INSTALL",
  "DENO_DIR",
  "GEM_HOME",
  "GEM_PATH",
  "BUNDLE_PATH",
  "DOTNET_ROOT",
  "ASDF_DATA_DIR",
  "XDG_CACHE_HOME",
  "XDG_CONFIG_HOME",
  "XDG_DATA_HOME",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
  "REQUESTS_CA_BUNDLE",
  "CURL_CA_BUNDLE",
] as const;

/** Programs whose installation is found by following them from PATH through their links. */
const TOOLCHAIN_PROGRAMS = [
  "node",
  "npm",
  "python3",
  "python",
  "go",
  "cargo",
  "rustc",
  "java",
  "javac",
  "mvn",
  "gradle",
  "ruby",
  "php",
  "dotnet",
  "deno",
  "bun",
] as const;

/** Below an installation's prefix, where its programs lie. */
const PROGRAM_DIRECTORIES = new Set(["bin", "sbin", "shims"]);

export function gatherFacts(machine: MachineView): PathFacts {
  const { env } = machine;
  const cwd = absolute(machine.cwd);
  const home = absolute(env.HOME);
  const projectRoot = cwd === undefined ? undefined : findProjectRoot(cwd, machine);
  const pathDirectories = pathEntries(machine);
  return {
    home: toBytes(home),
    cwd: toBytes(cwd),
    projectRoot: toBytes(projectRoot),
    executable: textToBytes(machine.executable),
    pathDirectories: pathDirectories.map(textToBytes),
    toolchains: [
      ...fromVariables(machine),
      ...fromPrograms(machine, pathDirectories),
      ...fromExecutable(machine, pathDirectories),
    ].map(({ path, why }) => ({ path: textToBytes(path), why })),
    tempDirectory: toBytes(absolute(env.TMPDIR) ?? "/tmp"),
    runtimeDirectory: toBytes(absolute(env.XDG_RUNTIME_DIR)),
  };
}

interface Toolchain {
  readonly path: string;
  readonly why: string;
}

/** Normalised; `undefined` for what is relative, and for "/", which as a prefix would claim everything. */
function absolute(path: string | undefined): string | undefined {
  if (path === undefined || !path.startsWith("/") || path.includes("\0")) return undefined;
  const normalised = posix.resolve(path);
  return normalised === "/" ? undefined : normalised;
}

const toBytes = (path: string | undefined): ByteString | null =>
  path === undefined ? null : textToBytes(path);

/** Those that are there: above one that is not, /app may be a directory that only the pod has. */
function pathEntries({ env, exists, realpath }: MachineView): string[] {
  const entries = (env.PATH ?? "").split(":").slice(0, MAX_PATH_ENTRIES);
  const found = entries.flatMap((entry) => {
    const path = absolute(entry);
    if (path === undefined || !exists(path)) return [];
    return [path, absolute(realpath(path)) ?? path];
  });
  return [...new Set(found)];
}

function fromVariables({ env }: MachineView): Toolchain[] {
  return TOOLCHAIN_VARIABLES.flatMap((name) =>
    (env[name] ?? "").split(":").flatMap((entry) => {
      const path = absolute(entry);
      return path === undefined ? [] : [{ path, why: `a directory of the developer's ${name}` }];
    }),
  );
}

function fromPrograms(machine: MachineView, pathDirectories: readonly string[]): Toolchain[] {
  return TOOLCHAIN_PROGRAMS.flatMap((name) => {
    const directory = pathDirectories.find((entry) => machine.exists(`${entry}/${name}`));
    if (directory === undefined) return [];
    return installation(`${directory}/${name}`, machine).map((path) => ({
      path,
      why: `where the developer's ${name} is installed`,
    }));
  });
}

/** The command may be named by its path: /workspaces/p/.venv/bin/python, /tools/jdk/bin/java. */
function fromExecutable(machine: MachineView, pathDirectories: readonly string[]): Toolchain[] {
  const found = (program: string, why: string): Toolchain[] =>
    installation(program, machine).map((path) => ({ path, why }));
  const interpreter = interpreterOf(machine, pathDirectories);
  return [
    ...found(machine.executable, "where the program is installed"),
    ...(interpreter === undefined ? [] : found(interpreter, "where its interpreter is installed")),
  ];
}

/** Of a script: `#!/data/venv/bin/python3`, `#!/usr/bin/env node`. */
function interpreterOf(
  { executable, exists, readFile }: MachineView,
  pathDirectories: readonly string[],
): string | undefined {
  const [, line = ""] = /^#!([^\n]*)/.exec(readFile(executable, MAX_SCRIPT) ?? "") ?? [];
  const [program = "", ...rest] = line.trim().split(/\s+/);
  if (posix.basename(program) !== "env") return absolute(program);
  const name = rest.find((word) => !word.startsWith("-") && !word.includes("="));
  if (name === undefined || name.includes("/")) return absolute(name);
  const directory = pathDirectories.find((entry) => exists(`${entry}/${name}`));
  return directory === undefined ? undefined : `${directory}/${name}`;
}

/**
 * The prefix of a program as it is named and with its links resolved: a venv's python is a link,
 * and both the venv and the interpreter's own tree are needed. A prefix directly below "/" is
 * left out: /app/bin/server would make all of the pod's /app the developer's.
 */
function installation(program: string, { realpath }: MachineView): string[] {
  const resolved = realpath(program) ?? program;
  const prefixes = [program, resolved].flatMap((path) => {
    const directory = posix.dirname(path);
    if (!PROGRAM_DIRECTORIES.has(posix.basename(directory))) return [];
    const prefix = posix.dirname(directory);
    return posix.dirname(prefix) === "/" ? [] : [prefix];
  });
  return [...new Set(prefixes)];
}

/** The nearest directory from `cwd` upwards that is a repository or a workspace; never "/". */
function findProjectRoot(cwd: string, machine: MachineView): string | undefined {
  for (let directory = cwd; directory !== "/"; directory = posix.dirname(directory)) {
    if (isProjectRoot(directory, machine)) return directory;
  }
  return undefined;
}

/** Files that by being there make their directory a project's root. */
const ROOT_MARKERS = [
  ".git",
  ".hg",
  "go.work",
  "pnpm-workspace.yaml",
  "settings.gradle",
  "settings.gradle.kts",
];

function isProjectRoot(directory: string, { exists, readFile }: MachineView): boolean {
  if (ROOT_MARKERS.some((name) => exists(`${directory}/${name}`))) return true;
  const manifest = readFile(`${directory}/package.json`, MAX_MANIFEST);
  if (manifest !== undefined && hasWorkspaces(manifest)) return true;
  const cargo = readFile(`${directory}/Cargo.toml`, MAX_MANIFEST);
  return cargo !== undefined && /^[ \t]*\[[ \t]*workspace[ \t]*[.\]]/m.test(cargo);
}

function hasWorkspaces(manifest: string): boolean {
  try {
    const parsed: unknown = JSON.parse(manifest);
    return typeof parsed === "object" && parsed !== null && "workspaces" in parsed;
  } catch {
    // A package.json that is being edited: npm will say what is wrong with it.
    return false;
  }
}
