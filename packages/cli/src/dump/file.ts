/**
 * A file that is whole after each write: what ends it is written behind each piece, and the next one takes its place. So it
 * can be read at any time, and after `kill -9`. Headers and bodies are in it: only its owner may read it.
 */
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  write,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { UserError } from "@inpod/protocol";
import type { Destination } from "./output.ts";

interface Piece {
  readonly text: string;
  readonly taken: (error?: Error | null) => void;
}

export interface Ends {
  readonly begin: string;
  readonly end: string;
}

/** Before anything is made in the cluster. @throws UserError */
export function checkFile(path: string): void {
  try {
    mustBeFile(path);
    accessSync(dirname(path), constants.W_OK);
  } catch (error) {
    throw notWritten(path, error);
  }
}

function mustBeFile(path: string): boolean {
  const known = statSync(path, { throwIfNoEntry: false });
  if (known !== undefined && !known.isFile()) throw new Error("it is there, and no file");
  return known !== undefined;
}

const notWritten = (path: string, cause: unknown): UserError =>
  new UserError("MACHINE_FILE_NOT_WRITTEN", `cannot write ${path}`, {
    cause,
    hints: ["name another: --file FILE; without it: stdout"],
  });

/** One that is there is replaced, as a whole. @throws UserError */
export function toFile(path: string, { begin, end }: Ends): Destination {
  const fd = create(path, begin + end);
  let size = Buffer.byteLength(begin);
  let isWriting = false;
  const pieces: Piece[] = [];
  const next = (): void => {
    const piece = pieces.shift();
    isWriting = piece !== undefined;
    if (piece === undefined) return;
    const bytes = Buffer.from(piece.text + end);
    writeAll(fd, bytes, size, (error) => {
      size += bytes.length - Buffer.byteLength(end);
      piece.taken(error);
      next();
    });
  };
  return {
    write: (text, taken) => {
      pieces.push({ text, taken });
      if (!isWriting) next();
    },
    close: () => {
      if (!isWriting) closeSync(fd);
    },
  };
}

function writeAll(
  fd: number,
  bytes: Buffer,
  position: number,
  done: (error: Error | null) => void,
): void {
  write(fd, bytes, 0, bytes.length, position, (error, written) => {
    if (error || written === bytes.length) done(error);
    else writeAll(fd, bytes.subarray(written), position + written, done);
  });
}

function create(path: string, text: string): number {
  const temporary = `${path}.${process.pid}.part`;
  let fd: number | undefined;
  try {
    const isThere = mustBeFile(path);
    fd = openSync(temporary, "wx", 0o600);
    writeSync(fd, text);
    renameSync(temporary, isThere ? realpathSync(path) : path);
    return fd;
  } catch (error) {
    if (fd !== undefined) {
      closeSync(fd);
      rmSync(temporary, { force: true });
    }
    throw notWritten(path, error);
  }
}
