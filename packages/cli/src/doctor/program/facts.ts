/** The program that somebody wants to run, looked at and not started. */
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { UserError } from "@inpod/protocol";
import { type CheckedCommand, checkCommand } from "../../command.ts";
import { runningDaemons } from "../../daemons.ts";
import { hasCapability } from "../machine/facts.ts";
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
      /** The filter takes no rights from setuid programs: whoever has CAP_SYS_ADMIN needs no no_new_privs for it. */
      readonly keepsRights: boolean;
      /** Build daemons that run already. */
      readonly daemons: readonly { readonly pid: number; readonly name: string }[];
    };

const SET_ID = 0o6000;
const CAP_SYS_ADMIN = 21n;

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
    keepsRights: keepsRights(),
    daemons: runningDaemons(),
  };
}

function keepsRights(): boolean {
  const status = readFileSync("/proc/self/status", "latin1");
  return hasCapability(status, CAP_SYS_ADMIN) && /^NoNewPrivs:\s*0$/m.test(status);
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
