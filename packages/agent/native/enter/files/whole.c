// Questions about single files by any absolute path. Symlinks are followed, and never leave the root (openat2(2)).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "below.h"
#include "request.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

static int open_path(const char *path, int flags) {
  struct open_how how = {
      .flags = O_PATH | O_CLOEXEC | flags,
      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  };
  // EAGAIN: something was renamed while a ".." was resolved (openat2(2)).
  for (int attempt = 0; attempt < 16; attempt++) {
    int fd = syscall(SYS_openat2, below_root_fd(), path, &how, sizeof how);
    if (fd >= 0) return fd;
    if (errno != EAGAIN) break;
  }
  return -errno;
}

static int file_stat(const char *path, bool follow, struct worker_stat *stat) {
  int fd = open_path(path, follow ? 0 : O_NOFOLLOW);
  if (fd < 0) return fd;
  int result = stat_of(fd, stat);
  close(fd);
  return result;
}

static ssize_t file_readlink(const char *path, char *target, size_t size) {
  int fd = open_path(path, O_NOFOLLOW);
  if (fd < 0) return fd;
  struct worker_stat stat;
  ssize_t result = stat_of(fd, &stat);
  // With an empty path the kernel would say ENOENT where readlink(2) says EINVAL.
  if (!result && !S_ISLNK(stat.mode)) result = -EINVAL;
  if (!result && (result = readlinkat(fd, "", target, size)) < 0) result = -errno;
  close(fd);
  return result;
}

static int file_access(const char *path, int mode) {
  if (mode & ~(R_OK | W_OK | X_OK)) return -EINVAL;
  int fd = open_path(path, 0);
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

static ssize_t file_read(const char *path, size_t limit, struct worker_stat *stat, char **content) {
  int path_fd = open_path(path, 0);
  if (path_fd < 0) return path_fd;
  ssize_t result = stat_of(path_fd, stat);
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

static bool in_question(struct in *in, uint32_t *limit, char path[PATH_ROOM]) {
  *limit = in_u32(in);
  in_text(in, path, PATH_ROOM);
  return in_is_over(in) && *path == '/';
}

int whole_stat(struct request *request, struct in *in, struct out *out) {
  uint32_t limit;
  char path[PATH_ROOM];
  struct worker_stat stat;
  if (!in_question(in, &limit, path)) return -EINVAL;
  int error = file_stat(path, request->header.flags & 1, &stat);
  if (!error) out_bytes(out, &stat, sizeof stat);
  return error;
}

int whole_readlink(struct request *request, struct in *in, struct out *out) {
  (void)request;
  uint32_t limit;
  char path[PATH_ROOM], target[4096];
  if (!in_question(in, &limit, path)) return -EINVAL;
  ssize_t length = file_readlink(path, target, sizeof target);
  if (length < 0) return length;
  out_bytes(out, target, length);
  return 0;
}

int whole_access(struct request *request, struct in *in, struct out *out) {
  (void)out;
  uint32_t limit;
  char path[PATH_ROOM];
  return in_question(in, &limit, path) ? file_access(path, request->header.flags) : -EINVAL;
}

int whole_read(struct request *request, struct in *in, struct out *out) {
  (void)request;
  uint32_t limit;
  char path[PATH_ROOM], *content = NULL;
  struct worker_stat stat;
  if (!in_question(in, &limit, path)) return -EINVAL;
  ssize_t length = file_read(path, limit < WORKER_WHOLE_LIMIT ? limit : WORKER_WHOLE_LIMIT, &stat, &content);
  if (length < 0) return length;
  out_bytes(out, &stat, sizeof stat);
  out_bytes(out, content, length);
  free(content);
  return 0;
}
