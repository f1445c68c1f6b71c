/** What the kernel is told: the bodies of answers, written as linux/fuse.h has them. */

/** Of one file, as the agent says it. Times are nanoseconds since 1970, sizes bytes, `blocks` of 512. */
export interface Attributes {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly blksize: number;
  readonly size: number;
  readonly ino: bigint;
  readonly dev: bigint;
  readonly rdev: bigint;
  readonly blocks: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** An errno, or what is to be said: `bytes` from `at` on, `length` of them. */
export type Answer =
  | { readonly errno: number }
  | { readonly bytes: Uint8Array; readonly at?: number; readonly length?: number };

export const OK: Answer = { bytes: new Uint8Array() };

const ENTRY_BYTES = 128;
const ATTRIBUTES_BYTES = 88;
const SECOND_NS = 1_000_000_000n;

/** A name that leads to a file, and for how long the kernel may say so, and tell its attributes, by itself. */
export interface Entry {
  readonly node: number;
  readonly attributes: Attributes;
  readonly nameMs: number;
  readonly attributesMs: number;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Writes answers. With `owner` all files are shown as that user's: whose ids are not mapped could not write them. */
export class AnswerWriter {
  readonly #owner: Owner | undefined;

  constructor(owner: Owner | undefined) {
    this.#owner = owner;
  }

  entry(entry: Entry): Answer {
    const bytes = Buffer.alloc(ENTRY_BYTES);
    this.#putEntry(bytes, 0, entry);
    return { bytes };
  }

  /** There is no such name, and that may be remembered. */
  negative(validMs: number): Answer {
    const bytes = Buffer.alloc(ENTRY_BYTES);
    putValidity(bytes, 16, 32, validMs);
    return { bytes };
  }

  attributes(attributes: Attributes, validMs: number): Answer {
    const bytes = Buffer.alloc(16 + ATTRIBUTES_BYTES);
    putValidity(bytes, 0, 8, validMs);
    this.#putAttributes(bytes, 16, attributes);
    return { bytes };
  }

  created(entry: Entry, handle: number, flags: number): Answer {
    const bytes = Buffer.alloc(ENTRY_BYTES + 16);
    this.#putEntry(bytes, 0, entry);
    putOpen(bytes, ENTRY_BYTES, handle, flags);
    return { bytes };
  }

  #putEntry(into: Buffer, at: number, entry: Entry): void {
    putU64(into, at, entry.node);
    putU64(into, at + 8, 0);
    putValidity(into, at + 16, at + 32, entry.nameMs);
    putValidity(into, at + 24, at + 36, entry.attributesMs);
    this.#putAttributes(into, at + 40, entry.attributes);
  }

