/**
 * What is asked of the file service:
 *
 *   u32 length of the rest · u32 id, not 0 · u8 operation · u8 flags · u16 session · body
 *
 * Paths are resolved in the target's root. None is followed at its end, and a symlink in the middle of one is ESTALE;
 * only CHAIN follows links. Requests of a session are answered in any order, but those about a handle in the order in
 * which they came as far as it matters: READ may be sent right behind its OPEN, and CLOSE waits for both.
 */
import { ProtocolError } from "../frames.ts";
import {
  attributeName,
  type Fields,
  i64,
  linkTarget,
  path,
  Reader,
  rawPath,
  readAll,
  rest,
  size,
  u8,
  u16,
  u32,
  u64,
  type Values,
  Writer,
  writeAll,
} from "./fields.ts";

/** Bytes of one READ or WRITE. */
export const MAX_TRANSFER = 1024 * 1024;
/** Bytes of the records of one answer: what is asked beyond it is not given, and less than the least is given all the same. */
export const MAX_RECORDS = 2 * 1024 * 1024;
export const MIN_RECORDS = 16 * 1024;
/** Bytes of a content beside its attributes. */
export const MAX_INLINE = 1024 * 1024;
/** Bytes of an extended attribute's value (xattr(7)). */
export const MAX_ATTRIBUTE_VALUE = 64 * 1024;
/** Bytes of a request after its length: WRITE's with the longest content. */
export const MAX_REQUEST = MAX_TRANSFER + 64 * 1024;

/** `SETATTR`: which of the values count. */
export const SET_ATTRIBUTES = {
  mode: 1,
  uid: 2,
  gid: 4,
  size: 8,
  atime: 16,
  mtime: 32,
  atimeNow: 64,
  mtimeNow: 128,
} as const;

/** open(2)'s numbers as x86-64 has them, whatever either machine is. */
export const OPEN_FLAGS = {
  writeOnly: 0o1,
  readWrite: 0o2,
  create: 0o100,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
  dsync: 0o10000,
  directory: 0o200000,
  noAtime: 0o1000000,
  sync: 0o4010000,
} as const;
const WRITING_OPEN =
  OPEN_FLAGS.writeOnly | OPEN_FLAGS.readWrite | OPEN_FLAGS.create | OPEN_FLAGS.truncate;

interface Shape {
  readonly number: number;
  /** Names of flags by their bit; one that is left out is not set. */
  readonly flags?: Readonly<Record<string, number>>;
  readonly body: Fields;
  /** The target's files are another after it. */
  readonly changes?: true;
}

const listing = { maxEntries: u32, maxBytes: u32, inlineLimit: u32 };
const handle = u32;

const SHAPES = {
  /**
   * lstat, with the content of a regular file of at most `inlineLimit` bytes, or a link's target. Here and in listings
   * without the target where reading it would take away an access time that the link was given.
   */
  look: { number: 1, body: { path, inlineLimit: u32 } },
  /**
   * Every component on the way of any absolute path, links followed as the kernel would. `listing`: and the names of
   * the last directory (the end of the path if that is one, else the one it lies in), with small contents.
   * `lease`: of every directory on the way.
   */
  chain: {
    number: 2,
    flags: { listing: 1, lease: 2 },
    body: { path: rawPath, inlineLimit: u32, maxBytes: u32 },
  },
  /** @see ListAnswer. `cookie`: 0, or the last answer's `nextCookie`. */
  list: {
    number: 3,
    flags: { lease: 1, contents: 2 },
    body: { path, cookie: u64, ...listing },
  },
  /** A directory and those below it, nearest first, until the limits. Not into /proc, /sys and the like. */
  tree: { number: 4, flags: { lease: 1, contents: 2 }, body: { path, ...listing } },
  readlink: { number: 5, body: { path } },
  /** access(2) with the target's ids. */
  access: { number: 6, body: { path, mode: u16 } },
  statfs: { number: 7, body: { path } },
  getxattr: { number: 8, body: { path, name: attributeName } },
  listxattr: { number: 9, body: { path } },

  /** `handle`: chosen by who asks, one number for one file at a time. `mode` as it is: nothing is masked. */
  open: { number: 16, body: { handle, path, flags: u32, mode: u16 } },
  read: { number: 17, body: { handle, offset: size, size: u32 } },
  /** `append`: at the end of the file, wherever others have brought it; `offset` says nothing. */
  write: {
    number: 18,
    flags: { append: 1 },
    body: { handle, offset: size, content: rest },
    changes: true,
  },
  close: { number: 19, body: { handle } },
  fstat: { number: 20, body: { handle } },
  fsync: { number: 21, flags: { dataOnly: 1 }, body: { handle } },
  fallocate: {
    number: 22,
    body: { handle, mode: u32, offset: size, length: size },
    changes: true,
  },
  /** SEEK_DATA (3) and SEEK_HOLE (4) only: the position is the program's own. */
  lseek: { number: 23, body: { handle, offset: size, whence: u8 } },
  /** copy_file_range(2); it may copy less. */
  copy: {
    number: 24,
    body: { from: handle, fromOffset: size, to: handle, toOffset: size, length: size },
    changes: true,
  },

  /** Of `handle`, or of `path` where that is 0. `mask`: SET_ATTRIBUTES. */
  setattr: {
    number: 32,
    body: {
      handle,
      path,
      mask: u32,
      mode: u32,
      uid: u32,
      gid: u32,
      size,
      atimeNs: i64,
      mtimeNs: i64,
    },
    changes: true,
  },
  mkdir: { number: 33, body: { path, mode: u16 }, changes: true },
  unlink: { number: 34, body: { path }, changes: true },
  rmdir: { number: 35, body: { path }, changes: true },
  symlink: { number: 36, body: { target: linkTarget, path }, changes: true },
  link: { number: 37, body: { from: path, to: path }, changes: true },
  /** `flags`: renameat2(2)'s RENAME_NOREPLACE and RENAME_EXCHANGE. */
  rename: { number: 38, body: { from: path, to: path, flags: u32 }, changes: true },
  /** Regular files and FIFOs; devices and sockets are EPERM. */
  mknod: { number: 39, body: { path, mode: u32 }, changes: true },
  setxattr: {
    number: 40,
    body: { path, name: attributeName, flags: u32, value: rest },
    changes: true,
  },
  removexattr: { number: 41, body: { path, name: attributeName }, changes: true },

  /**
   * A lock of the whole file or a range, held for `handle` and seen by the pod's own processes: EAGAIN when somebody
   * else has it, at once. `kind`: F_RDLCK 0, F_WRLCK 1, F_UNLCK 2. `length` 0: to the end. Released by CLOSE.
   */
  lock: {
    number: 48,
    flags: { flock: 1 },
    body: { handle, kind: u8, offset: size, length: size },
  },

  /** All handles and leases of the session, or (`leasesOnly`) its leases. */
  forget: { number: 64, flags: { leasesOnly: 1 }, body: {} },
} as const satisfies Readonly<Record<string, Shape>>;

