// Questions about single files below a root directory. Symlinks never leave it (openat2(2), RESOLVE_IN_ROOT).
// Paths are absolute. Results are -errno on failure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "worker.h"

int file_stat(int root_fd, const char *path, bool follow, struct worker_stat *stat);
ssize_t file_readlink(int root_fd, const char *path, char *target, size_t size);
int file_access(int root_fd, const char *path, int mode);
// The content, for free(), of a regular file; what is none is never opened: that alone can rewind a tape or
// start a watchdog. Its length.
ssize_t file_read(int root_fd, const char *path, size_t limit, struct worker_stat *stat, char **content);
