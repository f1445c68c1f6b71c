/** Drives http2-client.cjs: one connection of HTTP/2 from anywhere. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const CLIENT = fileURLToPath(new URL("http2-client.cjs", import.meta.url));
const DEADLINE_MS = 60_000;

export interface Told {
  readonly event: string;
  readonly id?: number;
  readonly status?: number;
  readonly code?: number;
  readonly text?: string;
  readonly length?: number;
  readonly hash?: string;
  readonly sent?: number;
  readonly info?: readonly number[];
  readonly raw?: readonly string[];
  readonly trailers?: Readonly<Record<string, string>>;
  readonly lastStreamId?: number;
  readonly enableConnectProtocol?: boolean;
}

export interface Ask {
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly secret?: readonly string[];
  readonly body?: string;
  readonly size?: number;
  readonly trailers?: Readonly<Record<string, string>>;
  readonly isOpen?: boolean;
  readonly isPaused?: boolean;
}

export class Http2Talk {
  readonly #process: ChildProcess;
  readonly #told: Told[] = [];
  readonly #waiting = new Set<() => void>();
  #hasEnded = false;
  #nextId = 1;

  /** @param command runs the words that follow it in the network that it talks from */
  constructor(command: (words: string[]) => string[], host: string, port: number) {
    const [program = "", ...rest] = command([process.execPath, CLIENT, host, String(port)]);
    this.#process = spawn(program, rest, { stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: this.#process.stdout as NodeJS.ReadableStream });
    lines.on("line", (line) => {
      this.#told.push(JSON.parse(line) as Told);
      this.#wake();
    });
    lines.on("close", () => {
      this.#hasEnded = true;
      this.#wake();
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** The first that is so, of what was told and what will be. */
  async until(what: string, isSo: (told: Told) => boolean): Promise<Told> {
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      const found = this.#told.find(isSo);
      if (found !== undefined) return found;
      const left = deadline - performance.now();
      if (left <= 0 || this.#hasEnded) {
        throw new Error(`${what} did not happen: ${JSON.stringify(this.#told).slice(-3000)}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** @returns the stream's number among those of this client */
  begin(ask: Ask): number {
    const id = this.#nextId++;
    this.#do({ id, ...ask });
    return id;
  }

  done(id: number): Promise<Told> {
    return this.until(`the end of ${id}`, (told) => told.event === "done" && told.id === id);
  }

  ask(ask: Ask): Promise<Told> {
    return this.done(this.begin(ask));
  }

  act(kind: "write" | "end" | "cancel" | "resume" | "pour", id: number, more: object = {}): void {
    this.#do({ kind, id, ...more });
  }

  /** What it has been told so far. */
  get told(): readonly Told[] {
    return this.#told;
  }

  close(): void {
    this.#process.kill("SIGKILL");
  }

  #do(what: object): void {
    this.#process.stdin?.write(`${JSON.stringify(what)}\n`);
  }
}
