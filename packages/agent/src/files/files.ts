/** The target's files, asked of the worker that has the target's ids. */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import type { FileStat } from "@inpod/protocol";
import { within } from "../deadline.ts";
import { Exchange } from "../exchange.ts";
import { errnoName, Failure } from "../failure.ts";
import { encodeQuestion, parseAnswer, parsePath, parseStat, type Question } from "./messages.ts";

/** A file of the target may lie on a network filesystem whose server is gone. */
const TIMEOUT_MS = 10_000;
/** Bytes of the largest content; native/enter/worker.h has the same number. */
export const MAX_CONTENT = 8 * 1024 * 1024;
/** How a worker knows where the questions for it begin; native/enter/worker.h has the same numbers. */
const MARK_ZERO_BYTES = 32;
const MARK_NONCE_BYTES = 16;

/** Every method throws a Failure with the errno that the target's own process would get. */
export class Files {
  readonly #exchange: Exchange;
  readonly #timeoutMs: number;
  /** enter tells right after our start whether there is a worker. */
  readonly #isKnown: Promise<void>;
  #told: () => void = () => undefined;

  constructor(socket: Duplex, timeoutMs = TIMEOUT_MS) {
    this.#exchange = new Exchange(socket, "file worker", 256);
    this.#timeoutMs = timeoutMs;
    this.#isKnown = new Promise((resolve) => {
      this.#told = resolve;
    });
  }

  /** There is a worker, the first or the next. */
  workerReady(): void {
    // Chosen now: nothing that the last worker has read from a file can contain it.
    const nonce = randomBytes(MARK_NONCE_BYTES);
    this.#exchange.restart(Buffer.concat([Buffer.alloc(MARK_ZERO_BYTES), nonce]), nonce);
    this.#told();
  }

  /** @param errno what questions fail with until there is a worker (again) */
  workerGone(errno: "EIO" | "ESTALE", why: string): void {
    this.#exchange.suspend(new Failure(errno, why));
    this.#told();
  }

  async stat(path: unknown, follow: unknown): Promise<FileStat> {
    const question = { operation: "stat", path: parsePath(path), follow: follow === true } as const;
    return parseStat(await this.#ask(question)).stat;
  }

  /** A ByteString. */
  async readlink(path: unknown): Promise<string> {
    const target = await this.#ask({ operation: "readlink", path: parsePath(path) });
    return target.toString("latin1");
  }

  async access(path: unknown, mode: unknown): Promise<void> {
    if (!Number.isInteger(mode) || (mode as number) < 0 || (mode as number) > 7) {
      throw new Failure("EINVAL", "a mode beyond R_OK, W_OK, X_OK");
    }
    await this.#ask({ operation: "access", path: parsePath(path), mode: mode as number });
  }

  /** EFBIG beyond `limitBytes`, EISDIR, EOPNOTSUPP for what is no regular file. */
  async read(path: unknown, limitBytes: unknown): Promise<{ stat: FileStat; content: Buffer }> {
    if (!Number.isSafeInteger(limitBytes) || (limitBytes as number) < 0) {
      throw new Failure("EINVAL", "a limit that is no size");
    }
    const limit = Math.min(limitBytes as number, 0xffffffff);
    return parseStat(
      await this.#ask({ operation: "read", path: parsePath(path), limitBytes: limit }),
    );
  }

  async #ask(question: Question): Promise<Buffer> {
    await within(this.#isKnown, this.#timeoutMs, "file worker");
    const message = await this.#exchange.ask((id) => encodeQuestion(id, question), this.#timeoutMs);
    const { errno, rest } = parseAnswer(message);
    if (errno === 0) return rest;
    throw new Failure(errnoName(errno), question.operation);
  }
}
