/** Whether the command can be started, found out before anything is created for it. */
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";
import { basename, dirname, isAbsolute, resolve } from "node:path";
import { nearest, UserError } from "@inpod/protocol";

export interface CheckedCommand {
  /** Absolute. */
  readonly executable: string;
  /** What the kernel runs in the end: of a script its interpreter, absolute. */
  readonly program: string;
  /** What will not work as usual under the tap; one line each. */
  readonly warnings: readonly string[];
}

/** glibc's execvp where PATH is not set (confstr _CS_PATH). */
const DEFAULT_PATH = "/bin:/usr/bin";
/** Bytes of a script that the kernel reads for its `#!` line (BINPRM_BUF_SIZE). */
const MAX_SHEBANG = 256;
/** Interpreters that are scripts themselves: execve gives ELOOP beyond (fs/exec.c). */
const MAX_NESTING = 4;
/** Names on PATH that are compared for a suggestion. */
const MAX_NAMES = 20_000;
const ELFCLASS32 = 1;
/** Offset of e_machine (elf(5)), and i386 in it, whose calls the tap translates. */
const E_MACHINE = 18;
const EM_386 = 3;

/** @throws UserError COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE */
export function checkCommand(
  name: string,
  path: string | undefined,
  directory: string,
): CheckedCommand {
  const executable = find(name, path ?? DEFAULT_PATH, directory);
  const program = programOf(executable, path ?? DEFAULT_PATH, directory, 0);
  return { executable, program, warnings: programWarnings(program, readHead(program)) };
}

/** As execvp(3): a name with a slash is a path; on PATH, one that cannot be executed is passed over but remembered. */
function find(name: string, path: string, directory: string): string {
  if (name.includes("/")) {
    const file = resolve(directory, name);
    const why = whyNotExecutable(file);
    if (why === "missing") throw commandNotFound(name, undefined);
    if (why !== undefined) throw commandNotExecutable(file, why);
    return file;
  }
  let refused: readonly [file: string, why: string] | undefined;
  for (const folder of path.split(":")) {
    if (name === "") break;
    // An empty element is the working directory.
    const file = resolve(directory, folder, name);
    if (isClosed(dirname(file))) continue; // as shells do: what cannot be looked into has nothing
    const why = whyNotExecutable(file);
    if (why === undefined) return file;
    if (why !== "missing") refused ??= [file, why];
  }
  if (refused !== undefined) throw commandNotExecutable(...refused);
  throw commandNotFound(name, nearest(name, namesOn(path, directory)));
}

function isClosed(folder: string): boolean {
  try {
    accessSync(folder, constants.X_OK);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES";
  }
}

/** @returns undefined when it is executable, "missing", or the reason */
function whyNotExecutable(file: string): string | undefined {
  let stats: Stats;
  try {
    stats = statSync(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? "missing" : message;
  }
  if (stats.isDirectory()) return "it is a directory";
  if (!stats.isFile()) return "it is no regular file";
  try {
    accessSync(file, constants.X_OK);
  } catch {
    return "it may not be executed (its mode has no x for you, or its file system is mounted noexec)";
  }
  return undefined;
}

/** Looks into the file as execve would; what it cannot read or does not know, the kernel will judge. */
function programOf(file: string, path: string, directory: string, depth: number): string {
  if (depth > MAX_NESTING)
    throw commandNotExecutable(file, "its interpreter is a script, and so on, too many times");
  const head = readHead(file);
  if (head.subarray(0, 2).toString("latin1") !== "#!") return file;
  const [line = ""] = head.subarray(2).toString("utf8").split("\n");
  const [interpreter, argument] = line.trim().split(/[ \t]+/);
  if (!interpreter) throw commandNotExecutable(file, "its #! line names no interpreter");
  if (line.endsWith("\r") && !isThere(resolve(directory, interpreter)))
    throw commandNotExecutable(
      file,
      `its interpreter ${interpreter} is missing, or its lines end in CR LF as on Windows`,
    );
  if (line.endsWith("\r"))
    throw commandNotExecutable(file, "its #! line ends in CR LF as on Windows");
  const why = whyNotExecutable(resolve(directory, interpreter));
  if (why === "missing")
    throw commandNotExecutable(file, `its interpreter ${interpreter} is missing`);
  if (why !== undefined)
    throw commandNotExecutable(file, `its interpreter ${interpreter} cannot run: ${why}`);
  if (basename(interpreter) === "env" && argument !== undefined && /^[^-=/][^=/]*$/.test(argument))
    if (!path.split(":").some((folder) => isThere(resolve(directory, folder, argument))))
      throw commandNotExecutable(file, `its interpreter ${argument} is not on PATH`);
  return programOf(resolve(directory, interpreter), path, directory, depth + 1);
}

function programWarnings(file: string, head: Buffer): string[] {
  const isElf = head.subarray(0, 4).toString("latin1") === "\x7fELF";
  // Setuid ones are named by the tap when they run, if they lose their rights.
  const is32Bit = isElf && head[4] === ELFCLASS32;
  if (!is32Bit || (process.arch === "x64" && head.readUInt16LE(E_MACHINE) === EM_386)) return [];
  return [`${file} is a 32-bit program: inpod does not see its system calls`];
}

function readHead(file: string): Buffer {
  const head = Buffer.alloc(MAX_SHEBANG);
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return head.subarray(0, 0); // executable and not readable: fine for the kernel
  }
  try {
    return head.subarray(0, readSync(fd, head, 0, head.length, 0));
  } finally {
    closeSync(fd);
  }
}

const isThere = (file: string): boolean => whyNotExecutable(file) === undefined;

function namesOn(path: string, directory: string): string[] {
  const names: string[] = [];
  for (const folder of path.split(":")) {
    if (names.length >= MAX_NAMES) break;
    // The working directory's files are no commands that anybody means.
    if (!isAbsolute(folder)) continue;
    try {
      names.push(...readdirSync(resolve(directory, folder)));
    } catch {
      // PATH may well name folders that are not there.
    }
  }
  return names.slice(0, MAX_NAMES);
}

const commandNotFound = (name: string, meant: string | undefined): UserError =>
  new UserError("COMMAND_NOT_FOUND", `no command "${name}"`, {
    cause: name.includes("/") ? "there is no such file" : "it is not in any directory of PATH",
    hints: meant === undefined ? [] : [`did you mean ${meant}?`],
  });

const commandNotExecutable = (file: string, why: string): UserError =>
  new UserError("COMMAND_NOT_EXECUTABLE", `cannot execute ${file}`, { cause: why });
