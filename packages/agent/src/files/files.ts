/** The target's files, asked of the worker that has the target's ids. */
import type { Duplex } from "node:stream";
import type { FileStat } from "@inpod/protocol";
import { Exchange } from "../exchange.ts";
import { errnoName, Failure } from "../failure.ts";
import { encodeQuestion, parseAnswer, parsePath, parseStat, type Question } from "./messages.ts";

/** A file of the target may lie on a network filesystem whose server is gone. */
const TIMEOUT_MS = 10_000;
/** Bytes of the largest content; native/enter/worker.h has the same number. */
export const MAX_CONTENT = 8 * 1024 * 1024;

/** Every method throws a Failure with the errno that the target's own process would get. */
export class Files {
  readonly #exchange: Exchange;
  readonly #timeoutMs: number;
  #gone = false;

  constructor(socket: Duplex, timeoutMs = TIMEOUT_MS) {
    this.#exchange = new Exchange(socket, "file worker", 256);
    this.#timeoutMs = timeoutMs;
  }

  /** The target's main process has ended, and its root directory with it: from now on ESTALE. */
  targetGone(): void {
    this.#gone = true;
    this.#exchange.end(new Failure("ESTALE", "the target's main process has ended"));
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
    // Before the exchange's own reason: the worker's end and the news of the target's race each other.
    if (this.#gone) throw new Failure("ESTALE", "the target's main process has ended");
    const message = await this.#exchange.ask((id) => encodeQuestion(id, question), this.#timeoutMs);
    const { errno, rest } = parseAnswer(message);
    if (this.#gone) throw new Failure("ESTALE", "the target's main process has ended");
    if (errno === 0) return rest;
    throw new Failure(errnoName(errno), question.operation);
  }
}
