/** What stat(2) says of a file, 88 bytes. packages/agent/native/enter/files/worker.h has the same layout. */
import { type Field, i64, readAll, size, u32, u64, type Values, writeAll } from "./fields.ts";

/** Bits of `flags`, which is nothing of stat's: what a lease of the directory does not tell. */
export const ATTRIBUTE_FLAGS = {
  /**
   * What is done to this file is not seen in its directory: something is mounted here, it has more than one name, it is
   * a directory, or it lies on a filesystem that cannot be watched. Believe it for a second at most.
   */
  unwatched: 1,
  /**
   * Of a directory: from now on an event tells when a name in it comes, goes or is another file, and when the
   * attributes or the content of one that is not `unwatched` change. Writing through a shared mapping tells nobody.
   * What happened while the lease was being given is told behind the answer that gives it; any other answer may be
   * overtaken by an event, and what it says of that name is then to be believed no longer than without a lease.
   */
  leased: 2,
  /** A name of a directory that may be read and not searched: only the type and the inode are known. */
  unknown: 4,
} as const;

const fields = {
  mode: u32,
  nlink: u32,
  uid: u32,
  gid: u32,
  blksize: u32,
  flags: u32,
  size,
  ino: u64,
  dev: u64,
  rdev: u64,
  blocks: size,
  /** Nanoseconds since the epoch, as the next two. */
  atimeNs: i64,
  mtimeNs: i64,
  ctimeNs: i64,
};
export type FileAttributes = Values<typeof fields>;

export const attributes: Field<FileAttributes> = {
  write: (to, value) => writeAll(to, fields, value),
  read: (from) => readAll(from, fields),
};
