/* Calls that make, take away or move a name. None of them follows a link at its end. */
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int result(long value) { return value < 0 ? -errno : 0; }

/*
 * The directory in which a place is, and the name there, with its slashes: the kernel itself knows what "." and "x/"
 * mean to each call. A descriptor or -errno.
 */
static int open_parent(const struct path_work *work, const struct place *place, char name[LONGEST_PATH]) {
  char parent[2 * LONGEST_PATH + 8];
  size_t end = strlen(place->walk);
  if (end >= sizeof parent) return -ENAMETOOLONG;
  memcpy(parent, place->walk, end + 1);
  while (end > 1 && parent[end - 1] == '/') end--;
  size_t begin = end;
  while (begin > 0 && parent[begin - 1] != '/') begin--;
  if (strlen(parent + begin) >= LONGEST_PATH) return -ENAMETOOLONG;
  strcpy(name, begin == end ? "." : parent + begin); /* the root itself */
  parent[begin > 1 ? begin : 1] = 0;
  return remote_open(work, place, parent, O_PATH | O_DIRECTORY, 0);
}

/* symlink's first argument is no path: nobody looks it up. */
static int make_symlink(const struct path_work *work, int directory, const char *name) {
  char target[LONGEST_PATH];
  int failed = serve_string(work, 0, target, sizeof target);
  return failed ? failed : result(symlinkat(target, directory, name));
}

static int change_name(const struct path_work *work, int directory, const char *name) {
  const struct path_call *call = work->call;
  int next = call->path + 1;
  switch (call->kind) {
    case CALL_MKDIR:
      remote_take_umask(work->tid);
      return result(mkdirat(directory, name, (mode_t)work->args[next]));
    case CALL_MKNOD:
      remote_take_umask(work->tid);
      return result(syscall(__NR_mknodat, directory, name, (mode_t)work->args[next], (unsigned)work->args[next + 1]));
    case CALL_SYMLINK:
      return make_symlink(work, directory, name);
    default:
      return result(unlinkat(directory, name, work->flags));
  }
}

static int link_name(const struct path_work *work, int from, const char *name, int to, const char *new_name) {
  if (work->flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) return -EINVAL;
  if (!(work->flags & AT_SYMLINK_FOLLOW)) return result(linkat(from, name, to, new_name, 0));
  char self[SELF_PATH];
  int fd = remote_open(work, &work->place, work->place.walk, O_PATH, 0);
  if (fd < 0) return fd;
  serve_self(fd, self);
  int failed = result(linkat(AT_FDCWD, self, to, new_name, AT_SYMLINK_FOLLOW));
  close(fd);
  return failed;
}

static int move_name(const struct path_work *work, int from, const char *name, int to, const char *new_name) {
  if (work->call->kind == CALL_LINK) return link_name(work, from, name, to, new_name);
  return result(syscall(__NR_renameat2, from, name, to, new_name, work->flags));
}

static int names(const struct path_work *work, int directory, const char *name) {
  if (!work->second.path) return change_name(work, directory, name);
  char new_name[LONGEST_PATH];
  int to = open_parent(work, &work->second, new_name);
  if (to < 0) return to;
  int failed = move_name(work, directory, name, to, new_name);
  close(to);
  return failed;
}

void serve_names(const struct path_work *work, struct outcome *outcome) {
  char name[LONGEST_PATH];
  int directory = open_parent(work, &work->place, name);
  outcome->error = directory < 0 ? -directory : -names(work, directory, name);
  if (directory >= 0) close(directory);
}
