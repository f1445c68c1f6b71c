/** One stream of the file service: checks what is asked, hands it on, and keeps the session within its limits. */
import { constants } from "node:os";
import {
  answerLimit,
  changesFiles,
  encodeFileEvent,
  encodeFileFailure,
  encodeFileRequest,
  type FileRequest,
  fileRequestId,
  MAX_REQUEST,
  MessageCutter,
  ProtocolError,
  parseFileRequest,
  UnknownOperation,
} from "@inpod/protocol";
import type { IncomingChannel } from "@inpod/tunnel";
import { Failure } from "../failure.ts";
import type { Room } from "./room.ts";
import type { Worker } from "./worker.ts";

const { EAGAIN, EINVAL, EIO, ENOSYS, EROFS, ESTALE, ETIMEDOUT } = constants.errno;

/** Requests of one stream that the worker has: more than it has threads, and less than it takes from all. */
const MAX_IN_FLIGHT = 64;
/** A file may lie on a network filesystem whose server is gone. Less than the file server's own patience (10 s). */
const TIMEOUT_MS = 9_000;
/** Who takes nothing of what he asked for has it kept for nothing. */
const STALL_TIMEOUT_MS = 30_000;
/** Bytes: beyond, an answer is not copied to stand behind its length. */
const COPY_BYTES = 16 * 1024;

export interface FileStreamParts {
  readonly worker: Worker;
  /** As the worker knows it. */
  readonly session: number;
  readonly isReadOnly: boolean;
  /** The session's, for requests and answers on their way. */
  readonly room: Room;
  readonly onLease: () => void;
  readonly onClose: () => void;
}

interface Parked {
  readonly id: number;
  readonly request: FileRequest;
  readonly message: Uint8Array;
  readonly costBytes: number;
}

