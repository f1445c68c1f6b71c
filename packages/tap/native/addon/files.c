/* Answers of path calls, in the layout each call wants. */
#include "compat.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <linux/stat.h>

/* The order of `fields`; kept in step with statFields() in ../../src/index.ts. Times in nanoseconds. */
enum { MODE, SIZE, INO, DEV, NLINK, UID, GID, RDEV, BLKSIZE, BLOCKS, ATIME, MTIME, CTIME };
enum { BILLION = 1000000000 };

static struct timespec time_of(uint64_t ns) {
  int64_t signed_ns = (int64_t)ns, seconds = signed_ns / BILLION, rest = signed_ns % BILLION;
  if (rest < 0) {
    rest += BILLION;
    seconds--;
  }
  return (struct timespec){seconds, rest};
}

static struct statx_timestamp timestamp_of(uint64_t ns) {
  struct timespec t = time_of(ns);
  return (struct statx_timestamp){.tv_sec = t.tv_sec, .tv_nsec = (uint32_t)t.tv_nsec};
}

static void write_stat(void *argument) {
  struct stat_answer *answer = argument;
  struct op *op = answer->op;
  const uint64_t *f = answer->fields;
  int failed;
  if (op->nr == __NR_statx) {
    struct statx x = {
        .stx_mask = STATX_BASIC_STATS,
        .stx_mode = (uint16_t)f[MODE],
        .stx_size = f[SIZE],
        .stx_ino = f[INO],
        .stx_dev_major = major(f[DEV]),
        .stx_dev_minor = minor(f[DEV]),
        .stx_nlink = (uint32_t)f[NLINK],
        .stx_uid = (uint32_t)f[UID],
        .stx_gid = (uint32_t)f[GID],
        .stx_rdev_major = major(f[RDEV]),
        .stx_rdev_minor = minor(f[RDEV]),
        .stx_blksize = (uint32_t)f[BLKSIZE],
        .stx_blocks = f[BLOCKS],
        .stx_atime = timestamp_of(f[ATIME]),
        .stx_mtime = timestamp_of(f[MTIME]),
        .stx_ctime = timestamp_of(f[CTIME]),
    };
    failed = op_tell(op, op->args[4], &x, sizeof x);
  } else {
    struct stat s;
    memset(&s, 0, sizeof s);
    s.st_mode = (mode_t)f[MODE];
    s.st_size = (off_t)f[SIZE];
    s.st_ino = f[INO];
    s.st_dev = f[DEV];
    s.st_nlink = f[NLINK];
    s.st_uid = (uid_t)f[UID];
    s.st_gid = (gid_t)f[GID];
    s.st_rdev = f[RDEV];
    s.st_blksize = (blksize_t)f[BLKSIZE];
    s.st_blocks = (blkcnt_t)f[BLOCKS];
    s.st_atim = time_of(f[ATIME]);
    s.st_mtim = time_of(f[MTIME]);
    s.st_ctim = time_of(f[CTIME]);
    uint8_t narrow[COMPAT_STAT_BYTES];
    if (op->compat) compat_stat(&s, narrow);
    failed = op_tell(op, op->args[op->nr == __NR_newfstatat ? 2 : 1], op->compat ? (void *)narrow : &s,
                     op->compat ? sizeof narrow : sizeof s);
  }
  op_reply(op, 0, -failed);
  free(answer);
}

void answer_stat(struct op *op, const uint64_t fields[STAT_FIELDS]) {
  struct stat_answer *answer = malloc(sizeof *answer);
  if (!answer) {
    op_reply(op, 0, ENOMEM);
    return;
  }
  answer->op = op;
  memcpy(answer->fields, fields, sizeof answer->fields);
  pool_run(write_stat, answer);
}

struct link_answer {
  struct op *op;
  size_t length;
  char target[];
};

static void write_link(void *argument) {
  struct link_answer *answer = argument;
  struct op *op = answer->op;
  int first = op->nr == __NR_readlinkat ? 2 : 1;
  size_t room = (size_t)op->args[first + 1];
  size_t length = answer->length < room ? answer->length : room;
  int failed = (int64_t)room <= 0 ? -EINVAL : op_tell(op, op->args[first], answer->target, length);
  op_reply(op, failed ? 0 : (int64_t)length, -failed);
  free(answer);
}

void answer_readlink(struct op *op, const void *target, size_t length) {
  struct link_answer *answer = malloc(sizeof *answer + length);
  if (!answer) {
    op_reply(op, 0, ENOMEM);
    return;
  }
  answer->op = op;
  answer->length = length;
  memcpy(answer->target, target, length);
  pool_run(write_link, answer);
}
