#define _GNU_SOURCE
#include "files.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

static int open_path(int root_fd, const char *path, int flags) {
  struct open_how how = {
      .flags = O_PATH | O_CLOEXEC | flags,
      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  };
  // EAGAIN: something was renamed while a ".." was resolved (openat2(2)).
  for (int attempt = 0; attempt < 16; attempt++) {
    int fd = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
    if (fd >= 0) return fd;
    if (errno != EAGAIN) break;
  }
  return -errno;
}

static int64_t nanoseconds(struct statx_timestamp time) { return time.tv_sec * 1000000000 + time.tv_nsec; }

static int stat_fd(int fd, struct worker_stat *stat) {
  struct statx x;
  if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x)) return -errno;
  *stat = (struct worker_stat){
      .mode = x.stx_mode,
      .nlink = x.stx_nlink,
      .uid = x.stx_uid,
      .gid = x.stx_gid,
      .blksize = x.stx_blksize,
      .size = x.stx_size,
      .ino = x.stx_ino,
      .dev = makedev(x.stx_dev_major, x.stx_dev_minor),
      .rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor),
      .blocks = x.stx_blocks,
      .atime_ns = nanoseconds(x.stx_atime),
      .mtime_ns = nanoseconds(x.stx_mtime),
      .ctime_ns = nanoseconds(x.stx_ctime),
  };
  return 0;
}

int file_stat(int root_fd, const char *path, bool follow, struct worker_stat *stat) {
  int fd = open_path(root_fd, path, follow ? 0 : O_NOFOLLOW);
  if (fd < 0) return fd;
  int result = stat_fd(fd, stat);
  close(fd);
  return result;
}

ssize_t file_readlink(int root_fd, const char *path, char *target, size_t size) {
  int fd = open_path(root_fd, path, O_NOFOLLOW);
  if (fd < 0) return fd;
  struct worker_stat stat;
  ssize_t result = stat_fd(fd, &stat);
  // With an empty path the kernel would say ENOENT where readlink(2) says EINVAL.
  if (!result && !S_ISLNK(stat.mode)) result = -EINVAL;
  if (!result && (result = readlinkat(fd, "", target, size)) < 0) result = -errno;
  close(fd);
  return result;
}

int file_access(int root_fd, const char *path, int mode) {
  if (mode & ~(R_OK | W_OK | X_OK)) return -EINVAL;
  int fd = open_path(root_fd, path, 0);
  if (fd < 0) return fd;
  int result = syscall(SYS_faccessat2, fd, "", mode, AT_EMPTY_PATH) ? -errno : 0;
  close(fd);
  return result;
}

static ssize_t read_content(int fd, size_t size, size_t limit, char **content) {
  // /proc's files say 0, and any may grow: one byte more than asked for tells.
  size_t room = size < limit ? size + 1 : limit + 1, length = 0;
  char *buffer = malloc(room);
  ssize_t got = buffer ? 1 : -ENOMEM;
  while (got > 0) {
    if (length == room) {
      room = room * 2 + 4096 < limit + 1 ? room * 2 + 4096 : limit + 1;
      char *larger = length > limit ? NULL : realloc(buffer, room);
      if (!larger) {
        got = length > limit ? -EFBIG : -ENOMEM;
        break;
      }
      buffer = larger;
    }
    got = read(fd, buffer + length, room - length);
    if (got < 0 && errno == EINTR) got = 1;
    else if (got < 0) got = -errno;
    else length += got;
  }
  if (!got && length > limit) got = -EFBIG;
  if (got < 0) {
    free(buffer);
    return got;
  }
  *content = buffer;
  return length;
}

ssize_t file_read(int root_fd, const char *path, size_t limit, struct worker_stat *stat, char **content) {
  int path_fd = open_path(root_fd, path, 0);
  if (path_fd < 0) return path_fd;
  ssize_t result = stat_fd(path_fd, stat);
  if (!result && S_ISDIR(stat->mode)) result = -EISDIR;
  else if (!result && !S_ISREG(stat->mode)) result = -EOPNOTSUPP;
  else if (!result && stat->size > limit) result = -EFBIG;
  if (!result) {
    // The file just looked at, whatever has been put in its place: by our own descriptor, not by its name.
    char own[32];
    snprintf(own, sizeof own, "/proc/self/fd/%d", path_fd);
    int fd = open(own, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    result = fd < 0 ? -errno : read_content(fd, stat->size, limit, content);
    if (fd >= 0) close(fd);
  }
  close(path_fd);
  return result;
}
