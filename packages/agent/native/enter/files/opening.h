// OPEN: what is opened at all, and how.
#pragma once
#include <sys/types.h>
#include "worker.h"

// open(2)'s numbers as x86-64 has them; they are not arm64's.
enum {
  OPEN_ACCESS = 03,
  OPEN_CREATE = 0100,
  OPEN_EXCLUSIVE = 0200,
  OPEN_TRUNCATE = 01000,
  OPEN_APPEND = 02000,
  OPEN_DSYNC = 010000,
  OPEN_DIRECTORY = 0200000,
  OPEN_NOATIME = 01000000,
  OPEN_SYNC = 04000000,
  OPEN_PATH = 010000000,
  OPEN_TMPFILE = 020000000,
};

// A regular file or (to be read) a directory; what is neither is never opened: that alone can rewind a tape, start a
// watchdog, or wake who waits at a FIFO. Its descriptor, or -errno.
int open_file(const char *path, uint32_t flags, mode_t mode, struct worker_stat *stat);
