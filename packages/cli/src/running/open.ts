/** A session's own door, and what happens when somebody asks it to leave. */
import { namespaceOf } from "@inpod/targets";
import type { ResolvedConfig } from "../config/resolve.ts";
import { clusterOptions } from "../configured-cluster.ts";
import type { Io } from "../io.ts";
import type { Progress } from "../text/progress.ts";
import { type Door, openDoor } from "./door.ts";
import type { RunningSession } from "./entry.ts";

/** A program that takes no notice of SIGTERM, as an interactive shell, is told that its terminal is closed. */
const PATIENCE_MS = 5_000;

/** @param place in which cluster; undefined: in none */
export function openSessionDoor(
  sessionId: string,
  what: Pick<RunningSession, "mode" | "target" | "pod">,
  place: { readonly config: ResolvedConfig; readonly context: string } | undefined,
  { env }: Io,
): Door {
  const sinceMs = Date.now();
  const entry = async (): Promise<RunningSession> => {
    const namespace =
      place && (await namespaceOf(clusterOptions(place.config)).catch(() => undefined));
    const where = { namespace: place?.config.namespace ?? namespace, context: place?.context };
    return { pid: process.pid, sessionId, ...what, ...where, sinceMs };
  };
  return openDoor(sessionId, entry(), env, leave);
}

/** As by a signal from elsewhere: whoever listens for those ends the session as for them. */
function leave(): void {
  deliver("SIGTERM");
  setTimeout(() => deliver("SIGHUP"), PATIENCE_MS).unref();
}

/** Not by kill(2): on Windows that would be the end at once, with nothing undone. */
function deliver(signal: "SIGTERM" | "SIGHUP"): void {
  if (!process.emit(signal, signal)) process.kill(process.pid, signal);
}

export function askedToLeave(from: string, progress: Pick<Progress, "say">): void {
  progress.say(
    `inpod: asked to leave${from === "" ? "" : ` ${from}`} by you (inpod leave --force)`,
  );
  leave();
}
