/* Opening and looking: the calls that change nothing but by open's flags. */
#include "compat.h"
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef __O_TMPFILE
#define __O_TMPFILE (O_TMPFILE & ~O_DIRECTORY)
#endif

/* Linux ignores the others in open(2) and refuses them in openat2(2). */
static const int OPEN_FLAGS = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC |
                              O_SYNC | O_ASYNC | O_DIRECT | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH |
                              __O_TMPFILE;
static const int PATH_FLAGS = O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC;

static void fail(struct outcome *outcome, int fd) { outcome->error = fd < 0 ? -fd : 0; }

/* S_IFMT of a descriptor; 0: unknown. Known without asking the server. */
static mode_t type_of(int fd) {
  struct statx x;
  if (syscall(__NR_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &x) != 0) return 0;
  return x.stx_mode & S_IFMT;
}

/*
 * O_PATH. Such a descriptor cannot be handed over (SECCOMP_IOCTL_NOTIF_ADDFD gives EBADF), so one that can be read is
 * given in its place: good for fstat, openat and the like as well. Where there is none (a link, a file without the right
 * to read it) the thread opens ours itself.
 */
static void open_path(const struct path_work *work, int flags, struct outcome *outcome) {
  int place = remote_open(work, &work->place, work->place.walk, (uint64_t)(flags & PATH_FLAGS), 0), fd = -1;
  fail(outcome, place);
  if (place < 0) return;
  mode_t type = type_of(place);
  char self[SELF_PATH];
  serve_self(place, self);
  if (type == S_IFDIR || type == S_IFREG) fd = open(self, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  remote_enter();
  outcome->by_itself = fd < 0;
  outcome->fd = fd < 0 ? place : fd;
  if (fd < 0) return;
  close(place);
  fcntl(fd, F_SETFL, 0);
}

void serve_open(const struct path_work *work, struct outcome *outcome) {
  bool is_strict = work->nr == __NR_openat2;
  int flags = is_strict ? work->flags : work->flags & OPEN_FLAGS;
  uint64_t mode = 0;
#if defined(__x86_64__)
  if (work->nr == __NR_open) mode = work->args[2];
  if (work->nr == __NR_creat) mode = work->args[1];
#endif
  if (work->nr == __NR_openat) mode = work->args[3];
  if (is_strict) mode = work->how_mode;
  else mode = flags & (O_CREAT | __O_TMPFILE) ? mode & 07777 : 0;
  outcome->cloexec = (flags & O_CLOEXEC) != 0;
  if (flags & O_PATH) {
    open_path(work, flags, outcome);
    return;
  }
  /* A FIFO of the pod is none here, and must not keep this thread. */
  int fd = remote_open(work, &work->place, work->place.walk, (uint64_t)(flags | O_NONBLOCK), mode);
  fail(outcome, fd);
  if (fd < 0) return;
  if (type_of(fd) == S_IFIFO && work->place.verdict == VERDICT_REMOTE) {
    close(fd);
    outcome->error = ENXIO;
    return;
  }
  if (!(flags & O_NONBLOCK)) fcntl(fd, F_SETFL, flags & (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME));
  if ((flags & O_ACCMODE) == O_RDONLY) remote_enter();
  outcome->fd = fd;
}

static uint64_t path_flags(const struct path_work *work) {
  return O_PATH | (work->flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0);
}

int serve_path(const struct path_work *work) {
  return remote_open(work, &work->place, work->place.walk, path_flags(work), 0);
}

bool serve_path_is_known(const struct path_work *work) {
  return remote_knows(work, work->place.walk, path_flags(work));
}

void serve_self(int fd, char path[SELF_PATH]) { snprintf(path, SELF_PATH, "/proc/self/fd/%d", fd); }

static const int STAT_FLAGS =
    AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC | AT_EMPTY_PATH;

static int look_stat(const struct path_work *work, int fd, struct outcome *outcome) {
  int flags = (work->flags & ~AT_SYMLINK_NOFOLLOW) | AT_EMPTY_PATH;
  long failed;
  if (flags & ~STAT_FLAGS) return -EINVAL; /* of a descriptor newer kernels do not look at them */
  outcome->answer = outcome->room;
  if (work->nr == __NR_statx) {
    failed = syscall(__NR_statx, fd, "", flags, (unsigned)work->args[3], outcome->room);
    outcome->length = sizeof(struct statx);
    outcome->to = work->args[4];
  } else {
    failed = syscall(__NR_newfstatat, fd, "", outcome->room, flags);
    outcome->length = sizeof(struct stat);
    if (!failed && work->compat) {
      struct stat whole;
      memcpy(&whole, outcome->room, sizeof whole);
      compat_stat(&whole, outcome->room);
      outcome->length = COMPAT_STAT_BYTES;
    }
    outcome->to = work->args[work->call->path + 1];
  }
  return failed ? -errno : 0;
}

static int look_access(const struct path_work *work, int fd) {
  int mode = (int)work->args[work->call->path + 1];
  int flags = (work->flags & ~AT_SYMLINK_NOFOLLOW) | AT_EMPTY_PATH;
  return syscall(__NR_faccessat2, fd, "", mode, flags) ? -errno : 0;
}

static int look_readlink(const struct path_work *work, int fd, struct outcome *outcome) {
  int size = (int)work->args[work->call->path + 2];
  if (size <= 0) return -EINVAL;
  ssize_t length = readlinkat(fd, "", outcome->room, sizeof outcome->room);
  /* ENOENT is what Linux says of what is no link when its path is empty. */
  if (length < 0) return errno == ENOENT ? -EINVAL : -errno;
  outcome->length = length < size ? (size_t)length : (size_t)size;
  outcome->value = (int64_t)outcome->length;
  outcome->answer = outcome->room;
  outcome->to = work->args[work->call->path + 1];
  return 0;
}

static int look_statfs(const struct path_work *work, int fd, struct outcome *outcome) {
  if (syscall(__NR_fstatfs, fd, outcome->room) != 0) return -errno;
  outcome->answer = outcome->room;
  outcome->length = sizeof(struct statfs);
  outcome->to = work->args[1];
  return 0;
}

static int look(const struct path_work *work, int fd, struct outcome *outcome) {
  switch (work->call->kind) {
    case CALL_STAT:
      return look_stat(work, fd, outcome);
    case CALL_ACCESS:
      return look_access(work, fd);
    case CALL_READLINK:
      return look_readlink(work, fd, outcome);
    case CALL_STATFS:
      return look_statfs(work, fd, outcome);
    case CALL_INOTIFY:
      /* Of what happens in the pod the kernel here hears nothing. Programs poll when there are no watches left. */
      emit_refused(work->tgid, work->call->name, work->place.path, "inotify");
      return -ENOSPC;
    case CALL_HANDLE:
      return -EOPNOTSUPP;
    default:
      return -ENOSYS; /* a call so new that everybody has another way */
  }
}

void serve_look(const struct path_work *work, struct outcome *outcome) {
  int fd = serve_path(work);
  fail(outcome, fd < 0 ? fd : look(work, fd, outcome));
  if (fd >= 0) close(fd);
}
