/** The sessions of this user that run on this machine, as they say themselves. */
import { readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { doorsFolder, remove, socketOf } from "./door.ts";
import { parseEntry, type RunningSession } from "./entry.ts";

/** A session that runs answers at once; one that is just beginning when its target is found. */
const ANSWER_MS = 3_000;
const MAX_ANSWER = 64 * 1024;

export interface Visit {
  readonly session: RunningSession;
  /** Asks it to end. Resolves with whether its process has ended within the time. */
  leave(timeoutMs: number): Promise<boolean>;
  close(): void;
}

export interface Visited {
  readonly visits: readonly Visit[];
  /** Processes that are there and do not answer: stopped ones (Ctrl-Z). */
  readonly silent: readonly number[];
}

/** Whoever calls closes the visits. Doors of processes that have ended are taken away. */
export async function visitAll(env: NodeJS.ProcessEnv): Promise<Visited> {
  const folder = doorsFolder(env);
  const names = folder === undefined ? [] : namesIn(folder);
  const silent: number[] = [];
  const found = await Promise.all(
    names.map(async (name): Promise<Visit | undefined> => {
      const pid = Number(/^\d+/.exec(name)?.[0]);
      if (pid === process.pid || folder === undefined) return undefined;
      const answer = await visit(socketOf(folder, name));
      if (answer.kind === "open") return answer.visit;
      // It is being opened by a process that is there, or that has got the number since: then it stays for a while.
      if (answer.kind === "refused" && !isThere(pid)) remove(folder, name);
      if (answer.kind === "silent") silent.push(pid);
      return undefined;
    }),
  );
  const visits = found.filter((each) => each !== undefined);
  return { visits: visits.sort((a, b) => a.session.sinceMs - b.session.sinceMs), silent };
}

type Answer =
  | { readonly kind: "open"; readonly visit: Visit }
  | { readonly kind: "refused" | "silent" | "other" };

function visit(path: string): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let said = "";
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      socket.off("data", onData);
      if (answer.kind !== "open") socket.destroy();
      resolve(answer);
    };
    const onData = (text: unknown): void => {
      said += String(text);
      const at = said.indexOf("\n");
      if (at < 0 && said.length < MAX_ANSWER) return;
      const session = at < 0 ? undefined : parseEntry(said.slice(0, at));
      end(session === undefined ? { kind: "other" } : opened(socket, session));
    };
    const timer = setTimeout(() => end({ kind: "silent" }), ANSWER_MS);
    socket.setEncoding("utf8").on("data", onData);
    socket.on("error", ({ code }: NodeJS.ErrnoException) =>
      end({ kind: code === "ECONNREFUSED" || code === "ENOENT" ? "refused" : "other" }),
    );
    socket.on("close", () => end({ kind: "other" }));
  });
}

function opened(socket: Socket, session: RunningSession): Answer {
  const closed = new Promise<true>((resolve) => {
    socket.on("close", () => resolve(true)).resume();
  });
  const leave = async (timeoutMs: number): Promise<boolean> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
    });
    socket.write("leave\n");
    const hasEnded = await Promise.race([closed, late]);
    clearTimeout(timer);
    return hasEnded;
  };
  return { kind: "open", visit: { session, leave, close: () => socket.destroy() } };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+-[0-9a-f]+$/.test(name));
  } catch {
    return [];
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
