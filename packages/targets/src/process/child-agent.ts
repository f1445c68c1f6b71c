/** An agent whose inpod-enter is a child process of ours, or a container that a child process of ours is attached to. */
import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { UserError } from "@inpod/protocol";
import type { AgentOptions, PlacedAgent } from "../api.ts";
import { type EnterEvent, EnterEventReader } from "./enter-events.ts";

export interface AgentProgram {
  /** "process/12", "podman/web" */
  readonly target: string;
  /** Ends when its stdin does, and writes inpod-enter's events on its stdout. */
  readonly command: readonly [string, ...string[]];
  /** A byte stream to where it listens; `port`: where it said so. See PlacedAgent.dial. */
  dial(port: number | undefined, signal: AbortSignal): Promise<Duplex>;
  /** Why it ended before it could answer. */
  explainEnd(end: AgentEnd): UserError;
  /** Ends what the end of the command may have left. */
  sweep?(): Promise<void>;
}

export interface AgentEnd {
  /** That inpod-enter gave; undefined: it said nothing. */
  readonly errno: string | undefined;
  /** In its own words, or the last that it wrote. */
  readonly cause: Error;
  readonly code: number | undefined;
}

/** After SIGTERM inpod-enter takes its rules back and ends its children: three seconds at worst. */
const TERM_TIMEOUT_MS = 4_000;
const KILL_TIMEOUT_MS = 900;
const DIAL_TIMEOUT_MS = 5_000;
const LAST_WORDS_MS = 1_000;
/** Characters of stderr that are kept: its end says why. */
const MAX_STDERR = 4096;

/** @throws UserError AGENT_NOT_READY, what explainEnd() gives, the signal's reason */
export async function startChild(
  program: AgentProgram,
  options: AgentOptions,
): Promise<PlacedAgent> {
  options.signal.throwIfAborted();
  const agent = new ChildAgent(program, options);
  try {
    await agent.start();
    return agent;
  } catch (error) {
    await agent.remove();
    throw error;
  }
}

class ChildAgent implements PlacedAgent {
  readonly name: string;
  readonly gone: Promise<string>;
  readonly #program: AgentProgram;
  readonly #child: ChildProcess;
  readonly #options: AgentOptions;
  readonly #exited: Promise<void>;
  #onEvent: (event: EnterEvent) => void = () => {};
  #listening: { readonly port: number | undefined } | undefined;
  #stderr = "";
  /** The reason that inpod-enter gave for its end: what it says after that follows from it. */
  #firstError: (EnterEvent & { kind: "error" }) | undefined;
  #goneWhy: string | undefined;
  #removed: Promise<void> | undefined;

  constructor(program: AgentProgram, options: AgentOptions) {
    this.#program = program;
    this.#options = options;
    this.name = `agent beside ${program.target}`;
    const [command, ...args] = program.command;
    // stdin is a pipe that we hold and never write: its end tells that we are gone.
    // A group of its own: Ctrl-C on the terminal is for the session, which then ends the agent.
    // An inspector that the user's variables ask for would be the agent's, in the target's network.
    const { NODE_OPTIONS: _, ...env } = process.env;
    this.#child = spawn(command, args, { env, stdio: ["pipe", "pipe", "pipe"], detached: true });
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
        this.#goneWhy ??= this.#firstError?.what ?? `the agent ended (${signal ?? `code ${code}`})`;
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
          if (event.kind === "listening") this.#listening = event;
          // It listens first; only inside the target is it known to work.
          if (event.kind === "target" && this.#listening !== undefined) resolve();
        };
        this.#exited.then(() => reject(this.#explainEnd()));
      });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      this.#onEvent = () => {};
    }
    onProgress(`agent started beside ${this.#program.target}`);
  }

  async dial(signal: AbortSignal): Promise<Duplex> {
    signal.throwIfAborted();
    if (this.#goneWhy !== undefined || this.#listening === undefined)
      throw new UserError("AGENT_GONE", `there is no agent any more: ${this.#goneWhy}`);
    try {
      return await this.#program.dial(this.#listening.port, signal);
    } catch (error) {
      // It listens before its Node runs, which can be refused its rights: its own words say more than ours.
      if (await this.#endsWithin(LAST_WORDS_MS)) throw this.#explainEnd();
      throw error;
    }
  }

  async #endsWithin(ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, ms, false);
    });
    const hasEnded = await Promise.race([this.#exited.then(() => true), late]);
    clearTimeout(timer);
    return hasEnded;
  }

  remove(): Promise<void> {
    this.#removed ??= this.#remove();
    return this.#removed;
  }

  async #remove(): Promise<void> {
    this.#end();
    const kill = setTimeout(() => this.#child.kill("SIGKILL"), TERM_TIMEOUT_MS);
    let giveUp: NodeJS.Timeout | undefined;
    // A process that hangs in the kernel does not end by SIGKILL either.
    const late = new Promise<void>((resolve) => {
      giveUp = setTimeout(resolve, TERM_TIMEOUT_MS + KILL_TIMEOUT_MS);
    });
    await Promise.race([this.#exited, late]);
    clearTimeout(kill);
    clearTimeout(giveUp);
    await this.#program.sweep?.();
  }

  #end(): void {
    this.#child.stdin?.destroy();
    this.#child.kill("SIGTERM");
  }

  #read(reader: EnterEventReader, text: string): void {
    try {
      for (const event of reader.push(text)) {
        if (event.kind === "error") this.#firstError ??= event;
        if (event.kind === "target-gone") {
          // Nothing that the session could still be the place of: not even its network may be left.
          this.#goneWhy ??= `${this.#program.target} has ended`;
          this.#end();
        }
        this.#onEvent(event);
      }
    } catch (error) {
      this.#goneWhy = (error as Error).message;
      this.#child.kill("SIGKILL");
    }
  }

  #explainEnd(): UserError {
    return this.#program.explainEnd({
      errno: this.#firstError?.errno,
      cause: new Error(this.#firstError?.what ?? (this.#stderr.trim() || this.#goneWhy)),
      code: this.#child.exitCode ?? undefined,
    });
  }
}

/** To a port of this machine. */
export function dialLoopback(port: number | undefined, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: port ?? 0, noDelay: true });
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

const notReady = (timeoutMs: number): UserError =>
  new UserError("AGENT_NOT_READY", `the agent did not start within ${timeoutMs / 1000} s`);
