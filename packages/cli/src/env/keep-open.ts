/** A session that stays: programs which others start with its variables are in the place of the target. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { keepPaths, preloadLibrary, type Served } from "@inpod/layer";
import { checkPlatform } from "@inpod/layer/platform";
import { UserError } from "@inpod/protocol";
import { tuneForRelaying } from "@inpod/session";
import type { ResolvedConfig } from "../config/resolve.ts";
import { checkEnvironment, toBytes } from "../exec/environment.ts";
import { endPrograms, portHeld, sessionLost, signalTree } from "../exec/lost.ts";
import { inPlace, type Place } from "../exec/place.ts";
import type { Signals } from "../exec/signals.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { Progress } from "../text/progress.ts";
import { wantedTarget } from "../wanted-target.ts";
import type { EnvArguments } from "./arguments.ts";
import type { Variable } from "./formats.ts";
import { vscodeFragment } from "./ide-formats.ts";
import { tell, writeBytes } from "./tell.ts";
import { watchUncovered } from "./uncovered.ts";

interface Wish {
  readonly args: EnvArguments;
  readonly config: ResolvedConfig;
  readonly verbose: boolean;
  readonly io: Io;
  /** Of the command line. */
  readonly words: readonly string[];
}

/** sun_path of unix(7), less the NUL. */
const LONGEST_SOCKET = 107;
const STDOUT = 1;

/** Lasts until a signal, or stdin, ends it. */
export async function keepOpen(
  wish: Wish,
  progress: Progress,
  signals: Signals,
): Promise<CommandResult> {
  const { args, config, verbose, io } = wish;
  checkPlatform();
  if (/[\s:]/.test(preloadLibrary)) throw badPlace(preloadLibrary);
  const target = wantedTarget(config.target, "whose place are programs to take?");
  checkEnvironment(config, io);
  tuneForRelaying({ mayGrow: true });
  const { hasSaidYes } = args;
  const given = { config, target, verbose, hasSaidYes, io };
  return inPlace(given, progress, signals, async (place) => {
    const folder = sessionFolder();
    const output = args.output === undefined ? [] : [resolve(io.directory, args.output)];
    // What is secret, or says that there is a session, goes with us, however we end.
    const keeper = keepPaths(markOf(place), [folder, ...output]);
    try {
      return await serve(wish, place, join(folder, "programs"), { progress, signals });
    } finally {
      for (const path of [folder, ...output]) rmSync(path, { recursive: true, force: true });
      keeper.dismiss();
    }
  });
}

const markOf = ({ sessionId }: Place): string => `INPOD_SESSION=${sessionId}`;

/** Others cannot enter it. */
function sessionFolder(): string {
  const { XDG_RUNTIME_DIR: runtime } = process.env;
  const places = [...(runtime?.startsWith("/") ? [runtime] : []), tmpdir(), "/tmp"];
  let cause: unknown;
  for (const place of places) {
    if (place.length + "/inpod-XXXXXX/programs".length > LONGEST_SOCKET) continue;
    try {
      if (statSync(place).isDirectory()) return mkdtempSync(join(place, "inpod-"));
    } catch (error) {
      cause = error;
    }
  }
  throw new UserError("FILES_NO_PLACE", "there is no directory for the session's socket", {
    cause,
    hints: ["name one that you may write to, by a short path: XDG_RUNTIME_DIR=/path"],
  });
}

interface Talk {
  readonly progress: Progress;
  readonly signals: Signals;
}

