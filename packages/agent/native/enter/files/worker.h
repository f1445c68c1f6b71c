// The file worker: a child with the target's ids and no capability, so that permissions are the pod's.
//
// Node hands on what sessions ask of the file service; the shapes are in packages/protocol/src/file-service. Integers
// are little-endian.
//   request: u32 length of the rest · u32 id · u8 operation · u8 flags · u16 session · body
//   answer:  u32 length of the rest · u32 id · i32 errno, 0 for success · body
//   event:   the same with id 0, and the session in the place of the errno
//
// The socket outlives a worker, and may hold half of what was said to or by the last one. So enter draws a mark for
// each: the worker reads on until it has seen that, says it back, and what comes after it is its own, both ways.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "../target.h"

enum { WORKER_MARK = 32 };

enum worker_operation {
  WORKER_LOOK = 1,
  WORKER_CHAIN = 2,
  WORKER_LIST = 3,
  WORKER_TREE = 4,
  WORKER_READLINK = 5,
  WORKER_ACCESS = 6,
  WORKER_STATFS = 7,
  WORKER_GETXATTR = 8,
  WORKER_LISTXATTR = 9,
  WORKER_OPEN = 16,
  WORKER_READ = 17,
  WORKER_WRITE = 18,
  WORKER_CLOSE = 19,
  WORKER_FSTAT = 20,
  WORKER_FSYNC = 21,
  WORKER_FALLOCATE = 22,
  WORKER_LSEEK = 23,
  WORKER_COPY = 24,
  WORKER_SETATTR = 32,
  WORKER_MKDIR = 33,
  WORKER_UNLINK = 34,
  WORKER_RMDIR = 35,
  WORKER_SYMLINK = 36,
  WORKER_LINK = 37,
  WORKER_RENAME = 38,
  WORKER_MKNOD = 39,
  WORKER_SETXATTR = 40,
  WORKER_REMOVEXATTR = 41,
  WORKER_LOCK = 48,
  WORKER_FORGET = 64,
  WORKER_CONNECT_UNIX = 72, // Node's own question: see connecting.h
};

enum {
  WORKER_PATH_LIMIT = 4095,
  WORKER_TRANSFER_LIMIT = 1 << 20, // of one READ or WRITE
  WORKER_RECORDS_LIMIT = 2 << 20, // of one CHAIN, LIST or TREE
  WORKER_RECORDS_LEAST = 16 << 10,
  WORKER_INLINE_LIMIT = 1 << 20,
  WORKER_XATTR_LIMIT = 64 << 10,
  WORKER_REQUEST_LIMIT = WORKER_TRANSFER_LIMIT + (64 << 10),
};

struct worker_stat {
  uint32_t mode, nlink, uid, gid, blksize, flags;
  uint64_t size, ino, dev, rdev, blocks;
  int64_t atime_ns, mtime_ns, ctime_ns;
} __attribute__((packed));

enum worker_stat_flags {
  STAT_UNWATCHED = 1, // its directory's watch does not see all that happens to it
  STAT_LEASED = 2, // a directory that is watched
  STAT_UNKNOWN = 4, // a name that may not be looked at: only type and inode are known
};

struct worker_header {
  uint32_t length, id;
  uint8_t operation, flags;
  uint16_t session;
} __attribute__((packed));
struct worker_answer {
  uint32_t length, id;
  int32_t error;
} __attribute__((packed));

// Starts it on its end of the socket, which the caller keeps for the next one. The worker's pid, or -errno.
// `channel`: see connecting.h.
pid_t start_worker(const struct target *target, int socket, int channel, const uint8_t mark[WORKER_MARK]);
