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
  frame.writeUInt32LE(HEAD_BYTES - 4 + bytes.length, 0);
  frame.writeUInt8(kind, 4);
  frame.writeUInt8(stream === "bulk" ? 1 : 0, 5);
  frame.writeUInt32LE(epoch, 6);
  frame.set(bytes, HEAD_BYTES);
  return frame;
}

export const encodeText = (kind: number, text: string): Buffer =>
  encodeFrame(kind, "control", 0, Buffer.from(text));

export function encodeCredit(stream: FilesStream, epoch: number, bytes: number): Buffer {
  const body = Buffer.alloc(4);
  body.writeUInt32LE(bytes, 0);
  return encodeFrame(FrameKind.credit, stream, epoch, body);
}

/** Cuts what arrives into frames. */
export class FrameCutter {
  #kept: Buffer = Buffer.alloc(0);

  /** @throws Error for a length that cannot be: the other end is not ours */
  *push(chunk: Buffer): Generator<Frame> {
    let bytes = this.#kept.length > 0 ? Buffer.concat([this.#kept, chunk]) : chunk;
    while (bytes.length >= HEAD_BYTES) {
      const length = bytes.readUInt32LE(0);
      if (length < HEAD_BYTES - 4 || length > MAX_LENGTH) throw new Error("a frame of no length");
      if (bytes.length < 4 + length) break;
      yield {
        kind: bytes.readUInt8(4),
        stream: bytes.readUInt8(5) === 1 ? "bulk" : "control",
        epoch: bytes.readUInt32LE(6),
        bytes: bytes.subarray(HEAD_BYTES, 4 + length),
      };
      bytes = bytes.subarray(4 + length);
    }
    this.#kept = bytes;
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