export class FileStream {
  readonly #channel: IncomingChannel;
  readonly #parts: FileStreamParts;
  readonly #cutter = new MessageCutter(MAX_REQUEST);
  /** Those for which there is no room yet. Their bytes were not said to be consumed: the window bounds them. */
  readonly #parked: Parked[] = [];
  #unconsumedBytes = 0;
  #inFlight = 0;
  /** Of answers that the channel has and the tunnel has not taken. */
  #undrainedBytes = 0;
  #isCongested = false;
  #stalled: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(channel: IncomingChannel, parts: FileStreamParts) {
    this.#channel = channel;
    this.#parts = parts;
  }

  /** To be called when the channel is accepted. */
  begin(): void {
    this.#channel.onReset = () => this.#close();
    this.#channel.onEnd = () => {
      this.#channel.end();
      this.#close();
    };
    this.#channel.onDrain = () => {
      this.#drained();
      this.#next();
    };
    this.#channel.onData = (bytes) => this.#received(bytes);
  }

  reset(errno: string): void {
    if (this.#isClosed) return;
    this.#channel.reset(errno);
    this.#close();
  }

  /** @param message without its length. False: too much lies unsent; that all leases are lost is said instead. */
  event(message: Buffer): boolean {
    if (this.#isClosed) return true;
    if (this.#isCongested) {
      this.#write(encodeFileEvent({ kind: "leases-lost" }));
      return false;
    }
    message.writeInt32LE(0, 4);
    this.#send(message);
    return true;
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#parked.length = 0;
    this.#drained();
    this.#parts.room.forget(this.#wake);
    this.#parts.onClose();
  }

  #drained(): void {
    clearTimeout(this.#stalled);
    this.#isCongested = false;
    const bytes = this.#undrainedBytes;
    this.#undrainedBytes = 0;
    if (bytes > 0) this.#parts.room.give(bytes);
  }

  readonly #wake = (): void => this.#next();

  #received(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    try {
      for (const message of this.#cutter.push(bytes)) this.#arrived(message);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.reset("EPROTO");
      return;
    }
    // What is cut short is ours: its end would else never come.
    if (this.#parked.length === 0) this.#channel.consumed(bytes.length);
    else this.#unconsumedBytes += bytes.length;
  }

  /** @throws ProtocolError for what has not even an id */
  #arrived(message: Uint8Array): void {
    const id = fileRequestId(message);
    try {
      const { request } = parseFileRequest(message);
      const costBytes = message.length + answerLimit(request);
      this.#parked.push({ id, request, message, costBytes });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail(id, error instanceof UnknownOperation ? ENOSYS : EINVAL);
      return;
    }
    this.#next();
  }

  #next(): void {
    for (let parked = this.#parked[0]; parked && !this.#isClosed; parked = this.#parked[0]) {
      if (this.#inFlight >= MAX_IN_FLIGHT) return;
      if (!this.#parts.room.take(parked.costBytes)) {
        this.#parts.room.whenGiven(this.#wake);
        return;
      }
      this.#parked.shift();
      this.#hand(parked);
    }
    if (this.#unconsumedBytes === 0) return;
    const bytes = this.#unconsumedBytes;
    this.#unconsumedBytes = 0;
    this.#channel.consumed(bytes);
  }

  #hand({ id, request, message, costBytes }: Parked): void {
    const { worker, session, isReadOnly } = this.#parts;
    if (isReadOnly && changesFiles(request)) {
      this.#parts.room.give(costBytes);
      this.#fail(id, EROFS);
      return;
    }
    if ("lease" in request && request.lease === true) this.#parts.onLease();
    let isLate = false;
    const over = (): void => {
      if (isLate) return;
      clearTimeout(timer);
      this.#inFlight--;
      this.#parts.room.give(costBytes);
    };
    const timer = setTimeout(() => {
      over();
      isLate = true;
      this.#fail(id, ETIMEDOUT);
      // Nobody knows that it will be open; CLOSE waits for it in the worker.
      if (request.op === "open") this.#closeLate(request.handle);
      this.#next();
    }, TIMEOUT_MS);
    this.#inFlight++;
    try {
      worker.post((workerId) => addressed(message, workerId, session), {
        resolve: (answer) => {
          if (!isLate) this.#answer(id, answer);
          over();
          this.#next();
        },
        // The worker is gone, and with it this stream: reset() comes.
        reject: ({ errno }) => {
          over();
          if (!isLate) this.#fail(id, errno === "ESTALE" ? ESTALE : EIO);
        },
      });
    } catch (error) {
      over();
      if (!(error instanceof Failure)) throw error;
      this.#fail(id, error.errno === "EAGAIN" ? EAGAIN : EIO);
    }
  }

  #closeLate(handle: number): void {
    const { worker, session } = this.#parts;
    const ignore = (): void => undefined;
    try {
      worker.post((id) => encodeFileRequest(id, { op: "close", handle }, session), {
        resolve: ignore,
        reject: ignore,
      });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }

  #fail(id: number, errno: number): void {
    if (!this.#isClosed) this.#write(encodeFileFailure(id, errno));
  }

  #answer(id: number, answer: Buffer): void {
    if (this.#isClosed) return;
    answer.writeUInt32LE(id, 0);
    this.#send(answer);
  }

  /** @param message ours from now on */
  #send(message: Buffer): void {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(message.length);
    if (message.length < COPY_BYTES) {
      this.#write(Buffer.concat([length, message]));
    } else {
      this.#write(length);
      this.#write(message);
    }
  }

  #write(bytes: Uint8Array): void {
    const hasRoom = this.#channel.write(bytes);
    if (!hasRoom && !this.#isCongested) {
      this.#isCongested = true;
      this.#stalled = setTimeout(() => this.reset("ETIMEDOUT"), STALL_TIMEOUT_MS);
    }
    if (!this.#isCongested) return;
    this.#undrainedBytes += bytes.length;
    this.#parts.room.add(bytes.length);
  }
}

/** A request as the worker is to have it, with its length. */
function addressed(message: Uint8Array, id: number, session: number): Buffer {
  const bytes = Buffer.allocUnsafe(4 + message.length);
  bytes.writeUInt32LE(message.length, 0);
  bytes.set(message, 4);
  bytes.writeUInt32LE(id, 4);
  bytes.writeUInt16LE(session, 10);
  return bytes;
}
