/**
 * What the kernel asks, parsed from /dev/fuse. Numbers are little-endian; names are bytes, one in each char (latin1).
 * A request of which a part is missing is undefined: it is refused, never guessed at.
 */
import { Opcode } from "./numbers.ts";

export const HEADER_BYTES = 40;

export interface Header {
  readonly length: number;
  readonly opcode: number;
  /** Never reused; 0 for what is not answered. */
  readonly unique: bigint;
  readonly node: number;
  /** Of the thread that asks, 0 if there is none. */
  readonly pid: number;
}

export type Body =
  | { readonly op: "lookup" | "unlink" | "rmdir" | "removexattr"; readonly name: string }
  | { readonly op: "forget"; readonly nodes: readonly (readonly [node: number, count: number])[] }
  | { readonly op: "getattr"; readonly handle: number | undefined }
  | SetAttr
  | { readonly op: "readlink" | "statfs" | "destroy" }
  | { readonly op: "symlink"; readonly name: string; readonly target: string }
  | { readonly op: "mknod" | "mkdir"; readonly name: string; readonly mode: number }
  | {
      readonly op: "rename";
      readonly name: string;
      readonly newParent: number;
      readonly newName: string;
      readonly flags: number;
    }
  | { readonly op: "link"; readonly source: number; readonly name: string }
  | { readonly op: "open" | "opendir"; readonly flags: number }
  | {
      readonly op: "create";
      readonly name: string;
      readonly flags: number;
      readonly mode: number;
    }
  | {
      readonly op: "read" | "readdir" | "readdirplus";
      readonly handle: number;
      readonly offset: number;
      readonly size: number;
    }
  | {
      readonly op: "write";
      readonly handle: number;
      readonly offset: number;
      readonly data: Buffer;
    }
  | { readonly op: "release" | "releasedir" | "flush"; readonly handle: number }
  | { readonly op: "fsync"; readonly handle: number; readonly isDataOnly: boolean }
  | {
      readonly op: "setxattr";
      readonly name: string;
      readonly value: Buffer;
      readonly flags: number;
    }
  | { readonly op: "getxattr"; readonly name: string; readonly size: number }
  | { readonly op: "listxattr"; readonly size: number }
  | { readonly op: "access"; readonly mode: number }
  | { readonly op: "interrupt"; readonly unique: bigint }
  | {
      readonly op: "fallocate";
      readonly handle: number;
      readonly offset: number;
      readonly length: number;
      readonly mode: number;
    }
  | {
      readonly op: "lseek";
      readonly handle: number;
      readonly offset: number;
      readonly whence: number;
    }
  | CopyFileRange
  | Init
  | { readonly op: "unsupported" };

export interface CopyFileRange {
  readonly op: "copyFileRange";
  readonly from: { readonly handle: number; readonly offset: number };
  readonly to: { readonly handle: number; readonly offset: number };
  readonly length: number;
}

export interface SetAttr {
  readonly op: "setattr";
  readonly valid: number;
  readonly handle: number;
  readonly size: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface Init {
  readonly op: "init";
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly features: bigint;
}

export type Request = Header & { readonly body: Body };

/** @returns undefined for bytes that are no header */
export function parseHeader(bytes: Buffer): Header | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(0) !== bytes.length) return undefined;
  return {
    length: bytes.length,
    opcode: bytes.readUInt32LE(4),
    unique: bytes.readBigUInt64LE(8),
    node: u64(bytes, 16),
    pid: bytes.readUInt32LE(32),
  };
}

/** 64 bits that are a number here: offsets, sizes and our own node and handle numbers, all below 2^53. */
function u64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000;
}

class Malformed extends Error {}

/** Names that lie behind each other, each with its NUL. */
function names(bytes: Buffer, at: number, count: number): string[] {
  const found: string[] = [];
  for (let from = at; found.length < count; ) {
    const end = bytes.indexOf(0, from);
    if (end < 0) throw new Malformed();
    found.push(bytes.toString("latin1", from, end));
    from = end + 1;
  }
  return found;
}

function oneName(bytes: Buffer, at: number): string {
  return names(bytes, at, 1)[0] as string;
}

function part(bytes: Buffer, at: number, length: number): Buffer {
  if (at + length > bytes.length) throw new Malformed();
  return bytes.subarray(at, at + length);
}

/** @returns undefined if a part of it is missing. What it holds of `bytes` is gone when the slab is read into again */
export function parseBody(opcode: number, bytes: Buffer): Body | undefined {
  try {
    return parse(opcode, bytes, HEADER_BYTES);
  } catch (error) {
    if (error instanceof Malformed || error instanceof RangeError) return undefined;
    throw error;
  }
}

