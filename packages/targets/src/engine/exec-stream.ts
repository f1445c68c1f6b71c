/** A byte stream through the stdin and stdout of a command. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { Duplex, type Readable, type Writable } from "node:stream";
import { lastWords } from "./engine-cli.ts";

const DIAL_TIMEOUT_MS = 15_000;
const MAX_STDERR = 2048;

/**
 * Resolves with the first byte that the command writes, which is not part of the stream.
 *
 * @throws Error with what the command wrote on stderr, when it ends before; the signal's reason
 */
export async function dialCommand(
  command: readonly string[],
  signal: AbortSignal,
): Promise<Duplex> {
  signal.throwIfAborted();
  const stream = new CommandStream(command);
  // Until it is the caller's; what ends it before is thrown.
  const ignore = (): void => {};
  stream.on("error", ignore);
  const stop = (): void => {
    stream.destroy(signal.reason);
  };
  signal.addEventListener("abort", stop);
  const timer = setTimeout(
    () => stream.destroy(new Error("the agent does not answer")),
    DIAL_TIMEOUT_MS,
  );
  try {
    await stream.connected;
    stream.off("error", ignore);
    return stream;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

class CommandStream extends Duplex {
  readonly connected: Promise<void>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #isConnected = false;
  #stderr = "";
  #onConnected!: { resolve: () => void; reject: (error: Error) => void };

  constructor([program = "", ...args]: readonly string[]) {
    super();
    this.connected = new Promise((resolve, reject) => {
      this.#onConnected = { resolve, reject };
    });
    this.connected.catch(() => {});
    // A group of its own: Ctrl-C on the terminal is for the session.
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
    const { stdin, stdout, stderr } = this.#child;
    stdin.on("error", () => {}); // its end is told by "close"
    stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MAX_STDERR);
    });
    stdout.on("data", (bytes: Buffer) => this.#receive(bytes));
    this.#child.once("error", (error) => this.destroy(error));
    this.#child.once("close", (code) => {
      if (code === 0 && this.#isConnected) {
        this.push(null);
        this.end();
      } else {
        this.destroy(new Error(lastWords(this.#stderr) || `the connection was cut (code ${code})`));
      }
    });
  }

  #receive(bytes: Buffer): void {
    let rest = bytes;
    if (!this.#isConnected) {
      this.#isConnected = true;
      this.#onConnected.resolve();
      rest = bytes.subarray(1);
    }
    if (rest.length > 0 && !this.push(rest)) this.#child.stdout.pause();
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#child.stdin.write(chunk, done);
  }

  /** The protocol above has no half-close: see PlacedAgent.dial. */
  override _final(done: (error?: Error | null) => void): void {
    this.#child.stdin.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#child.kill("SIGKILL");
    this.#onConnected.reject(error ?? new Error("closed"));
    done(error);
  }
}
