/** `process/PID` of this machine: the agent is a child process of ours. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { UserError } from "@inpod/protocol";
import type { AgentOptions, PlacedAgent, Target } from "../api.ts";
import { type EnterEvent, EnterEventReader } from "./enter-events.ts";

export interface ProcessPaths {
  /** inpod-enter */
  readonly enterPath: string;
  readonly nodePath: string;
  readonly agentPath: string;
}

/** After SIGTERM inpod-enter takes its rules back and ends its children: three seconds at worst. */
const TERM_TIMEOUT_MS = 4_000;
const KILL_TIMEOUT_MS = 900;
/** The rules know the agent's own connections by it; inpod-enter leaves it out where it is not mapped. */
const NODE_GID = "40404";
const DIAL_TIMEOUT_MS = 5_000;
/** Characters of stderr that are kept: its end says why. */
const MAX_STDERR = 4096;

/** @throws UserError PROCESS_NOT_FOUND */
export function openProcess(pid: number, paths: ProcessPaths): Target {
  if (!Number.isSafeInteger(pid) || pid <= 0 || !existsSync(`/proc/${pid}`))
    throw processNotFound(pid);
  return {
    name: `process/${pid}`,
    place: async (options) => {
      options.signal.throwIfAborted();
      const agent = new ProcessAgent(pid, paths, options);
      try {
        await agent.start();
        return agent;
      } catch (error) {
        await agent.remove();
        throw error;
      }
    },
  };
}

class ProcessAgent implements PlacedAgent {
  readonly name: string;
  readonly gone: Promise<string>;
  readonly #pid: number;
  readonly #child: ChildProcess;
  readonly #options: AgentOptions;
  readonly #exited: Promise<void>;
  #onEvent: (event: EnterEvent) => void = () => {};
  #port: number | undefined;
  #stderr = "";
  /** The reason that inpod-enter gave for its end. */
  #lastError: (EnterEvent & { kind: "error" }) | undefined;
  #goneWhy: string | undefined;
  #removed: Promise<void> | undefined;

  constructor(pid: number, paths: ProcessPaths, options: AgentOptions) {
    this.#pid = pid;
    this.#options = options;
    this.name = `agent beside process/${pid}`;
    // stdin is a pipe that we hold and never write: its end tells that we are gone.
    this.#child = spawn(
      paths.enterPath,
      [
        ...["--pid", String(pid), "--listen", "0", "--exit-on-stdin-eof"],
        // Only the gid: as another user Node might not be let into the folders of nodePath.
        ...["--node-gid", NODE_GID],
        "--",
        paths.nodePath,
        paths.agentPath,
        ...["--public-key", options.publicKey],
        ...["--idle-timeout-ms", String(options.idleTimeoutMs)],
        ...["--communication-timeout-ms", String(options.communicationTimeoutMs)],
      ],
      // A group of its own: Ctrl-C on the terminal is for the session, which then ends the agent.
      { stdio: ["pipe", "pipe", "pipe"], detached: true },
    );
    const { stdin, stdout, stderr } = this.#child;
    stdin?.on("error", () => {});
    const reader = new EnterEventReader();
    stdout?.setEncoding("utf8").on("data", (text: string) => this.#read(reader, text));
    stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MAX_STDERR);
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.#goneWhy = error.message;
        resolve();
      });
      // "close", not "exit": the last events may still be in the pipe.
      this.#child.once("close", (code, signal) => {
        this.#goneWhy ??= this.#lastError?.what ?? `the agent ended (${signal ?? `code ${code}`})`;
        resolve();
      });
    });
    this.gone = this.#exited.then(() => this.#goneWhy ?? "the agent ended");
  }

  async start(): Promise<void> {
    const { signal, startupTimeoutMs, onProgress } = this.#options;
    let stop = () => {};
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        stop = () => reject(signal.reason);
        signal.addEventListener("abort", stop);
        timer = setTimeout(() => reject(notReady(startupTimeoutMs)), startupTimeoutMs);
        this.#onEvent = (event) => {
          if (event.kind === "listening") this.#port = event.port;
          // It listens first; only inside the target is it known to work.
          if (event.kind === "target" && this.#port !== undefined) resolve();
        };
        this.#exited.then(() => reject(this.#explainEnd()));
      });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      this.#onEvent = () => {};
    }
    onProgress(`agent started beside process/${this.#pid}`);
  }

  dial(signal: AbortSignal): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      if (this.#goneWhy !== undefined || this.#port === undefined) {
        reject(new UserError("AGENT_GONE", `there is no agent any more: ${this.#goneWhy}`));
        return;
      }
      const socket = connect({ host: "127.0.0.1", port: this.#port, noDelay: true });
      const stop = () => socket.destroy(signal.reason);
      signal.addEventListener("abort", stop);
      socket.setTimeout(DIAL_TIMEOUT_MS, () =>
        socket.destroy(new Error("the agent does not answer")),
      );
      socket.once("error", reject);
      socket.once("close", () => signal.removeEventListener("abort", stop));
      socket.once("connect", () => {
        signal.removeEventListener("abort", stop);
        socket.off("error", reject);
        socket.setTimeout(0);
        resolve(socket);
      });
    });
  }

  remove(): Promise<void> {
    this.#removed ??= this.#remove();
    return this.#removed;
  }

  async #remove(): Promise<void> {
    this.#child.stdin?.destroy();
    this.#child.kill("SIGTERM");
    const kill = setTimeout(() => this.#child.kill("SIGKILL"), TERM_TIMEOUT_MS);
    let giveUp: NodeJS.Timeout | undefined;
    // A process that hangs in the kernel does not end by SIGKILL either.
    const late = new Promise<void>((resolve) => {
      giveUp = setTimeout(resolve, TERM_TIMEOUT_MS + KILL_TIMEOUT_MS);
    });
    await Promise.race([this.#exited, late]);
    clearTimeout(kill);
    clearTimeout(giveUp);
  }

  #read(reader: EnterEventReader, text: string): void {
    try {
      for (const event of reader.push(text)) {
        if (event.kind === "error") this.#lastError = event;
        this.#onEvent(event);
      }
    } catch (error) {
      this.#goneWhy = (error as Error).message;
      this.#child.kill("SIGKILL");
    }
  }

  #explainEnd(): UserError {
    const cause = new Error(this.#lastError?.what ?? (this.#stderr.trim() || this.#goneWhy));
    switch (this.#lastError?.errno) {
      case "ESRCH":
      case "ENOENT":
        return processNotFound(this.#pid, cause);
      case "EPERM":
      case "EACCES":
        return processForbidden(this.#pid, cause);
      default:
        return new UserError("AGENT_ENDED", "the agent ended before it could answer", { cause });
    }
  }
}

const processNotFound = (pid: number, cause?: unknown): UserError =>
  new UserError("PROCESS_NOT_FOUND", `no process ${pid} on this machine`, {
    hints: ["see which there are: ps -ef"],
    cause,
  });

/** setns(2): the rights must be held in the user namespace that owns the target's namespaces. */
const processForbidden = (pid: number, cause: unknown): UserError =>
  new UserError("PROCESS_FORBIDDEN", `you may not enter the namespaces of process ${pid}`, {
    hints: [
      "an ordinary user can enter only namespaces that he made himself: unshare --user --net …",
      "for any other process: run it as root",
    ],
    cause,
  });

const notReady = (timeoutMs: number): UserError =>
  new UserError("AGENT_NOT_READY", `the agent did not start within ${timeoutMs / 1000} s`);
