/** A file of secrets, for one user. */
import { randomBytes } from "node:crypto";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type ByteString, UserError } from "@inpod/protocol";
import type { Io } from "../io.ts";

/**
 * Nobody else can read it at any time, and who reads the path sees the old file or all of the new one. A directory that
 * is missing is made.
 *
 * @throws UserError
 */
export function writePrivate(file: string, content: ByteString, io: Pick<Io, "directory">): void {
  const path = resolve(io.directory, file);
  const aside = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(aside, Buffer.from(content, "latin1"), { mode: 0o600, flag: "wx" });
    renameSync(aside, path);
  } catch (cause) {
    rmSync(aside, { force: true });
    throw new UserError("OUTPUT_FILE", `${path} cannot be written`, {
      cause,
      hints: ["name another file: --output FILE"],
    });
  }
}
