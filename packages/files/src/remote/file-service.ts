/**
 * The agent's file service, asked over two streams. Who asks needs not know of their loss where a question may be put
 * twice: it is, when they are back, within its time.
 */
import {
  encodeFileRequest,
  type FileAnswers,
  type FileEvent,
  type FileOperation,
  type FileRequests,
  MAX_ANSWER,
  MessageCutter,
  parseAnswerHeader,
  parseFileAnswer,
  parseFileEvent,
} from "@inpod/protocol";
import { Errno } from "../fuse/numbers.ts";
import type { FilesChannel, FilesLink, FilesStream } from "../link.ts";
import { ConnectionLost, FileError } from "./failures.ts";

/** Beyond this the kernel was answered without us. */
const ANSWER_WITHIN_MS = 10_000;
const SWEEP_MS = 500;
const RETRY_MS = 500;
/** Requests that the agent has at once; more wait here. */
const MAX_IN_FLIGHT = 128;

/** About paths, and nothing is another afterwards. What is about a handle is gone with the streams. */
const MAY_BE_ASKED_AGAIN: ReadonlySet<FileOperation> = new Set([
  "look",
  "chain",
  "list",
  "tree",
  "readlink",
  "access",
  "statfs",
  "getxattr",
  "listxattr",
]);

interface Question {
  readonly op: FileOperation;
  readonly stream: FilesStream;
  readonly bytes: Uint8Array;
  readonly untilMs: number;
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

export class FileService {
  readonly #link: FilesLink;
  readonly #onEvent: (event: FileEvent) => void;
  readonly #onLoss: () => void;
  readonly #onBug: (error: unknown) => void;
  readonly #sweeper: NodeJS.Timeout;
  #channels: Record<FilesStream, FilesChannel> | undefined;
  #isClosed = false;
  #nextId = 1;
  /** Sent, by id. */
  readonly #sent = new Map<number, Question>();
  #waiting: [id: number, question: Question][] = [];

  /** Grows with each loss of the streams: a handle of an older one is not the agent's any more. */
  generation = 0;
  /** Grows when the target's container is another one: its files are, too. */
  life = 0;
  readonly counts = new Map<string, number>();

  /** @param handlers onLoss: leases are gone; everything may be another now */
  constructor(
    link: FilesLink,
    handlers: {
      onEvent: (event: FileEvent) => void;
      onLoss: () => void;
      onBug: (error: unknown) => void;
    },
  ) {
    this.#link = link;
    this.#onEvent = handlers.onEvent;
    this.#onLoss = handlers.onLoss;
    this.#onBug = handlers.onBug;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#sweeper);
    const channels = this.#channels;
    this.#channels = undefined;
    channels?.control.reset("ECANCELED");
    channels?.bulk.reset("ECANCELED");
  }

  /** How many requests were sent. */
  get requests(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /**
   * The request is copied before this returns. Rejects with a FileError: the agent's errno, ETIMEDOUT, or
   * ConnectionLost.
   */
  ask<Op extends FileOperation>(
    request: FileRequests[Op],
    stream: FilesStream = "control",
  ): Promise<FileAnswers[Op]> {
    return new Promise((resolve, reject) => {
      const id = this.#takeId();
      const question: Question = {
        op: request.op,
        stream,
        bytes: encodeFileRequest(id, request),
        untilMs: performance.now() + ANSWER_WITHIN_MS,
        resolve: resolve as (answer: unknown) => void,
        reject,
      };
      if (!this.#channels || this.#sent.size >= MAX_IN_FLIGHT) this.#waiting.push([id, question]);
      else this.#send(id, question);
    });
  }

  #takeId(): number {
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    return id;
  }

  #send(id: number, question: Question): void {
    this.#sent.set(id, question);
    this.counts.set(question.op, (this.counts.get(question.op) ?? 0) + 1);
    // What it returns is not waited for: what is in flight is bounded by the number of requests.
    this.#channels?.[question.stream].write(question.bytes);
  }

  #sendWaiting(): void {
    while (this.#channels && this.#sent.size < MAX_IN_FLIGHT) {
      const next = this.#waiting.shift();
      if (!next) return;
      this.#send(...next);
    }
  }

  #connect(): void {
    if (this.#isClosed) return;
    const generation = this.generation;
    Promise.all([this.#link.open("control"), this.#link.open("bulk")]).then(
      ([control, bulk]) => {
        if (this.#isClosed || generation !== this.generation) {
          control.reset("ECANCELED");
          bulk.reset("ECANCELED");
          return;
        }
        this.#attach(control);
        this.#attach(bulk);
        this.#channels = { control, bulk };
        this.#sendWaiting();
      },
      () => {
        if (generation === this.generation) setTimeout(() => this.#connect(), RETRY_MS).unref();
      },
    );
  }

  #attach(channel: FilesChannel): void {
    const cutter = new MessageCutter(MAX_ANSWER);
    const generation = this.generation;
    channel.onReset = (errno) => {
      if (generation === this.generation) this.#lost(errno);
    };
    channel.onData = (bytes) => {
      if (generation !== this.generation) return;
      try {
        for (const message of cutter.push(bytes)) this.#receive(message);
        channel.consumed(bytes.length);
      } catch (error) {
        // The other end does not keep to the protocol: a new stream begins anew.
        this.#onBug(error);
        this.#lost("EPROTO");
      }
    };
  }

  #lost(errno: string): void {
    this.generation++;
    if (errno === "ESTALE") this.life++;
    const channels = this.#channels;
    this.#channels = undefined;
    channels?.control.reset("ECANCELED");
    channels?.bulk.reset("ECANCELED");
    const again: [number, Question][] = [];
    const sent = [...this.#sent];
    this.#sent.clear();
    for (const [id, question] of sent) {
      if (MAY_BE_ASKED_AGAIN.has(question.op)) again.push([id, question]);
      else question.reject(new ConnectionLost(Errno.EIO, `${question.op}: the streams were lost`));
    }
    this.#waiting = [...again, ...this.#waiting];
    this.#onLoss();
    if (errno === "EPROTO") setTimeout(() => this.#connect(), RETRY_MS).unref();
    else this.#connect();
  }

  #receive(message: Uint8Array): void {
    const { id, errno, body } = parseAnswerHeader(message);
    if (id === 0) {
      const event = parseFileEvent(body);
      if (event) this.#onEvent(event);
      return;
    }
    const question = this.#sent.get(id);
    // Its time was over before.
    if (!question) return;
    this.#sent.delete(id);
    if (errno !== 0) question.reject(new FileError(errno, question.op));
    else question.resolve(parseFileAnswer(question.op, body));
    this.#sendWaiting();
  }

  #sweep(): void {
    const now = performance.now();
    for (const [id, question] of this.#sent) {
      if (question.untilMs > now) continue;
      this.#sent.delete(id);
      question.reject(new FileError(Errno.ETIMEDOUT, question.op));
    }
    this.#waiting = this.#waiting.filter(([, question]) => {
      if (question.untilMs > now) return true;
      question.reject(new FileError(Errno.ETIMEDOUT, question.op));
      return false;
    });
    this.#sendWaiting();
  }
}
