/** Starts a command under the tap's filter, with a keeper beside it. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { artifacts } from "./native.ts";
import type { Tap } from "./tap.ts";

/** Bits, as in filter.h. */
const FILTER_GROUPS = { network: 1, files: 2, hostname: 4 } as const;
export type FilterGroup = keyof typeof FILTER_GROUPS;

/** Two receivers: one alone falls behind a thousand threads, four bring nothing more. */
const RECEIVERS = 2;
const HANDOVER_TIMEOUT_MS = 5000;

export interface LaunchOptions {
  /** An absolute path, or a name that is looked up on PATH. */
  readonly command: readonly [file: string, ...args: string[]];
  /** What the program sees as argv[0]; the file when left out. */
  readonly argv0?: string;
  /** All of its variables; names and values are bytes: latin1, one in each char, no NUL. */
  readonly environment: Readonly<Record<string, string>>;
  readonly groups: readonly FilterGroup[];
  /** "NAME=value", present in `environment`: how the keeper knows the processes of this tree. */
  readonly mark: string;
  /**
   * What happens to the tree when this process is killed: it ends, or goes on natively, with the calls that were
   * held then. Left out: "stop".
   */
  readonly onDeath?: "stop" | "continue";
  /** A directory that is removed, with all that is in it, when this process has ended without removing it. */
  readonly folder?: string;
  readonly stdio?: "inherit" | "pipe";
  readonly cwd?: string;
}

export interface LaunchedTree {
  /** The command itself: our own child, so signals, job control and exit codes are as without inpod. */
  readonly child: ChildProcess;
  /** Lets the keeper go on serving what is left of the tree natively, after we have ended. */
  leaveRest(): void;
}

/** The tap could not be set up; `errno` names the refused door. */
export class TapError extends Error {
  readonly errno: string;
  constructor(errno: string, what: string) {
    super(`${what}: ${errno}`);
    this.errno = errno;
  }
}

export async function launch(tap: Tap, options: LaunchOptions): Promise<LaunchedTree> {
  const { native } = tap;
  const pair = native.socketPair();
  if (typeof pair === "number") throw new TapError(getSystemErrorName(pair), "socketpair");
  const [control, theirs] = pair;
  const variables = native.environmentFile(environmentBytes(options.environment));
  if (variables < 0) {
    for (const fd of pair) native.close(fd);
    throw new TapError(getSystemErrorName(variables), "memfd_create");
  }
  const softLimit = native.raiseFileLimit();
  const groups = options.groups.reduce((mask, group) => mask | FILTER_GROUPS[group], 0);
  const stdio = options.stdio ?? "inherit";
  const [file, ...args] = options.command;
  const child = spawn(
    join(artifacts, "inpod-launch"),
    ["3", "4", String(groups), String(softLimit), file, options.argv0 ?? file, ...args],
    {
      stdio: [stdio, stdio, stdio, theirs, variables],
      env: {},
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    },
  );
  native.close(theirs);
  native.close(variables);
  try {
    await once(child, "spawn"); // rejects with the child's error
    const listener = await receiveListener(tap, control);
    const keeper = startKeeper(native.heldCalls(), listener, options);
    const failed = native.receive(listener, RECEIVERS);
    if (failed < 0) throw new TapError(getSystemErrorName(failed), "starting the tap's threads");
    native.writeByte(control); // the launcher becomes the command only now
    return { child, leaveRest: () => keeper.leaveRest() };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  } finally {
    native.close(control);
  }
}

/** As in /proc/PID/environ. @throws TypeError where bytes are none, or one is NUL */
function environmentBytes(environment: LaunchOptions["environment"]): Buffer {
  const entries = Object.entries(environment).map(([name, value]) => {
    const entry = `${name}=${value}`;
    if (entry.includes("\0") || Buffer.from(entry, "latin1").toString("latin1") !== entry) {
      throw new TypeError(`the variable ${name} is not bytes`); // its value is secret
    }
    return `${entry}\0`;
  });
  return Buffer.from(entries.join(""), "latin1");
}

/** The launcher hands over within milliseconds; a socket that says nothing is no reason to wait for ever. */
async function receiveListener(tap: Tap, control: number): Promise<number> {
  const deadline = Date.now() + HANDOVER_TIMEOUT_MS;
  for (;;) {
    const result = tap.native.receiveListener(control);
    if (result >= 0) return result;
    const errno = getSystemErrorName(result);
    if (errno !== "EAGAIN") throw new TapError(errno, "installing the seccomp filter");
    if (Date.now() > deadline) throw new TapError("ETIMEDOUT", "installing the seccomp filter");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** A keeper that is killed has a successor; one that cannot even start is not tried for ever. */
const MAX_KEEPERS = 5;

function startKeeper(
  heldCalls: number,
  listener: number,
  options: LaunchOptions,
): { leaveRest(): void } {
  let lifeline: Socket | undefined;
  let leavesRest = false;
  const start = (number: number): void => {
    // Its own session: the terminal's Ctrl-C is not for it. It never loads what the user preloads.
    const keeper = spawn(
      join(artifacts, "inpod-keeper"),
      [
        options.onDeath ?? "stop",
        options.mark,
        ...(options.folder === undefined ? [] : [options.folder]),
      ],
      {
        // Nothing of ours: it may outlive us, and whoever reads our output waits for its end.
        stdio: [
          "ignore",
          "ignore",
          "ignore",
          listener,
          "pipe",
          heldCalls < 0 ? "ignore" : heldCalls,
        ],
        detached: true,
        env: {},
        cwd: "/",
      },
    );
    keeper.on("error", () => {}); // without it only our own sudden death would hurt
    keeper.unref();
    const pipe = keeper.stdio[4];
    lifeline = pipe instanceof Socket ? pipe : undefined;
    lifeline?.on("error", () => {}); // EPIPE of one that is gone
    lifeline?.unref();
    keeper.once("exit", (_, signal) => {
      // By itself it ends with the tree.
      if (signal === null || number >= MAX_KEEPERS) return;
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
  };
}
