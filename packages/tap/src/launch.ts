/** Starts a command under the tap's filter, with a keeper beside it. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { type Keeper, keepTree } from "./keeper.ts";
import { markLimit } from "./mark.ts";
import { artifacts } from "./native.ts";
import { type Tap, TapError } from "./tap.ts";

/** Bits, as in filter-groups.h. "interruptible": calls in hand are taken away by any signal. */
const FILTER_GROUPS = { network: 1, files: 2, hostname: 4, noIPv6: 8, interruptible: 16 } as const;
export type FilterGroup = keyof typeof FILTER_GROUPS;
export const filterMask = (groups: readonly FilterGroup[]): number =>
  groups.reduce((mask, group) => mask | FILTER_GROUPS[group], 0);

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
  /** No process of it is left. */
  readonly ended: Promise<void>;
  /** Lets the keeper go on serving what is left of the tree natively, after we have ended. */
  leaveRest(): void;
}

/** The launcher ended before it had become the command. */
export class LaunchError extends Error {}

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
  const groups = filterMask(options.groups);
  const stdio = options.stdio ?? "inherit";
  const [file, ...args] = options.command;
  native.setLockLimit(markLimit(options.mark)); // only its own: the keeper and others that we start do not have it
  const child = spawn(
    join(artifacts, "inpod-launch"),
    ["3", "4", String(groups), String(softLimit), file, options.argv0 ?? file, ...args],
    {
      stdio: [stdio, stdio, stdio, theirs, variables],
      env: {},
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    },
  );
  native.setLockLimit(0n);
  native.close(theirs);
  native.close(variables);
  try {
    await once(child, "spawn"); // rejects with the child's error
    const listener = await receiveListener(tap, control, () => endOf(child));
    const { ended, keeper } = takeTree(tap, listener, options);
    native.writeByte(control); // the launcher becomes the command only now
    return { child, ended, leaveRest: () => keeper.leaveRest() };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  } finally {
    native.close(control);
  }
}

/**
 * Whoever has this filter is a tree of ours from now on, whoever started it. The listener is taken.
 *
 * @throws TapError
 */
export function takeTree(
  tap: Tap,
  listener: number,
  options: Pick<LaunchOptions, "mark" | "onDeath" | "folder">,
): { readonly ended: Promise<void>; readonly keeper: Keeper } {
  const { native } = tap;
  const ended = tap.treeEnd(listener);
  const keeper = keepTree({ ...options, listener, heldCalls: native.heldCalls() });
  const failed = native.receive(listener);
  if (failed < 0) {
    keeper.dismiss();
    tap.forgetTree(listener);
    native.close(listener);
    throw new TapError(getSystemErrorName(failed), "starting the tap's threads");
  }
  void ended.then(() => native.close(listener));
  return { ended, keeper };
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

const endOf = ({ exitCode, signalCode }: ChildProcess): string | undefined =>
  signalCode !== null ? `it got ${signalCode}` : exitCode !== null ? `code ${exitCode}` : undefined;

/**
 * It is handed over within milliseconds; a socket that says nothing is no reason to wait for ever.
 *
 * @param endOfSender how who should hand it over has ended, if it has
 * @throws TapError, LaunchError
 */
export async function receiveListener(
  tap: Tap,
  control: number,
  endOfSender?: () => string | undefined,
): Promise<number> {
  const deadline = Date.now() + HANDOVER_TIMEOUT_MS;
  for (;;) {
    const end = endOfSender?.(); // before the last look
    const result = tap.native.receiveListener(control);
    if (result >= 0) return result;
    const errno = getSystemErrorName(result);
    // Of an end by which the socket was closed Node hears a little later.
    const isClosed = errno === "EPIPE" && endOfSender !== undefined;
    if (errno !== "EAGAIN" && !isClosed) throw new TapError(errno, "installing the seccomp filter");
    if (end !== undefined) throw new LaunchError(end);
    if (Date.now() > deadline) throw new TapError("ETIMEDOUT", "installing the seccomp filter");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
