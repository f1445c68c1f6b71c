/** The program that somebody wants to run, looked at and not started. */
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from "node:fs";
import { UserError } from "@inpod/protocol";
import { type CheckedCommand, checkCommand } from "../../command.ts";
import { type ElfFacts, parseElf } from "./elf.ts";

export type ProgramFacts =
  | { readonly kind: "not-startable"; readonly error: UserError }
  | {
      readonly kind: "startable";
      /** As the user wrote it. */
      readonly command: readonly [string, ...string[]];
      readonly executable: string;
      /** Of a script its interpreter. */
      readonly program: string;
      readonly isSetId: boolean;
      /** Undefined: it cannot be read, or is no ELF file. */
      readonly elf: ElfFacts | undefined;
      /** The ELF file's loader is on this machine. */
      readonly hasLoader: boolean;
      readonly architecture: string;
      /** Build daemons that run already. */
      readonly daemons: readonly { readonly pid: number; readonly name: string }[];
    };

const SET_ID = 0o6000;

export function gatherProgram(
  command: readonly [string, ...string[]],
  path: string | undefined,
  directory: string,
): ProgramFacts {
  let checked: CheckedCommand;
  try {
    checked = checkCommand(command[0], path, directory);
  } catch (error) {
    if (error instanceof UserError) return { kind: "not-startable", error };
    throw error;
  }
  const { executable, program } = checked;
  const elf = elfOf(program);
  return {
    kind: "startable",
    command,
    executable,
    program,
    isSetId: (statSync(program).mode & SET_ID) !== 0,
    elf,
    hasLoader: elf?.loader === undefined || existsSync(elf.loader),
    architecture: process.arch,
    daemons: runningDaemons(),
  };
}

function elfOf(file: string): ElfFacts | undefined {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return undefined; // executable and not readable: fine for the kernel
  }
  try {
    return parseElf((offset, bytes) => {
      const into = Buffer.alloc(bytes);
      return into.subarray(0, readSync(fd, into, 0, bytes, offset));
    });
  } finally {
    closeSync(fd);
  }
}

/** By their command lines: what each calls its server. */
const DAEMONS: readonly (readonly [name: string, commandLine: RegExp])[] = [
  ["gradle", /org\.gradle\.launcher\.daemon\.bootstrap\.GradleDaemon/],
  ["mvnd", /org\.mvndaemon\.mvnd\.daemon/],
  ["bazel", /^bazel\(|A-server\.jar/],
  ["nx", /nx\/src\/daemon\/server\/start/],
];

export const daemonOf = (commandLine: string): string | undefined =>
  DAEMONS.find(([, pattern]) => pattern.test(commandLine))?.[0];

function runningDaemons(): { pid: number; name: string }[] {
  let entries: string[];
  try {
    entries = readdirSync("/proc");
  } catch {
    return []; // no Linux
  }
  return entries
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((entry) => {
      try {
        const words = readFileSync(`/proc/${entry}/cmdline`, "latin1").replaceAll("\0", " ");
        const name = daemonOf(words);
        return name === undefined ? [] : [{ pid: Number(entry), name }];
      } catch {
        return []; // it has ended meanwhile
      }
    });
}
