/**
 * Questions and answers over the stream sockets to our two siblings (control, file worker). Both
 * frame alike: an answer is `u32 length of the rest · u32 id · …`, little-endian.
 */
import type { Duplex } from "node:stream";
import { within } from "./deadline.ts";
import { Failure } from "./failure.ts";

/** Bytes of an answer; twice what the largest file may have. */
const MAX_ANSWER = 16 * 1024 * 1024;

/** Bytes of questions that the other end has not read: whoever lets so many lie does not work any more. */
const MAX_UNREAD = 1024 * 1024;

/** Cuts a byte stream into answers. Throws EPROTO for a length that cannot be. */
export class AnswerReader {
  #chunks: Buffer[] = [];
  #length = 0;

  /** The answers that are complete now, without their length. */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    const answers: Buffer[] = [];
    for (;;) {
      if (this.#length < 4) return answers;
      // Joined only when there is something to take: a large file comes in many chunks.
      if ((this.#chunks[0]?.length ?? 0) < 4) this.#chunks = [Buffer.concat(this.#chunks)];
      const rest = (this.#chunks[0] as Buffer).readUInt32LE(0);
      if (rest < 4 || rest > MAX_ANSWER) throw new Failure("EPROTO", `an answer of ${rest} bytes`);
      if (this.#length < 4 + rest) return answers;
      const all =
        this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
      answers.push(all.subarray(4, 4 + rest));
      this.#chunks = [all.subarray(4 + rest)];
      this.#length = all.length - 4 - rest;
    }
  }
}

export interface Waiting {
  resolve(answer: Buffer): void;
  reject(error: Failure): void;
}

export class Exchange {
  readonly #socket: Duplex;
  readonly #what: string;
  readonly #maxWaiting: number;
  readonly #maxUnreadBytes: number;
  readonly #waiting = new Map<number, Waiting>();
  #reader = new AnswerReader();
  #nextId = 1;
  #ended: Failure | undefined;
  /** Why there is nobody to ask for the time being. */
  #suspended: Failure | undefined;
  /** What comes before this is no answer to us; with the bytes in which it may begin. */
  #mark: { readonly bytes: Buffer; tail: Buffer } | undefined;

  /** Messages with id 0: nobody asked for them. May throw a Failure, which ends the exchange. */
  onEvent: ((message: Buffer) => void) | undefined;
  onEnd: ((why: Failure) => void) | undefined;

  /** @param maxWaiting questions without an answer; more are refused with EAGAIN */
  constructor(socket: Duplex, what: string, maxWaiting: number, maxUnreadBytes = MAX_UNREAD) {
    this.#socket = socket;
    this.#what = what;
    this.#maxWaiting = maxWaiting;
    this.#maxUnreadBytes = maxUnreadBytes;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("error", (error) => this.end(new Failure("EIO", `${what}: ${error.message}`)));
    const gone = (): void => this.end(new Failure("EIO", `${what} has ended`));
    socket.on("end", gone);
    socket.on("close", gone);
  }

  /** @param encode makes the question's bytes for an id. The answer starts with the id. */
  async ask(encode: (id: number) => Uint8Array, timeoutMs: number): Promise<Buffer> {
    let id = 0;
    const answer = new Promise<Buffer>((resolve, reject) => {
      id = this.post(encode, { resolve, reject });
    });
    try {
      return await within(answer, timeoutMs, this.#what);
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** The same for who keeps his own time: one of `waiting` is called, however late. The id. @throws Failure */
  post(encode: (id: number) => Uint8Array, waiting: Waiting): number {
    const why = this.#ended ?? this.#suspended;
    if (why) throw why;
    const isStuck = this.#socket.writableLength >= this.#maxUnreadBytes;
    if (isStuck || this.#waiting.size >= this.#maxWaiting) {
      throw new Failure("EAGAIN", `${this.#what}: ${this.#waiting.size} requests are waiting`);
    }
    let id = this.#nextId;
    // Round once, some that wait for a dead filesystem may still be there.
    while (this.#waiting.has(id)) id = id === 0xffffffff ? 1 : id + 1;
    this.#nextId = id === 0xffffffff ? 1 : id + 1;
    this.#waiting.set(id, waiting);
    this.#socket.write(encode(id));
    return id;
  }

  /** All that wait, and all later questions, fail with `why`. */
  end(why: Failure): void {
    if (this.#ended) return;
    this.#ended = why;
    this.#failWaiting(why);
    this.#socket.destroy();
    this.onEnd?.(why);
  }

  /** Whoever answered is gone, perhaps in the middle of a word: all that wait fail, and more until restart(). */
  suspend(why: Failure): void {
    this.#suspended = why;
    this.#failWaiting(why);
  }

  /**
   * Somebody new answers, on the same socket.
   *
   * @param mark the first bytes for it, and of it: what comes before them was the other one's
   */
  restart(mark: Buffer): void {
    if (this.#ended) return;
    this.#failWaiting(new Failure("EIO", `${this.#what} was started again`));
    this.#suspended = undefined;
    this.#mark = { bytes: mark, tail: Buffer.alloc(0) };
    this.#reader = new AnswerReader();
    this.#socket.write(mark);
  }

  #failWaiting(why: Failure): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const waiting of all) waiting.reject(why);
  }

  /** What of `chunk` comes after the mark, if that was awaited and is there. */
  #afterMark(chunk: Buffer): Buffer {
    if (!this.#mark) return chunk;
    const { bytes, tail } = this.#mark;
    const seen = Buffer.concat([tail, chunk]);
    const at = seen.indexOf(bytes);
    if (at < 0) {
      this.#mark.tail = seen.subarray(Math.max(0, seen.length - bytes.length + 1));
      return Buffer.alloc(0);
    }
    this.#mark = undefined;
    return seen.subarray(at + bytes.length);
  }

  #take(chunk: Buffer): void {
    if (this.#ended || this.#suspended) return;
    try {
      const answers = this.#reader.push(this.#afterMark(chunk));
      for (const answer of answers) {
        const id = answer.readUInt32LE(0);
        if (id === 0) this.onEvent?.(answer);
        // An answer after its deadline finds nobody.
        else {
          const waiting = this.#waiting.get(id);
          this.#waiting.delete(id);
          waiting?.resolve(answer);
        }
      }
    } catch (error) {
      // EPROTO: the two ends do not agree, and nothing that follows has a meaning.
      if (!(error instanceof Failure)) throw error;
      this.end(error);
    }
  }
}
