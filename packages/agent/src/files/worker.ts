/** Our end of the file worker's socket, over the lives of several workers. */
import type { Duplex } from "node:stream";
import { within } from "../deadline.ts";
import { Exchange, type Waiting } from "../exchange.ts";
import { Failure } from "../failure.ts";

/** Questions without an answer, of all sessions. */
const MAX_WAITING = 4096;
/** Bytes of questions that the worker has not read: it may be busy with files of many megabytes. */
const MAX_UNREAD = 32 * 1024 * 1024;

export class Worker {
  readonly #exchange: Exchange;
  /** enter tells right after our start whether there is a worker. */
  readonly #isKnown: Promise<void>;
  #told: () => void = () => undefined;
  #goneBecause: Failure | undefined;

  /** What the worker tells by itself. */
  onEvent: ((message: Buffer) => void) | undefined;
  /** There is none any more, or another one: what was open is not. */
  onGone: ((why: Failure) => void) | undefined;

  constructor(socket: Duplex) {
    this.#exchange = new Exchange(socket, "file worker", MAX_WAITING, MAX_UNREAD);
    this.#exchange.onEvent = (message) => this.onEvent?.(message);
    this.#exchange.onEnd = (why) => this.#gone(why);
    this.#isKnown = new Promise((resolve) => {
      this.#told = resolve;
    });
  }

  /** There is a worker, the first or the next. */
  started(mark: Buffer): void {
    if (!this.#goneBecause) this.#gone(new Failure("ESTALE", "the file worker was started again"));
    this.#goneBecause = undefined;
    this.#exchange.restart(mark);
    this.#told();
  }

  /** @param errno what questions fail with until there is a worker (again) */
  gone(errno: "EIO" | "ESTALE", why: string): void {
    const failure = new Failure(errno, why);
    this.#exchange.suspend(failure);
    this.#gone(failure);
    this.#told();
  }

  #gone(why: Failure): void {
    this.#goneBecause = why;
    this.onGone?.(why);
  }

  /** @throws Failure why there is no worker */
  async ready(timeoutMs: number): Promise<void> {
    await within(this.#isKnown, timeoutMs, "file worker");
    if (this.#goneBecause) throw this.#goneBecause;
  }

  async ask(encode: (id: number) => Uint8Array, timeoutMs: number): Promise<Buffer> {
    await within(this.#isKnown, timeoutMs, "file worker");
    return this.#exchange.ask(encode, timeoutMs);
  }

  /** @throws Failure. See Exchange.post() */
  post(encode: (id: number) => Uint8Array, waiting: Waiting): void {
    this.#exchange.post(encode, waiting);
  }
}
