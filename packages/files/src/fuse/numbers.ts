/** Numbers of linux/fuse.h, protocol 7. */

export const Opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  access: 34,
  create: 35,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  syncfs: 50,
} as const;

/** Of INIT's `flags`; from 32 on in `flags2`. */
export const Feature = {
  asyncRead: 0,
  atomicTruncate: 3,
  bigWrites: 5,
  autoInvalidateData: 12,
  readdirplus: 13,
  readdirplusAuto: 14,
  asyncDirectIo: 15,
  parallelDirectoryOperations: 18,
  abortError: 21,
  maxPages: 22,
  cacheSymlinks: 23,
  handleKillPriv: 28,
  extended: 30,
  directIoAllowsMmap: 36,
  requestTimeout: 42,
} as const;

export const OpenFlag = {
  directIo: 1 << 0,
  keepCache: 1 << 1,
  noFlush: 1 << 5,
} as const;

export const SetAttrBit = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  handle: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
} as const;

export const Notification = { invalidateInode: 2, invalidateEntry: 3 } as const;

/** errno.h: the same on x86-64 and arm64. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EACCES: 13,
  EEXIST: 17,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EMFILE: 24,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ENODATA: 61,
  EPROTO: 71,
  EOPNOTSUPP: 95,
  ECONNRESET: 104,
  ETIMEDOUT: 110,
  ESTALE: 116,
} as const;

/** File types: the S_IFMT part of a mode. */
export const FileType = {
  mask: 0o170000,
  socket: 0o140000,
  link: 0o120000,
  regular: 0o100000,
  directory: 0o040000,
  fifo: 0o010000,
} as const;

/** open(2)'s flags, as x86-64 and arm64 share them. */
export const O = {
  accessMode: 0o3,
  rdonly: 0,
  wronly: 1,
  rdwr: 2,
  creat: 0o100,
  excl: 0o200,
  trunc: 0o1000,
  append: 0o2000,
  nonblock: 0o4000,
  dsync: 0o10000,
  sync: 0o4010000,
} as const;
