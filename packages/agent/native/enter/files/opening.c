#define _GNU_SOURCE
#include "opening.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "below.h"

static int native_flags(uint32_t flags) {
  int native = flags & OPEN_ACCESS;
  if (flags & OPEN_TRUNCATE) native |= O_TRUNC;
  if (flags & OPEN_APPEND) native |= O_APPEND;
  if (flags & OPEN_DSYNC) native |= O_DSYNC;
  if (flags & OPEN_SYNC) native |= O_SYNC;
  if (flags & OPEN_NOATIME) native |= O_NOATIME;
  return native;
}

// 0 or -errno, of what is there.
static int may_open(int path_fd, const char *path, uint32_t flags, const struct worker_stat *stat) {
  bool writes = flags & (OPEN_ACCESS | OPEN_CREATE | OPEN_TRUNCATE);
  if (S_ISLNK(stat->mode)) return -ELOOP;
  if (S_ISDIR(stat->mode)) return writes ? -EISDIR : 0;
  if (flags & OPEN_DIRECTORY) return -ENOTDIR;
  if (S_ISFIFO(stat->mode) || S_ISSOCK(stat->mode)) return -ENXIO;
  if (!S_ISREG(stat->mode)) return -EACCES;
  if (filesystem_of(path_fd) != FILESYSTEM_PROC) return 0;
  // With the target's ids its processes' memory is open to us, and what is hidden of their variables
  // (inpod.dev/policy). That is more than files.
  const char *name = strrchr(path, '/') + 1;
  return writes || !strcmp(name, "mem") || !strcmp(name, "environ") ? -EACCES : 0;
}

static int open_existing(int path_fd, const char *path, uint32_t flags, struct worker_stat *stat) {
  int error = stat_of(path_fd, stat);
  if (!error) error = may_open(path_fd, path, flags, stat);
  if (error) return error;
  return S_ISDIR(stat->mode) ? below_directory(path_fd) : below_reopen(path_fd, native_flags(flags));
}

static int create(const char *path, uint32_t flags, mode_t mode) {
  const char *name;
  int parent = below_parent(path, &name);
  if (parent < 0) return parent;
  // Exclusive: whatever somebody else has made there meanwhile is looked at before it is opened.
  int fd = openat(parent, name, native_flags(flags) | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC,
                  mode & 07777);
  int error = errno;
  close(parent);
  return fd >= 0 ? fd : -error;
}

int open_file(const char *path, uint32_t flags, mode_t mode, struct worker_stat *stat) {
  if ((flags & OPEN_ACCESS) == OPEN_ACCESS || flags & OPEN_PATH) return -EINVAL;
  if (flags & OPEN_TMPFILE) return -EOPNOTSUPP;
  int fd = -EAGAIN;
  for (int attempt = 0; attempt < 16; attempt++) {
    int path_fd = below_open(path);
    if (path_fd >= 0 && flags & OPEN_CREATE && flags & OPEN_EXCLUSIVE) {
      close(path_fd);
      return -EEXIST;
    }
    if (path_fd >= 0) {
      fd = open_existing(path_fd, path, flags, stat);
      close(path_fd);
      break;
    }
    if (path_fd != -ENOENT || !(flags & OPEN_CREATE)) return path_fd;
    fd = create(path, flags, mode);
    if (fd != -EEXIST || flags & OPEN_EXCLUSIVE) break;
  }
  if (fd < 0) return fd;
  int error = stat_of(fd, stat);
  if (!error) return fd;
  close(fd);
  return error;
}
