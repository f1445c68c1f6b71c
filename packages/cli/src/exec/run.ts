/** `inpod exec`: a session beside the target, and the command in the target's place. */
import type { RunningTree } from "@inpod/layer";
import { tuneHeapForBulk } from "@inpod/session";
import type { CommandResult } from "../result.ts";
import { createProgress, type Progress } from "../text/progress.ts";
import { endWithSession, portHeld, TreeEnd } from "./lost.ts";
import { inPlace, type Place, type PlaceWish } from "./place.ts";
import { Signals } from "./signals.ts";
import { remainingProcesses } from "./tree.ts";

export interface ExecOptions extends PlaceWish {
  /** As the user wrote it: argv of the program. */
  readonly command: readonly [string, ...string[]];
  /** Absolute path of the program. */
  readonly executable: string;
}

/** How often what is left of the tree is looked at after the command itself has ended. */
const TREE_POLL_MS = 250;
/** After so many looks without any of its processes the tree is over, though the kernel has not said so. */
const UNSEEN_POLLS = 4;

/** Runs the command in the place of its target and undoes everything when it has ended. */
export async function runExec(options: ExecOptions): Promise<CommandResult> {
  tuneHeapForBulk({ mayGrow: true });
  const progress = createProgress(options.io);
  const signals = new Signals();
  try {
    return await inPlace(options, progress, signals, (place) =>
      runInPlace(options, place, progress, signals),
    );
  } catch (error) {
    progress.failed();
    if (signals.stoppedBy) return { signal: signals.stoppedBy };
    throw error;
  } finally {
    signals.close();
  }
}

async function runInPlace(
  { config, command, executable }: ExecOptions,
  { tap, options, session, incoming, sessionId }: Place,
  progress: Progress,
  signals: Signals,
): Promise<CommandResult> {
  const end = new TreeEnd(sessionId);
  const tree = await tap.start({
    ...options,
    command,
    executable,
    reporter: { ...options.reporter, portHeld: (_, because) => end.stop(portHeld(because)) },
  });
  endWithSession(session, end, config.onDisconnect, progress);
  const result = await signals.follow(tree, incoming);
  await untilTreeEnds(tree, sessionId, progress);
  await tree.close();
  end.throwIfStopped();
  return result;
}

/**
 * The session lasts as long as the tree, not as the command (`sh -c 'server &'`). Who has left our terminal's
 * session (setsid: build daemons and the like) is left running, natively, by the keeper.
 */
async function untilTreeEnds(
  tree: RunningTree,
  sessionId: string,
  progress: Progress,
): Promise<void> {
  let isOver = false;
  void tree.ended.then(() => {
    isOver = true;
  });
  let isTold = false;
  let unseen = 0;
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve)); // the end is told by another thread
    if (isOver) return;
    const { near, daemons } = remainingProcesses(sessionId);
    // A process in the middle of execve(2) shows no environment: what is not seen is looked for again.
    unseen = near.length === 0 && daemons.length === 0 ? unseen + 1 : 0;
    if (unseen >= UNSEEN_POLLS) return;
    if (near.length === 0 && daemons.length > 0) {
      tree.leaveRest();
      const names = daemons.map(({ pid, name }) => `${name} (${pid})`).join(", ");
      progress.say(`inpod: left running, as daemons of your command: ${names}`);
      return;
    }
    if (!isTold && near.length > 0) {
      isTold = true;
      const names = near.map(({ pid, name }) => `${name} (${pid})`).join(", ");
      progress.say(
        `inpod: the command has ended, what it started goes on in the session: ${names}`,
      );
    }
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      tree.ended,
      new Promise((resolve) => {
        timer = setTimeout(resolve, TREE_POLL_MS);
      }),
    ]);
    clearTimeout(timer);
  }
}