  #putAttributes(into: Buffer, at: number, of: Attributes): void {
    into.writeBigUInt64LE(of.ino, at);
    putU64(into, at + 8, of.size);
    putU64(into, at + 16, of.blocks);
    putTime(into, at + 24, at + 48, of.atimeNs);
    putTime(into, at + 32, at + 52, of.mtimeNs);
    putTime(into, at + 40, at + 56, of.ctimeNs);
    into.writeUInt32LE(of.mode, at + 60);
    into.writeUInt32LE(of.nlink, at + 64);
    into.writeUInt32LE(this.#owner?.uid ?? of.uid, at + 68);
    into.writeUInt32LE(this.#owner?.gid ?? of.gid, at + 72);
    into.writeUInt32LE(encodeDevice(of.rdev), at + 76);
    into.writeUInt32LE(of.blksize, at + 80);
    into.writeUInt32LE(0, at + 84);
  }

  /** @returns the bytes used, 0 if it does not fit. `next` is where reading goes on behind it */
  putDirectoryEntry(
    into: Buffer,
    at: number,
    name: string,
    ino: bigint,
    mode: number,
    next: number,
  ): number {
    const used = (24 + name.length + 7) & ~7;
    if (at + used > into.length) return 0;
    into.writeBigUInt64LE(ino, at);
    putU64(into, at + 8, next);
    into.writeUInt32LE(name.length, at + 16);
    into.writeUInt32LE(mode >>> 12, at + 20);
    into.fill(0, at + 24 + name.length, at + used);
    into.write(name, at + 24, "latin1");
    return used;
  }

  /** As putDirectoryEntry, for READDIRPLUS. Without a node the kernel takes the name alone. */
  putDirectoryEntryPlus(
    into: Buffer,
    at: number,
    name: string,
    ino: bigint,
    mode: number,
    next: number,
    known?: Entry,
  ): number {
    const used = this.putDirectoryEntry(into, at + ENTRY_BYTES, name, ino, mode, next);
    if (used === 0) return 0;
    into.fill(0, at, at + ENTRY_BYTES);
    if (known) this.#putEntry(into, at, known);
    return ENTRY_BYTES + used;
  }
}

export function opened(handle: number, flags: number): Answer {
  const bytes = Buffer.alloc(16);
  putOpen(bytes, 0, handle, flags);
  return { bytes };
}

export function written(count: number): Answer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(count, 0);
  return { bytes };
}

export function position(offset: bigint): Answer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(offset, 0);
  return { bytes };
}

/** statfs(2)'s. */
export interface FileSystemFigures {
  readonly blocks: bigint;
  readonly bfree: bigint;
  readonly bavail: bigint;
  readonly files: bigint;
  readonly ffree: bigint;
  readonly bsize: number;
  readonly frsize: number;
  readonly namelen: number;
}

export function fileSystem(of: FileSystemFigures): Answer {
  const bytes = Buffer.alloc(80);
  bytes.writeBigUInt64LE(of.blocks, 0);
  bytes.writeBigUInt64LE(of.bfree, 8);
  bytes.writeBigUInt64LE(of.bavail, 16);
  bytes.writeBigUInt64LE(of.files, 24);
  bytes.writeBigUInt64LE(of.ffree, 32);
  bytes.writeUInt32LE(of.bsize, 40);
  bytes.writeUInt32LE(of.namelen, 44);
  bytes.writeUInt32LE(of.frsize, 48);
  return { bytes };
}

/** The answer to getxattr and listxattr: the size alone if none was asked for. */
export function attributeValue(value: Uint8Array, askedBytes: number, tooSmall: number): Answer {
  if (askedBytes === 0) return written(value.length);
  return value.length > askedBytes ? { errno: tooSmall } : { bytes: value };
}

function putOpen(into: Buffer, at: number, handle: number, flags: number): void {
  putU64(into, at, handle);
  into.writeUInt32LE(flags, at + 8);
}

function putU64(into: Buffer, at: number, value: number): void {
  into.writeUInt32LE(value % 0x1_0000_0000, at);
  into.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

function putTime(into: Buffer, secondsAt: number, nanosecondsAt: number, ns: bigint): void {
  let seconds = ns / SECOND_NS;
  let rest = ns % SECOND_NS;
  if (rest < 0n) {
    seconds -= 1n;
    rest += SECOND_NS;
  }
  into.writeBigInt64LE(seconds, secondsAt);
  into.writeUInt32LE(Number(rest), nanosecondsAt);
}

function putValidity(into: Buffer, secondsAt: number, nanosecondsAt: number, ms: number): void {
  const left = Math.max(0, ms);
  const seconds = Math.floor(left / 1000);
  putU64(into, secondsAt, seconds);
  into.writeUInt32LE(Math.floor((left - seconds * 1000) * 1e6), nanosecondsAt);
}

/** Of stat's 64 bits the kernel's own 32 (new_encode_dev). */
function encodeDevice(rdev: bigint): number {
  const major = Number((rdev >> 8n) & 0xfffn);
  const minor = Number((rdev & 0xffn) | ((rdev >> 12n) & 0xfff00n));
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
