/**
 * What the CLI and its file server say to each other, over one socket. Numbers are little-endian.
 *
 *   u32 length of the rest · u8 kind · u8 stream · u32 epoch · bytes
 *
 * The epoch counts a stream's openings: what belongs to an earlier one is nobody's.
 */
import type { FilesStream } from "../link.ts";

export const FrameKind = {
  open: 1, // server: a new stream is wanted, which ends the one before
  opened: 2, // CLI
  data: 3, // both: at most MAX_DATA bytes
  credit: 4, // both: u32 bytes that may be sent beyond what was granted before
  reset: 5, // both: an errno's name; before `opened` it was refused
  start: 6, // CLI: JSON StartMessage
  mounted: 7, // server: JSON MountedMessage; the descriptors are in the other socket
  refused: 8, // server: JSON RefusedMessage
  log: 9, // server: text
  close: 10, // CLI
  ask: 11, // CLI: figures are wanted
  figures: 12, // server: JSON ServerFigures
} as const;

export const MAX_DATA = 256 * 1024;
/** Bytes that each side may send on a stream before any credit. */
export const WINDOW = 4 * 1024 * 1024;
const HEAD_BYTES = 10;
const MAX_LENGTH = MAX_DATA + 64 * 1024;

export interface Frame {
  readonly kind: number;
  readonly stream: FilesStream;
  readonly epoch: number;
  readonly bytes: Buffer;
}

export function encodeFrame(
  kind: number,
  stream: FilesStream = "control",
  epoch = 0,
  bytes: Uint8Array = new Uint8Array(),
): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + bytes.length);
  putHead(frame, kind, stream, epoch, bytes.length);
  frame.set(bytes, HEAD_BYTES);
  return frame;
}

/** What stands before so many bytes of data, which are not copied. */
export function dataHead(stream: FilesStream, epoch: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  putHead(head, FrameKind.data, stream, epoch, length);
  return head;
}

function putHead(
  into: Buffer,
  kind: number,
  stream: FilesStream,
  epoch: number,
  length: number,
): void {
  into.writeUInt32LE(HEAD_BYTES - 4 + length, 0);
  into.writeUInt8(kind, 4);
  into.writeUInt8(stream === "bulk" ? 1 : 0, 5);
  into.writeUInt32LE(epoch, 6);
}

export const encodeText = (kind: number, text: string): Buffer =>
  encodeFrame(kind, "control", 0, Buffer.from(text));

export function encodeCredit(stream: FilesStream, epoch: number, bytes: number): Buffer {
  const body = Buffer.alloc(4);
  body.writeUInt32LE(bytes, 0);
  return encodeFrame(FrameKind.credit, stream, epoch, body);
}

/** Cuts what arrives into frames. Data is passed on as it comes, in any number of parts. */
export class FrameCutter {
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #headBytes = 0;
  #frame: (Omit<Frame, "bytes"> & { readonly body: Buffer | undefined }) | undefined;
  #left = 0;

  /** @throws Error for a length that cannot be: the other end is not ours */
  *push(chunk: Buffer): Generator<Frame> {
    for (let at = 0; at < chunk.length; ) {
      if (!this.#frame) {
        const used = Math.min(HEAD_BYTES - this.#headBytes, chunk.length - at);
        chunk.copy(this.#head, this.#headBytes, at, at + used);
        this.#headBytes += used;
        at += used;
        if (this.#headBytes < HEAD_BYTES) return;
        this.#begin();
      } else {
        const part = chunk.subarray(at, Math.min(chunk.length, at + this.#left));
        if (this.#frame.body) part.copy(this.#frame.body, this.#frame.body.length - this.#left);
        this.#left -= part.length;
        at += part.length;
        if (!this.#frame.body && part.length > 0) yield { ...this.#frame, bytes: part };
      }
      if (this.#frame && this.#left === 0) {
        const { body, ...frame } = this.#frame;
        this.#frame = undefined;
        if (body) yield { ...frame, bytes: body };
      }
    }
  }

  #begin(): void {
    const length = this.#head.readUInt32LE(0);
    if (length < HEAD_BYTES - 4 || length > MAX_LENGTH) throw new Error("a frame of no length");
    this.#headBytes = 0;
    this.#left = length - (HEAD_BYTES - 4);
    const kind = this.#head.readUInt8(4);
    this.#frame = {
      kind,
      stream: this.#head.readUInt8(5) === 1 ? "bulk" : "control",
      epoch: this.#head.readUInt32LE(6),
      body: kind === FrameKind.data ? undefined : Buffer.allocUnsafe(this.#left),
    };
  }
}

/** How the mount was made. */
export type Via = "detached" | "userns" | "fusermount";
export const WAYS: readonly Via[] = ["detached", "userns", "fusermount"];

export interface StartMessage {
  readonly ways: readonly Via[];
  readonly limits: {
    readonly contentBytes: number;
    readonly aheadBytes: number;
    readonly nodes: number;
  };
}
export interface MountedMessage {
  readonly via: Via;
  readonly refusals: readonly string[];
}
export interface RefusedMessage {
  readonly refusals: readonly string[];
  /** The agent's errno about the root, when it was that. */
  readonly errno: number;
}
export interface ServerFigures {
  readonly asked: Readonly<Record<string, number>>;
  readonly fuse: Readonly<Record<string, number>>;
  readonly nodes: number;
  readonly residentBytes: number;
}
