/**
 * The door of a running session, for other commands of the same user on the same machine: a socket in a directory that
 * only he may enter. Who opens it hears what the session is, and may ask it to leave. It is the session itself that
 * answers, so that no process that happens to have its number is ever taken for it.
 *
 *   session → visitor   one line of JSON (entry.ts)
 *   visitor → session   "leave" and a line feed; the connection ends with the session's process
 */
import { mkdirSync, unlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { ownFolder } from "../own-folder.ts";
import type { RunningSession } from "./entry.ts";

/** Bytes that sun_path holds on macOS; Linux has four more. */
const LONGEST_SOCKET = 103;
const LEAVE = "leave\n";
/** Each is a command of the same user's that waits for us. */
const MAX_VISITORS = 64;
const isWindows = process.platform === "win32";

/** `folder`: of the files by which sessions are found. Undefined where there is no such place. */
export function doorsFolder(env: NodeJS.ProcessEnv): string | undefined {
  const own = ownFolder(env);
  if (own === undefined) return undefined;
  const folder = join(own, "sessions");
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") return undefined;
  }
  return folder;
}

/** Windows has its pipes in a name space of their own: there the file only says that there is one. */
export const socketOf = (folder: string, name: string): string =>
  isWindows ? `\\\\.\\pipe\\inpod-${name}` : join(folder, name);

export interface Door {
  close(): void;
}

/**
 * Opens it; a session without one works as well, and is only not seen.
 *
 * @param entry may become known later: until then visitors wait
 * @param onLeave once
 */
export function openDoor(
  sessionId: string,
  entry: Promise<RunningSession>,
  env: NodeJS.ProcessEnv,
  onLeave: () => void,
): Door {
  const folder = doorsFolder(env);
  if (folder === undefined) return { close: () => {} };
  const name = `${process.pid}-${sessionId}`;
  const path = socketOf(folder, name);
  if (!isWindows && path.length > LONGEST_SOCKET) return { close: () => {} };
  let isLeaving = false;
  const server = createServer((visitor) => {
    visitor.on("error", () => {}).setEncoding("utf8");
    visitor.unref();
    let said = "";
    visitor.on("data", (text) => {
      said = (said + String(text)).slice(0, LEAVE.length);
      if (said !== LEAVE || isLeaving) return;
      isLeaving = true;
      onLeave();
    });
    entry.then(
      (known) => visitor.write(`${JSON.stringify(known)}\n`),
      () => visitor.destroy(),
    );
  });
  server.maxConnections = MAX_VISITORS;
  server.on("error", () => {}).unref();
  server.listen(path);
  if (isWindows) mark(folder, name, server);
  return {
    close() {
      server.close();
      if (isWindows) remove(folder, name);
    },
  };
}

function mark(folder: string, name: string, server: Server): void {
  server.once("listening", () => {
    try {
      writeFileSync(join(folder, name), "");
    } catch {
      // Nobody finds it.
    }
  });
}

export function remove(folder: string, name: string): void {
  try {
    unlinkSync(join(folder, name));
  } catch {
    // Somebody else has done it.
  }
}
