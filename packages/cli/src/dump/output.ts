/**
 * Where a dump goes. What waits is counted: a reader that is slow makes the copies slow, and nothing is kept for it beyond
 * a limit. One that has gone is no mistake.
 */
import type { Io } from "../io.ts";

/** Bytes that wait: from here on credit is held back, and datagrams are dropped. */
const FULL = 1024 * 1024;
/** How long the end waits for a reader. */
const END_MS = 2000;

/** Writes one text behind the other. */
export interface Destination {
  write(text: string, taken: (error?: Error | null) => void): void;
  /** After all was taken. */
  close(): void;
}

export class Output {
  /** Resolves when nobody reads on (`| head`). */
  readonly over: Promise<void>;
  /** Resolves when it cannot be written, with the reason. */
  readonly lost: Promise<string>;
  readonly #destination: Destination;
  #waitingBytes = 0;
  #isOver = false;
  #waiting: (() => void)[] = [];
  #endOver: () => void = () => {};
  #endLost: (why: string) => void = () => {};

  constructor(destination: Destination) {
    this.#destination = destination;
    this.over = new Promise((resolve) => {
      this.#endOver = resolve;
    });
    this.lost = new Promise((resolve) => {
      this.#endLost = resolve;
    });
  }

  get isFull(): boolean {
    return this.#waitingBytes >= FULL;
  }

  write(text: string): void {
    if (this.#isOver || text === "") return;
    const length = Buffer.byteLength(text);
    this.#waitingBytes += length;
    this.#destination.write(text, (error) => {
      this.#waitingBytes -= length;
      if (error) this.failed(error);
      else if (!this.isFull) this.#wake();
    });
  }

  whenTaken(done: () => void): void {
    if (this.isFull && !this.#isOver) this.#waiting.push(done);
    else done();
  }

  failed(error: NodeJS.ErrnoException): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#wake();
    if (error.code === "EPIPE") this.#endOver();
    else this.#endLost(`the output cannot be written: ${error.message}`);
  }

  /** Waits for what was written, as long as somebody reads it. */
  async end(): Promise<void> {
    const deadline = performance.now() + END_MS;
    while (this.#waitingBytes > 0 && !this.#isOver) {
      const left = deadline - performance.now();
      if (left <= 0) break;
      await this.#taken(left);
    }
    this.#isOver = true;
    this.#destination.close();
  }

  #taken(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
  }
}

/** @param failed told of what no write was told of */
export function toStdout({ stdout }: Io, failed: (error: Error) => void): Destination {
  stdout.on?.("error", failed);
  return { write: (text, taken) => void stdout.write(text, taken), close: () => {} };
}