function parse(opcode: number, b: Buffer, p: number): Body {
  switch (opcode) {
    case Opcode.lookup:
      return { op: "lookup", name: oneName(b, p) };
    case Opcode.forget:
      return { op: "forget", nodes: [[u64(b, 16), u64(b, p)]] };
    case Opcode.batchForget: {
      const count = b.readUInt32LE(p);
      const nodes = part(b, p + 8, count * 16);
      return {
        op: "forget",
        nodes: Array.from({ length: count }, (_, i) => [
          u64(nodes, i * 16),
          u64(nodes, i * 16 + 8),
        ]),
      };
    }
    case Opcode.getattr:
      return { op: "getattr", handle: b.readUInt32LE(p) & 1 ? u64(b, p + 8) : undefined };
    case Opcode.setattr:
      return {
        op: "setattr",
        valid: b.readUInt32LE(p),
        handle: u64(b, p + 8),
        size: u64(b, p + 16),
        atimeNs: b.readBigInt64LE(p + 32) * 1_000_000_000n + BigInt(b.readUInt32LE(p + 56)),
        mtimeNs: b.readBigInt64LE(p + 40) * 1_000_000_000n + BigInt(b.readUInt32LE(p + 60)),
        mode: b.readUInt32LE(p + 68),
        uid: b.readUInt32LE(p + 76),
        gid: b.readUInt32LE(p + 80),
      };
    case Opcode.readlink:
      return { op: "readlink" };
    case Opcode.symlink: {
      const [name, target] = names(b, p, 2) as [string, string];
      return { op: "symlink", name, target };
    }
    case Opcode.mknod:
      return { op: "mknod", mode: b.readUInt32LE(p), name: oneName(b, p + 16) };
    case Opcode.mkdir:
      return { op: "mkdir", mode: b.readUInt32LE(p), name: oneName(b, p + 8) };
    case Opcode.unlink:
      return { op: "unlink", name: oneName(b, p) };
    case Opcode.rmdir:
      return { op: "rmdir", name: oneName(b, p) };
    case Opcode.rename:
      return rename(b, p, names(b, p + 8, 2), 0);
    case Opcode.rename2:
      return rename(b, p, names(b, p + 16, 2), b.readUInt32LE(p + 8));
    case Opcode.link:
      return { op: "link", source: u64(b, p), name: oneName(b, p + 8) };
    case Opcode.open:
      return { op: "open", flags: b.readUInt32LE(p) };
    case Opcode.opendir:
      return { op: "opendir", flags: b.readUInt32LE(p) };
    case Opcode.create:
      return {
        op: "create",
        flags: b.readUInt32LE(p),
        mode: b.readUInt32LE(p + 4),
        name: oneName(b, p + 16),
      };
    case Opcode.read:
      return { op: "read", ...range(b, p) };
    case Opcode.readdir:
      return { op: "readdir", ...range(b, p) };
    case Opcode.readdirplus:
      return { op: "readdirplus", ...range(b, p) };
    case Opcode.write:
      return {
        op: "write",
        handle: u64(b, p),
        offset: u64(b, p + 8),
        data: part(b, p + 40, b.readUInt32LE(p + 16)),
      };
    case Opcode.statfs:
      return { op: "statfs" };
    case Opcode.release:
      return { op: "release", handle: u64(b, p) };
    case Opcode.releasedir:
      return { op: "releasedir", handle: u64(b, p) };
    case Opcode.flush:
      return { op: "flush", handle: u64(b, p) };
    case Opcode.fsync:
    case Opcode.fsyncdir:
      return { op: "fsync", handle: u64(b, p), isDataOnly: (b.readUInt32LE(p + 8) & 1) === 1 };
    case Opcode.setxattr: {
      const name = oneName(b, p + 8);
      const value = part(b, p + 8 + name.length + 1, b.readUInt32LE(p));
      return { op: "setxattr", name, value, flags: b.readUInt32LE(p + 4) };
    }
    case Opcode.getxattr:
      return { op: "getxattr", size: b.readUInt32LE(p), name: oneName(b, p + 8) };
    case Opcode.listxattr:
      return { op: "listxattr", size: b.readUInt32LE(p) };
    case Opcode.removexattr:
      return { op: "removexattr", name: oneName(b, p) };
    case Opcode.access:
      return { op: "access", mode: b.readUInt32LE(p) };
    case Opcode.interrupt:
      return { op: "interrupt", unique: b.readBigUInt64LE(p) };
    case Opcode.fallocate:
      return {
        op: "fallocate",
        handle: u64(b, p),
        offset: u64(b, p + 8),
        length: u64(b, p + 16),
        mode: b.readUInt32LE(p + 24),
      };
    case Opcode.copyFileRange:
      return {
        op: "copyFileRange",
        from: { handle: u64(b, p), offset: u64(b, p + 8) },
        to: { handle: u64(b, p + 24), offset: u64(b, p + 32) },
        length: u64(b, p + 40),
      };
    case Opcode.lseek:
      return {
        op: "lseek",
        handle: u64(b, p),
        offset: u64(b, p + 8),
        whence: b.readUInt32LE(p + 16),
      };
    case Opcode.init: {
      const low = BigInt(b.readUInt32LE(p + 12));
      const high = b.length >= p + 20 ? BigInt(b.readUInt32LE(p + 16)) : 0n;
      return {
        op: "init",
        major: b.readUInt32LE(p),
        minor: b.readUInt32LE(p + 4),
        maxReadahead: b.readUInt32LE(p + 8),
        features: low | (high << 32n),
      };
    }
    case Opcode.destroy:
      return { op: "destroy" };
    default:
      return { op: "unsupported" };
  }
}

function rename(b: Buffer, p: number, both: string[], flags: number): Body {
  const [name, newName] = both as [string, string];
  return { op: "rename", newParent: u64(b, p), name, newName, flags };
}

function range(b: Buffer, p: number): { handle: number; offset: number; size: number } {
  return { handle: u64(b, p), offset: u64(b, p + 8), size: b.readUInt32LE(p + 16) };
}
