/** One end's side of a stream on the socket between CLI and file server: bytes with credit, both ways. */
import type { FilesChannel, FilesStream } from "../link.ts";
import { dataHead, encodeCredit, encodeFrame, FrameKind, MAX_DATA, WINDOW } from "./frames.ts";

/** Credit is returned when so much was consumed: each is a wake-up of the other end. */
const CREDIT_BYTES = WINDOW / 8;

/** A frame: in one part, or its head and its data. */
export type Send = (frame: Buffer, data?: Uint8Array) => void;

export class RelayChannel implements FilesChannel {
  readonly #stream: FilesStream;
  readonly #epoch: number;
  readonly #send: Send;
  #credit = WINDOW;
  #owed = 0;
  #queue: Uint8Array[] = [];
  #isOver = false;
  onDrain: (() => void) | undefined;
  onReset: ((errno: string, detail: string) => void) | undefined;
  #onData: ((bytes: Uint8Array) => void) | undefined;
  #early: Uint8Array[] = [];

  constructor(stream: FilesStream, epoch: number, send: Send) {
    this.#stream = stream;
    this.#epoch = epoch;
    this.#send = send;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get onData(): ((bytes: Uint8Array) => void) | undefined {
    return this.#onData;
  }
  set onData(handler: ((bytes: Uint8Array) => void) | undefined) {
    this.#onData = handler;
    if (!handler) return;
    const early = this.#early;
    this.#early = [];
    for (const bytes of early) handler(bytes);
  }

  write(bytes: Uint8Array): boolean {
    if (this.#isOver) return true;
    this.#queue.push(bytes);
    this.#flush();
    return this.#queue.length === 0;
  }

  #flush(): void {
    for (let next = this.#queue[0]; next && this.#credit > 0; next = this.#queue[0]) {
      const part = next.subarray(0, Math.min(MAX_DATA, this.#credit));
      this.#credit -= part.length;
      this.#send(dataHead(this.#stream, this.#epoch, part.length), part);
      if (part.length === next.length) this.#queue.shift();
      else this.#queue[0] = next.subarray(part.length);
    }
  }

  consumed(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < CREDIT_BYTES || this.#isOver) return;
    this.#send(encodeCredit(this.#stream, this.#epoch, this.#owed));
    this.#owed = 0;
  }

  reset(errno: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#queue = [];
    this.#send(encodeFrame(FrameKind.reset, this.#stream, this.#epoch, Buffer.from(errno)));
  }

  // ---- what the other end said

  receiveData(bytes: Uint8Array): void {
    if (this.#isOver) return;
    if (this.#onData) this.#onData(bytes);
    else this.#early.push(bytes);
  }

  receiveCredit(bytes: number): void {
    if (this.#isOver) return;
    const didWait = this.#queue.length > 0;
    this.#credit += bytes;
    this.#flush();
    if (didWait && this.#queue.length === 0) this.onDrain?.();
  }

  receiveReset(errno: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#queue = [];
    this.onReset?.(errno, "");
  }
}
