/** The bytes of the file worker's socket; the layout is in ../../native/enter/files/worker.h. Pure. */
import type { FileStat } from "@inpod/protocol";
import { Failure } from "../failure.ts";

export const OPERATIONS = { stat: 240, readlink: 241, access: 242, read: 243 } as const;

export interface Question {
  readonly operation: keyof typeof OPERATIONS;
  readonly path: Buffer;
  readonly follow?: boolean;
  readonly mode?: number;
  readonly limitBytes?: number;
}

/** PATH_MAX without its NUL. */
const MAX_PATH = 4095;
/** u32 length of the rest · u32 id · u8 operation · u8 flags · u16 session, which is nobody's · u32 limit · u16 length of the path */
const REQUEST_BYTES = 18;
/** u32 id · i32 errno */
const ANSWER_BYTES = 8;
const STAT_BYTES = 88;

/**
 * A ByteString of a foreign process as the path it names. Throws as open(2) would:
 * EINVAL, ENAMETOOLONG, ENOENT.
 */
export function parsePath(path: unknown): Buffer {
  if (typeof path !== "string") throw new Failure("EINVAL", "a path that is no string");
  if (path === "") throw new Failure("ENOENT", "an empty path");
  if (path.length > MAX_PATH) throw new Failure("ENAMETOOLONG", "a path beyond 4095 bytes");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: bytes, of which only NUL is no part of a path.
  if (!/^\/[\x01-\xff]*$/.test(path)) throw new Failure("EINVAL", "no absolute path");
  return Buffer.from(path, "latin1");
}

export function encodeQuestion(id: number, question: Question): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES + question.path.length);
  bytes.writeUInt32LE(bytes.length - 4, 0);
  bytes.writeUInt32LE(id, 4);
  bytes.writeUInt8(OPERATIONS[question.operation], 8);
  bytes.writeUInt8(question.mode ?? (question.follow ? 1 : 0), 9);
  bytes.writeUInt32LE(question.limitBytes ?? 0, 12);
  bytes.writeUInt16LE(question.path.length, 16);
  question.path.copy(bytes, REQUEST_BYTES);
  return bytes;
}

export interface Answer {
  readonly errno: number;
  readonly rest: Buffer;
}

/** @param message without its length. Throws EPROTO. */
export function parseAnswer(message: Buffer): Answer {
  if (message.length < ANSWER_BYTES)
    throw new Failure("EPROTO", "a short answer of the file worker");
  return { errno: message.readInt32LE(4), rest: message.subarray(ANSWER_BYTES) };
}

/** @param bytes struct worker_stat, then the content. Throws EPROTO. */
export function parseStat(bytes: Buffer): { stat: FileStat; content: Buffer } {
  if (bytes.length < STAT_BYTES) throw new Failure("EPROTO", "a short stat of the file worker");
  const stat: FileStat = {
    mode: bytes.readUInt32LE(0),
    nlink: bytes.readUInt32LE(4),
    uid: bytes.readUInt32LE(8),
    gid: bytes.readUInt32LE(12),
    blksize: bytes.readUInt32LE(16),
    size: Number(bytes.readBigUInt64LE(24)),
    ino: bytes.readBigUInt64LE(32).toString(),
    dev: bytes.readBigUInt64LE(40).toString(),
    rdev: bytes.readBigUInt64LE(48).toString(),
    blocks: Number(bytes.readBigUInt64LE(56)),
    atimeNs: bytes.readBigInt64LE(64).toString(),
    mtimeNs: bytes.readBigInt64LE(72).toString(),
    ctimeNs: bytes.readBigInt64LE(80).toString(),
  };
  return { stat, content: bytes.subarray(STAT_BYTES) };
}
