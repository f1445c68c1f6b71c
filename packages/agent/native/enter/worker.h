// The file worker: a child with the target's ids and no capability, so that permissions are the pod's.
//
// Integers are little-endian. Node asks, in any number; answers carry the question's id, in any order.
//   request: u32 length of the rest · u32 id · u8 operation · u8 flags · u16 access mode · u32 limit · path
//   answer:  u32 length of the rest · u32 id · i32 errno, 0 for success · then
//            stat: struct worker_stat · readlink: the target · read: struct worker_stat, content
//
// The socket outlives a worker, and may hold half of what was said to or by the last one. So a worker begins
// with reading on until WORKER_MARK_ZEROS zero bytes, which stand in no request (a path has no NUL), and the 16
// bytes after them, which it says back: what comes after those is its own.
#pragma once
#include <stdint.h>
#include "target.h"

enum { WORKER_MARK_ZEROS = 32, WORKER_MARK_NONCE = 16 };

enum worker_operation {
  WORKER_STAT = 1, // flags 1: follow a symlink at the end
  WORKER_READLINK = 2,
  WORKER_ACCESS = 3,
  WORKER_READ = 4, // EFBIG beyond `limit` bytes
};

enum { WORKER_READ_LIMIT = 8 << 20, WORKER_PATH_LIMIT = 4095 };

struct worker_stat {
  uint32_t mode, nlink, uid, gid, blksize, reserved;
  uint64_t size, ino, dev, rdev, blocks;
  int64_t atime_ns, mtime_ns, ctime_ns;
} __attribute__((packed));

// Starts it on its end of the socket, which the caller keeps for the next one. The worker's pid, or -errno.
pid_t start_worker(const struct target *target, int socket);
