/** The built inpod as a user runs it, against the cluster of KUBECONFIG. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { signalGroup } from "./signal-group.ts";

export const CLI = fileURLToPath(new URL("../../bin/inpod", import.meta.url));
/** For what hangs: a busy machine takes a minute for what else is a matter of seconds. */
const RUN_TIMEOUT_MS = 240_000;
const SAYS_TIMEOUT_MS = 120_000;

const running = new Set<Running>();

/** For a failure: what those have said that have not ended. */
export const saidOfRunning = (): string =>
  [...running].map((each) => `\n-- a session has said:\n${each.output()}`).join("");

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  /** The CLI itself; a process group of its own, as a shell's job is. */
  readonly child: ChildProcess;
  /** Everything it has written so far. */
  output(): string;
  /** Resolves when stdout or stderr has said it. */
  says(words: RegExp): Promise<void>;
  /** What Ctrl-C on a terminal sends to: the whole group, or what is left of it. */
  interrupt(): void;
  /** Whether the CLI has ended by now. */
  hasExited(): boolean;
  /** The CLI has ended; its program may go on, and hold its output open. */
  readonly exited: Promise<unknown>;
  readonly done: Promise<Ran>;
}

export function startInpod(
  args: readonly string[],
  options: {
    cwd?: string;
    env?: Record<string, string>;
    timeoutMs?: number;
    /** A program that runs inpod, with its first arguments. */
    through?: readonly string[];
  } = {},
): Running {
  const [program = CLI, ...first] = [...(options.through ?? []), CLI];
  const child = spawn(program, [...first, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let stdout = "";
  let stderr = "";
  const listeners = new Set<() => void>();
  child.stdout.on("data", (chunk) => {
    stdout += String(chunk);
    for (const listener of listeners) listener();
  });
  child.stderr.on("data", (chunk) => {
    stderr += String(chunk);
    for (const listener of listeners) listener();
  });
  const timeoutMs = options.timeoutMs ?? RUN_TIMEOUT_MS;
  const timer = setTimeout(() => {
    stderr += `\n[the test killed it: not over after ${timeoutMs / 1000} s]\n`;
    if (child.pid !== undefined) signalGroup(child.pid, "SIGKILL");
  }, timeoutMs);
  const done = once(child, "close").then(([code, signal]) => {
    clearTimeout(timer);
    running.delete(inpod);
    return { code, signal, stdout, stderr };
  });
  const inpod: Running = {
    child,
    exited: once(child, "exit"),
    output: () => stdout + stderr,
    says: (words) =>
      new Promise((resolve, reject) => {
        const end = (error?: Error): void => {
          clearTimeout(late);
          listeners.delete(look);
          if (error) reject(error);
          else resolve();
        };
        const late = setTimeout(
          () =>
            end(
              new Error(
                `inpod did not say ${words} within ${SAYS_TIMEOUT_MS / 1000} s: ${stdout}${stderr}`,
              ),
            ),
          SAYS_TIMEOUT_MS,
        );
        const look = (): void => {
          if (words.test(stdout + stderr)) end();
        };
        listeners.add(look);
        look();
        void done.then(() =>
          end(new Error(`inpod ended and did not say ${words}: ${stdout}${stderr}`)),
        );
      }),
    interrupt: () => {
      if (child.pid !== undefined) signalGroup(child.pid, "SIGINT");
    },
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
    done,
  };
  running.add(inpod);
  return inpod;
}

export const runInpod = (...args: Parameters<typeof startInpod>): Promise<Ran> =>
  startInpod(...args).done;
