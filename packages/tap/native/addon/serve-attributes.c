/* Calls that change or tell attributes of what a path names. */
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

/* The kernel's own limits (linux/limits.h). */
enum { NAME_MAX_BYTES = 255, VALUE_MAX = 65536 };

static int result(long value) { return value < 0 ? -errno : 0; }

static int change_mode(const struct path_work *work, int fd) {
  char self[SELF_PATH];
  serve_self(fd, self);
  return result(chmod(self, (mode_t)work->args[work->call->path + 1]));
}

static int change_owner(const struct path_work *work, int fd) {
  int owner = work->call->path + 1;
  return result(fchownat(fd, "", (uid_t)work->args[owner], (gid_t)work->args[owner + 1], AT_EMPTY_PATH));
}

static int read_times(const struct path_work *work, uint64_t from, struct timespec times[2]) {
  struct timeval values[2];
#if defined(__x86_64__)
  struct utimbuf seconds;
  if (work->nr == __NR_utime) {
    if (memory_read(work->tid, from, &seconds, sizeof seconds) != sizeof seconds) return -EFAULT;
    times[0] = (struct timespec){seconds.actime, 0};
    times[1] = (struct timespec){seconds.modtime, 0};
    return 0;
  }
#endif
  if (work->nr == __NR_utimensat)
    return memory_read(work->tid, from, times, 2 * sizeof *times) == 2 * sizeof *times ? 0 : -EFAULT;
  if (memory_read(work->tid, from, values, sizeof values) != sizeof values) return -EFAULT;
  for (int i = 0; i < 2; i++) {
    if (values[i].tv_usec < 0 || values[i].tv_usec >= 1000000) return -EINVAL;
    times[i] = (struct timespec){values[i].tv_sec, values[i].tv_usec * 1000};
  }
  return 0;
}

static int change_times(const struct path_work *work, int fd) {
  struct timespec times[2];
  uint64_t from = work->args[work->call->path + 1];
  int failed = from ? read_times(work, from, times) : 0;
  if (failed) return failed;
  /* Not glibc's function: it takes no NULL, which means now, and needs less rights. */
  return result(syscall(__NR_utimensat, fd, "", from ? times : NULL, AT_EMPTY_PATH));
}

static int change_size(const struct path_work *work, int fd) {
  char self[SELF_PATH];
  serve_self(fd, self);
  return result(truncate(self, (off_t)work->args[1]));
}

/* getxattr(path, name, value, size), listxattr(path, list, size) */
static int tell_xattr(const struct path_work *work, int fd, struct outcome *outcome) {
  char self[SELF_PATH], name[NAME_MAX_BYTES + 2];
  bool is_list = work->call->kind == CALL_LISTXATTR;
  int at = is_list ? 1 : 2;
  size_t size = (size_t)work->args[at + 1];
  if (size > VALUE_MAX) size = VALUE_MAX;
  int failed = is_list ? 0 : serve_string(work, 1, name, sizeof name);
  if (failed) return failed == -ENAMETOOLONG ? -ERANGE : failed;
  if (size && !(outcome->heap = malloc(size))) return -ENOMEM;
  serve_self(fd, self);
  ssize_t length = is_list ? listxattr(self, outcome->heap, size) : getxattr(self, name, outcome->heap, size);
  if (length < 0) return -errno;
  outcome->value = length;
  if (!size) return 0;
  outcome->answer = outcome->heap;
  outcome->length = (size_t)length;
  outcome->to = work->args[at];
  return 0;
}

/* setxattr(path, name, value, size, flags), removexattr(path, name) */
static int change_xattr(const struct path_work *work, int fd, struct outcome *outcome) {
  char self[SELF_PATH], name[NAME_MAX_BYTES + 2];
  int failed = serve_string(work, 1, name, sizeof name);
  if (failed) return failed == -ENAMETOOLONG ? -ERANGE : failed;
  serve_self(fd, self);
  if (work->call->kind == CALL_REMOVEXATTR) return result(removexattr(self, name));
  size_t size = (size_t)work->args[3];
  if (size > VALUE_MAX) return -E2BIG;
  if (size && !(outcome->heap = malloc(size))) return -ENOMEM;
  if (size && memory_read(work->tid, work->args[2], outcome->heap, size) != (ssize_t)size) return -EFAULT;
  return result(setxattr(self, name, outcome->heap, size, (int)work->args[4]));
}

static int attribute(const struct path_work *work, int fd, struct outcome *outcome) {
  switch (work->call->kind) {
    case CALL_CHMOD:
      return change_mode(work, fd);
    case CALL_CHOWN:
      return change_owner(work, fd);
    case CALL_UTIMES:
      return change_times(work, fd);
    case CALL_TRUNCATE:
      return change_size(work, fd);
    case CALL_GETXATTR:
    case CALL_LISTXATTR:
      return tell_xattr(work, fd, outcome);
    default:
      return change_xattr(work, fd, outcome);
  }
}

void serve_attributes(const struct path_work *work, struct outcome *outcome) {
  int fd = serve_path(work);
  int failed = fd < 0 ? fd : attribute(work, fd, outcome);
  outcome->error = -failed;
  if (fd >= 0) close(fd);
}