async function serve(
  wish: Wish,
  place: Place,
  socketPath: string,
  { progress, signals }: Talk,
): Promise<CommandResult> {
  const { args, config, io } = wish;
  const { session, sessionId, tap, options, environment, isOfSpec, specNames, target } = place;
  const { reporter } = options;
  const say = (text: string): void => progress.say(`inpod: ${text}`);
  const served = await tap.serve({
    ...options,
    socketPath,
    // Of the programs nothing is known yet; this is the developer's, too.
    executable: process.execPath,
    reporter: {
      ...reporter,
      portHeld: (_, because) => {
        say(portHeld(because).message);
        signalTree(sessionId, "SIGTERM");
      },
    },
    onProgram: ({ pid }) => {
      const name = nameOf(pid);
      reporter.notice({ key: `program ${name}`, text: `${name} (${pid}) is in the session` });
    },
    onRefused: (pid, why) =>
      reporter.notice({ key: `refused ${why}`, text: `process ${pid} is not taken: ${why}` }),
  });
  const stopWatching = watchUncovered(sessionId, (pid, name) =>
    say(
      `${name} (${pid}) has the session's variables and runs without it; if it is static: sh -c 'exec PROGRAM'`,
    ),
  );
  const onStop = (): void => say("it does not stop at Ctrl-Z: its programs would stand still");
  process.on("SIGTSTP", onStop);
  try {
    signals.hasBegun();
    const found = { target: target.name, environment, isOfSpec, specNames };
    tell(found, args, io, sessionVariables(place, socketPath));
    if (args.format === "vscode")
      writeBytes(vscodeFragment(resolve(io.directory, args.output ?? ""), wish.words), io);
    // Who reads our output up to its end goes on.
    if (!io.stdout.isTTY) tap.tap.native.silence(STDOUT);
    say(
      "not in it are static programs that are started directly, setuid ones, and those whose environment is cleared: you are told of one that runs without",
    );
    say(
      `ready: programs with these variables are in the place of ${target.name}, until Ctrl-C or SIGTERM`,
    );
    const why = await Promise.race([
      stopped(signals.signal),
      ...(args.endsWithStdin ? [stdinEnded()] : []),
      session.lost,
    ]);
    served.shut();
    await endRunning(served, place, config.onDisconnect, { progress, signals });
    if (why !== undefined) throw sessionLost(why);
    return { code: 0 };
  } finally {
    stopWatching();
    process.off("SIGTSTP", onStop);
    await served.close();
  }
}

/** What still runs when the session ends. */
async function endRunning(
  served: Served,
  { sessionId }: Place,
  onDisconnect: "stop" | "continue",
  { progress }: Talk,
): Promise<void> {
  const { running } = served;
  if (running.length === 0) return;
  const names = running.map(({ pid }) => `${nameOf(pid)} (${pid})`).join(", ");
  if (onDisconnect === "continue") {
    served.leaveRest();
    progress.say(`inpod: they go on without the pod (on_disconnect: "continue"): ${names}`);
    return;
  }
  progress.say(`inpod: ended with the session (on_disconnect: "stop"): ${names}`);
  await endPrograms(
    sessionId,
    running.map(({ ended }) => ended),
  );
}

function sessionVariables({ options, sessionId }: Place, socketPath: string): Variable[] {
  const { LD_PRELOAD: own } = options.environment;
  const preload = toBytes(preloadLibrary);
  return [
    { name: "LD_PRELOAD", value: own ? `${preload}:${own}` : preload },
    { name: "INPOD_PRELOAD", value: toBytes(`${process.pid}:${socketPath}`) },
    { name: "INPOD_SESSION", value: sessionId },
  ].map((variable) => ({ ...variable, from: "session" as const }));
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "a program";
  }
}

const stopped = (signal: AbortSignal): Promise<undefined> =>
  new Promise((done) => {
    if (signal.aborted) done(undefined);
    else signal.addEventListener("abort", () => done(undefined), { once: true });
  });

const stdinEnded = (): Promise<undefined> =>
  new Promise((done) => {
    process.stdin.once("end", () => done(undefined));
    process.stdin.once("error", () => done(undefined));
    process.stdin.resume();
  });

const badPlace = (path: string): UserError =>
  new UserError("PRELOAD_PATH", `programs cannot load ${path}`, {
    cause: new Error("in LD_PRELOAD a space or a colon ends a path (ld.so(8))"),
    hints: ["install inpod in a directory whose path has neither"],
  });
