/** Processes that outlive a sudden end of this one, to undo or take over what is left (../native/keeper). */
import { spawn } from "node:child_process";
import { Socket } from "node:net";
import { join } from "node:path";
import { artifacts } from "./native.ts";

export interface Keeper {
  /** What is left of its tree goes on natively after our end. */
  leaveRest(): void;
  /** There is nothing to be kept any more. */
  dismiss(): void;
}

export interface KeptTree {
  readonly listener: number;
  /** The memory of held calls; negative: there is none. */
  readonly heldCalls: number;
  readonly mark: string;
  readonly onDeath?: "stop" | "continue" | undefined;
  readonly folder?: string | undefined;
}

/** A keeper that is killed has a successor; one that cannot even start is not tried for ever. */
const MAX_KEEPERS = 5;

type Stdio = "ignore" | number;

export function keepTree({ listener, heldCalls, mark, onDeath, folder }: KeptTree): Keeper {
  const words = [onDeath ?? "stop", mark, ...(folder === undefined ? [] : [folder])];
  return keep(words, listener, heldCalls < 0 ? "ignore" : heldCalls);
}

/**
 * Removes these, and all that is in them, when this process has ended without having dismissed it.
 *
 * @param mark as a tree's: whose they are
 */
export const keepPaths = (mark: string, paths: readonly string[]): Keeper =>
  keep(["remove", mark, ...paths], "ignore", "ignore");

function keep(words: readonly string[], listener: Stdio, heldCalls: Stdio): Keeper {
  let lifeline: Socket | undefined;
  let leavesRest = false;
  let isDismissed = false;
  let kill: () => void = () => {};
  const start = (number: number): void => {
    // Its own session: the terminal's Ctrl-C is not for it. It never loads what the user preloads.
    const keeper = spawn(join(artifacts, "inpod-keeper"), words, {
      // Nothing of ours: it may outlive us, and whoever reads our output waits for its end.
      stdio: ["ignore", "ignore", "ignore", listener, "pipe", heldCalls],
      detached: true,
      env: {},
      cwd: "/",
    });
    keeper.on("error", () => {}); // without it only our own sudden death would hurt
    keeper.unref();
    kill = () => keeper.kill("SIGKILL");
    const pipe = keeper.stdio[4];
    lifeline = pipe instanceof Socket ? pipe : undefined;
    lifeline?.on("error", () => {}); // EPIPE of one that is gone
    lifeline?.unref();
    keeper.once("exit", (_, signal) => {
      // By itself it ends with the tree.
      if (isDismissed || signal === null || number >= MAX_KEEPERS) return;
      start(number + 1);
      if (leavesRest) lifeline?.write("k");
    });
  };
  start(1);
  return {
    leaveRest() {
      leavesRest = true;
      lifeline?.write("k");
    },
    dismiss() {
      isDismissed = true;
      kill(); // by its lifeline it would learn of an end, and do what is to be done then
    },
  };
}
