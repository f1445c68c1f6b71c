/* The pod's files below one directory of ours, and how a path is looked up there. */
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

/* How often a look-up with ".." is begun anew when something was renamed meanwhile (openat2(2), EAGAIN). */
enum { TRIES = 64 };

static struct remote_root remote = {.fd = -1};
static bool entered;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

void remote_set(struct remote_root root, int hint_fd) {
  int copy = root.fd < 0 ? -1 : fcntl(root.fd, F_DUPFD_CLOEXEC, 0);
  hint_start(hint_fd);
  pthread_rwlock_wrlock(&lock);
  int before = remote.fd;
  if (before >= 0 && copy >= 0) {
    /* Whoever uses the number meanwhile has one of both, and never a stranger's. */
    dup3(copy, before, O_CLOEXEC);
    close(copy);
    copy = before;
  } else if (before >= 0) {
    close(before);
  }
  remote = root;
  remote.fd = copy;
  pthread_rwlock_unlock(&lock);
}

struct remote_root remote_get(void) {
  pthread_rwlock_rdlock(&lock);
  struct remote_root now = remote;
  pthread_rwlock_unlock(&lock);
  return now;
}

bool remote_is_entered(void) { return __atomic_load_n(&entered, __ATOMIC_RELAXED); }
void remote_enter(void) { __atomic_store_n(&entered, true, __ATOMIC_RELAXED); }

/* In a directory of ours that others see, too: what stands below it, as a path of its own. */
static bool strip(const char *prefix, char *path) {
  size_t length = strlen(prefix);
  if (strncmp(path, prefix, length) != 0 || (path[length] && path[length] != '/')) return false;
  if (!path[length]) strcpy(path, "/");
  else memmove(path, path + length, strlen(path + length) + 1);
  return true;
}

bool remote_is_below(const char *proc_link, char *path) {
  struct statx x;
  struct remote_root root = remote_get();
  /* An empty mask: the device is told without asking the server. */
  if (root.fd < 0 || syscall(__NR_statx, AT_FDCWD, proc_link, AT_STATX_DONT_SYNC, 0, &x) != 0) return false;
  if (makedev(x.stx_dev_major, x.stx_dev_minor) != root.device) return false;
  return !root.prefix || strip(root.prefix, path);
}

/* What is created gets the mode that the program's own umask leaves. */
void remote_take_umask(pid_t tid) {
  static __thread bool is_own;
  char path[32], status[1024];
  snprintf(path, sizeof path, "/proc/%d/status", tid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
  if (fd >= 0) close(fd);
  status[got > 0 ? got : 0] = 0;
  const char *at = strstr(status, "\nUmask:");
  if (!is_own) is_own = unshare(CLONE_FS) == 0; /* else it would be that of all our threads */
  if (is_own) umask(at ? (mode_t)strtoul(at + 7, NULL, 8) : 077);
}

static int open_how(int root, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC | O_NOCTTY, .mode = mode, .resolve = resolve};
  if (flags & O_PATH) how.flags &= ~(uint64_t)O_NOCTTY;
  int fd = (int)syscall(__NR_openat2, root, path, &how, sizeof how);
  return fd < 0 ? -errno : fd;
}

static int open_again(int root, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  int fd = -EAGAIN;
  for (int i = 0; i < TRIES && fd == -EAGAIN; i++) fd = open_how(root, path, flags, mode, resolve);
  return fd;
}

/* The developer's file by the process's own root. Its links stay in there, too. */
static int open_local(const struct path_work *work, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  char link[32];
  snprintf(link, sizeof link, "/proc/%d/root", work->tid);
  int root = open(link, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return -errno;
  int fd = open_again(root, path, flags, mode, resolve);
  close(root);
  return fd;
}

bool remote_knows(const struct path_work *work, const char *walk, uint64_t flags) {
  int root = remote_get().fd;
  int fd = root < 0 ? -EAGAIN : open_how(root, walk, flags, 0, RESOLVE_IN_ROOT | work->how_resolve | RESOLVE_CACHED);
  if (fd >= 0) close(fd);
  return fd >= 0 || fd == -ENOENT;
}

int remote_open(const struct path_work *work, const struct place *place, const char *walk, uint64_t flags, uint64_t mode) {
  uint64_t resolve = RESOLVE_IN_ROOT | work->how_resolve;
  bool makes = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY));
  if (makes) remote_take_umask(work->tid);
  if (place->verdict == VERDICT_LOCAL) return open_local(work, walk, flags, mode, resolve);
  int root = remote_get().fd;
  if (root < 0) return -EIO;
  int fd;
  if (makes || flags & O_TRUNC) {
    /* Such opens are never made from the cache, but whether the way is known can be asked. */
    fd = open_how(root, walk, O_PATH | O_NOFOLLOW, 0, resolve | RESOLVE_CACHED);
    if (fd >= 0) close(fd);
  } else {
    fd = open_how(root, walk, flags, mode, resolve | RESOLVE_CACHED);
    if (fd != -EAGAIN) return fd;
  }
  if (work->how_resolve & RESOLVE_CACHED) return -EAGAIN;
  if (fd == -EAGAIN) hint_path(place->path);
  return open_again(root, walk, flags, mode, resolve);
}