/** Of a newer asker: ENOSYS for him. */
export class UnknownOperation extends ProtocolError {}

export type FileOperation = keyof typeof SHAPES;
type FlagsOf<S> = S extends { readonly flags: infer F }
  ? { readonly [N in keyof F]?: boolean }
  : unknown;
/** A question by its `op`. */
export type FileRequests = {
  readonly [Op in FileOperation]: { readonly op: Op } & FlagsOf<(typeof SHAPES)[Op]> &
    Values<(typeof SHAPES)[Op]["body"]>;
};
export type FileRequest = FileRequests[FileOperation];

export const FILE_OPERATIONS: Readonly<Record<FileOperation, number>> = Object.fromEntries(
  Object.entries(SHAPES).map(([op, { number }]) => [op, number]),
) as Record<FileOperation, number>;
const BY_NUMBER = new Map<number, FileOperation>(
  Object.entries(SHAPES).map(([op, { number }]) => [number, op as FileOperation]),
);

/** Where the session's number stands in a request with its length, for who relays it. */
export const SESSION_AT = 10;

/** @param id not 0; the answer has the same */
export function encodeFileRequest(id: number, request: FileRequest, session = 0): Uint8Array {
  const shape: Shape = SHAPES[request.op];
  const to = new Writer();
  let flags = 0;
  for (const [name, bit] of Object.entries(shape.flags ?? {}))
    if ((request as unknown as Record<string, unknown>)[name] === true) flags |= bit;
  to.u32(0);
  to.u32(id);
  to.u8(shape.number);
  to.u8(flags);
  to.u16(session);
  writeAll(to, shape.body, request as never);
  return to.framed();
}

/** The id of a request that may be wrong otherwise. @throws ProtocolError when not even that is there */
export function fileRequestId(message: Uint8Array): number {
  const id = new Reader(message).u32();
  if (id === 0) throw new ProtocolError("a request about files without an id");
  return id;
}

/**
 * @param message without its length
 * @throws ProtocolError for what is not exactly a request. `write`'s content is a view of the message.
 */
export function parseFileRequest(message: Uint8Array): {
  readonly id: number;
  readonly session: number;
  readonly request: FileRequest;
} {
  const from = new Reader(message);
  const id = from.u32();
  const op = BY_NUMBER.get(from.u8());
  const flags = from.u8();
  const session = from.u16();
  if (id === 0) throw new ProtocolError("a request about files without an id");
  if (op === undefined) throw new UnknownOperation("an unknown request about files");
  const shape: Shape = SHAPES[op];
  const named: Record<string, boolean> = {};
  let known = 0;
  for (const [name, bit] of Object.entries(shape.flags ?? {})) {
    known |= bit;
    if (flags & bit) named[name] = true;
  }
  if (flags & ~known) throw new ProtocolError(`an unknown flag of ${op}`);
  const body = readAll(from, shape.body);
  from.end();
  return { id, session, request: { op, ...named, ...body } as unknown as FileRequest };
}

/** Whether the target's files may be others afterwards. */
export function changesFiles(request: FileRequest): boolean {
  if (request.op === "open") return (request.flags & WRITING_OPEN) !== 0;
  return "changes" in SHAPES[request.op];
}

/** Bytes that the answer may have at most, for who keeps room for it. */
export function answerLimit(request: FileRequest): number {
  const small = 8 * 1024;
  switch (request.op) {
    case "look":
      return small + Math.min(request.inlineLimit, MAX_INLINE);
    case "chain":
    case "list":
    case "tree":
      return small + Math.max(MIN_RECORDS, Math.min(request.maxBytes, MAX_RECORDS));
    case "read":
      return small + Math.min(request.size, MAX_TRANSFER);
    case "getxattr":
    case "listxattr":
      return small + MAX_ATTRIBUTE_VALUE;
    default:
      return small;
  }
}
