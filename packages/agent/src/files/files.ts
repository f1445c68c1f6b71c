/** Single files of the target by any path, asked of the worker that has the target's ids. */
import type { FileStat } from "@inpod/protocol";
import { errnoName, Failure } from "../failure.ts";
import { encodeQuestion, parseAnswer, parsePath, parseStat, type Question } from "./messages.ts";
import type { Worker } from "./worker.ts";

/** A file of the target may lie on a network filesystem whose server is gone. */
const TIMEOUT_MS = 10_000;
/** Bytes of the largest content; native/enter/files/worker.h has the same number. */
export const MAX_CONTENT = 8 * 1024 * 1024;

/** Every method throws a Failure with the errno that the target's own process would get. */
export class Files {
  readonly #worker: Worker;
  readonly #timeoutMs: number;

  constructor(worker: Worker, timeoutMs = TIMEOUT_MS) {
    this.#worker = worker;
    this.#timeoutMs = timeoutMs;
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
    const message = await this.#worker.ask((id) => encodeQuestion(id, question), this.#timeoutMs);
    const { errno, rest } = parseAnswer(message);
    if (errno === 0) return rest;
    throw new Failure(errnoName(errno), question.operation);
  }
}
