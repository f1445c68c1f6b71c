/** The file service: requests of many sessions to one worker, which knows them by numbers. */
import { encodeFileRequest, type FileRequest } from "@inpod/protocol";
import type { IncomingChannel } from "@inpod/tunnel";
import { errnoOf, Failure } from "../failure.ts";
import { Room } from "./room.ts";
import { FileStream } from "./stream.ts";
import type { Worker } from "./worker.ts";

/**
 * Bytes of requests and answers on their way, in the worker or here, of all sessions. Eight READs ahead, each a
 * mebibyte, are one session's part: three quarters of it.
 */
const BUDGET_BYTES = 16 * 1024 * 1024;
const SESSION_SHARE = 3 / 4;
/** Or else the largest would come only where there is no other. */
const LEAST_BUDGET_BYTES = 6 * 1024 * 1024;
/** One for small requests and one for large ones, and those that they replace. */
const MAX_STREAMS = 4;
const MAX_NUMBER = 0xffff;
const READY_TIMEOUT_MS = 10_000;

export class FileService {
  readonly #worker: Worker;
  readonly isReadOnly: boolean;
  readonly #room: Room;
  readonly #sessionBytes: number;
  readonly #sessions = new Map<number, SessionFiles>();
  #last = 0;

  constructor(
    worker: Worker,
    options: { readonly isReadOnly: boolean; readonly budgetBytes?: number | undefined },
  ) {
    this.#worker = worker;
    this.isReadOnly = options.isReadOnly;
    const bytes = Math.min(BUDGET_BYTES, options.budgetBytes ?? BUDGET_BYTES);
    this.#room = new Room(Math.max(LEAST_BUDGET_BYTES, bytes));
    this.#sessionBytes = Math.max(LEAST_BUDGET_BYTES, bytes) * SESSION_SHARE;
    worker.onEvent = (message) => {
      // Where an answer has its errno, an event has its session.
      if (message.length < 8) throw new Failure("EPROTO", "a short event of the file worker");
      this.#sessions.get(message.readInt32LE(4))?.event(message);
    };
    worker.onGone = (why) => {
      for (const session of this.#sessions.values()) session.workerGone(why);
    };
  }

  session(): SessionFiles {
    return new SessionFiles(this, this.#worker, new Room(this.#sessionBytes, this.#room));
  }

  /** A number that the worker knows nobody else by. */
  number(session: SessionFiles): number {
    if (this.#sessions.size >= MAX_NUMBER) throw new Failure("EAGAIN", "too many sessions");
    do this.#last = (this.#last % MAX_NUMBER) + 1;
    while (this.#sessions.has(this.#last));
    this.#sessions.set(this.#last, session);
    return this.#last;
  }

  /** The worker forgets all of it, and then the number is free. */
  release(number: number): void {
    const free = (): void => {
      this.#sessions.delete(number);
    };
    this.forget(number, { op: "forget" }, free);
  }

  /** Where there is no worker there is nothing to forget. */
  forget(number: number, request: FileRequest, done: () => void = () => undefined): void {
    try {
      this.#worker.post((id) => encodeFileRequest(id, request, number), {
        resolve: done,
        reject: done,
      });
    } catch {
      done();
    }
  }
}

export class SessionFiles {
  readonly #service: FileService;
  readonly #worker: Worker;
  readonly #room: Room;
  readonly #streams = new Set<FileStream>();
  /** Those who have just come wait for the worker. */
  #waiting = 0;
  #number: number | undefined;
  /** Whose leases there are: events go there. */
  #leaseholder: FileStream | undefined;
  #hasEnded = false;

  constructor(service: FileService, worker: Worker, room: Room) {
    this.#service = service;
    this.#worker = worker;
    this.#room = room;
  }

  /** Accepts the channel, or resets it with the errno. */
  async open(channel: IncomingChannel): Promise<void> {
    if (this.#hasEnded || this.#streams.size + this.#waiting >= MAX_STREAMS) {
      channel.reset("EMFILE");
      return;
    }
    let isOver = false;
    channel.onReset = () => {
      isOver = true;
    };
    this.#waiting++;
    try {
      await this.#worker.ready(READY_TIMEOUT_MS);
      if (isOver) return;
      if (this.#hasEnded) throw new Failure("ECONNRESET", "the session has ended");
      this.#number ??= this.#service.number(this);
      this.#serve(channel, this.#number);
    } catch (error) {
      if (!isOver) channel.reset(error instanceof Failure ? error.errno : errnoOf(error));
    } finally {
      this.#waiting--;
    }
  }

  #serve(channel: IncomingChannel, number: number): void {
    const stream = new FileStream(channel, {
      worker: this.#worker,
      session: number,
      isReadOnly: this.#service.isReadOnly,
      room: this.#room,
      onLease: () => {
        this.#leaseholder = stream;
      },
      onClose: () => {
        this.#streams.delete(stream);
        // Nobody is told any more, and whoever comes next has no lease yet.
        if (this.#leaseholder === stream) this.#forgetLeases();
      },
    });
    this.#streams.add(stream);
    channel.accept({ kind: "files", isReadOnly: this.#service.isReadOnly });
    stream.begin();
  }

  #forgetLeases(): void {
    this.#leaseholder = undefined;
    if (this.#number !== undefined && !this.#hasEnded)
      this.#service.forget(this.#number, { op: "forget", leasesOnly: true });
  }

  /** @param message without its length */
  event(message: Buffer): void {
    // One who does not take what he is told would have it kept for him.
    if (this.#leaseholder?.event(message) === false && this.#number !== undefined)
      this.#service.forget(this.#number, { op: "forget", leasesOnly: true });
  }

  workerGone(why: Failure): void {
    this.#leaseholder = undefined;
    for (const stream of [...this.#streams]) stream.reset(why.errno);
  }

  /** Idempotent. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const stream of [...this.#streams]) stream.reset("ECONNRESET");
    if (this.#number !== undefined) this.#service.release(this.#number);
  }
}
