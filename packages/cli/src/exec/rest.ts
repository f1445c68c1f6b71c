/**
 * What is left of the tree when its command has ended. The session lasts as long as what stays in our terminal's session
 * (`sh -c 'server &'`). Who has left that (setsid(2): daemons) is left running, natively, by the keeper.
 */
import type { RunningTree } from "@inpod/layer";
import { commandLineOf, daemonOf, KNOWN_DAEMONS } from "../daemons.ts";
import type { Progress } from "../text/progress.ts";
import type { Signals } from "./signals.ts";
import { remainingProcesses, signalProcesses, type TreeProcess } from "./tree.ts";

/** How often what is left is looked at. */
const TREE_POLL_MS = 250;
/** Daemons that are there at so many looks stay: what ends with its command (tmux kill-server) may need a moment for it. */
const DAEMON_LOOKS = 3;
/** After so many looks without any of its processes the tree is over, though the kernel has not said so. */
const UNSEEN_POLLS = 4;
const MAX_NAMED = 10;

export async function untilTreeEnds(
  tree: Pick<RunningTree, "ended" | "leaveRest">,
  sessionId: string,
  signals: Pick<Signals, "afterCommand">,
  progress: Pick<Progress, "say">,
): Promise<void> {
  let isOver = false;
  void tree.ended.then(() => {
    isOver = true;
  });
  const say = (text: string): void => progress.say(`inpod: ${text}`);
  let endings = 0;
  signals.afterCommand(() => {
    // Of a shell's background jobs many do not mind Ctrl-C.
    if (++endings === 1) signalProcesses(remainingProcesses(sessionId).near, "SIGTERM");
  });
  let isTold = false;
  let looks = 0;
  let daemonLooks = 0;
  let unseen = 0;
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve)); // the end is told by another thread
    if (isOver) return;
    const { near, daemons } = remainingProcesses(sessionId);
    // A process in the middle of execve(2) shows no environment: what is not seen is looked for again.
    unseen = near.length === 0 && daemons.length === 0 ? unseen + 1 : 0;
    if (unseen >= UNSEEN_POLLS) return;
    daemonLooks = near.length === 0 && daemons.length > 0 ? daemonLooks + 1 : 0;
    if (daemonLooks >= DAEMON_LOOKS || endings > 1) {
      tree.leaveRest();
      for (const line of leftRunning([...near, ...daemons], commandLineOf)) say(line);
      return;
    }
    // What is about to end with the command is not worth a line.
    if (!isTold && ++looks > 1 && near.length > 0) {
      isTold = true;
      say(
        `the command has ended, what it started goes on in the session: ${named(near)}. Ctrl-C ends it`,
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

/** A line for each kind that is known, and one for the others. */
export function leftRunning(
  left: readonly TreeProcess[],
  commandLine: (pid: number) => string,
): string[] {
  const natively = "with this machine's network and files, not the target's";
  const byKind = new Map<string | undefined, TreeProcess[]>();
  for (const each of left) {
    const kind = daemonOf(commandLine(each.pid), each.name);
    byKind.set(kind, [...(byKind.get(kind) ?? []), each]);
  }
  return [...byKind].map(([kind, processes]) => {
    const known = kind === undefined ? undefined : KNOWN_DAEMONS[kind];
    const goOn = processes.length === 1 ? "it goes on" : "they go on";
    if (known) {
      return `left running: ${known.who}, ${named(processes)}; ${goOn} ${natively}. Without it: ${known.hint}`;
    }
    const pids = processes.map(({ pid }) => pid).slice(0, MAX_NAMED);
    const names = [...new Set(processes.map(({ name }) => name))].slice(0, MAX_NAMED);
    return `left running, as daemons of your command: ${named(processes)}; ${goOn} ${natively}. To end: kill ${pids.join(" ")}. To stay in the session: in the foreground. To be on this machine from the start: --skip-processes ${names.join(",")}`;
  });
}

function named(processes: readonly TreeProcess[]): string {
  const names = processes.slice(0, MAX_NAMED).map(({ pid, name }) => `${name} (${pid})`);
  const more = processes.length - names.length;
  return names.join(", ") + (more > 0 ? ` and ${more} more` : "");
}
