#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LONGEST = 4096 };

static struct path_rule **rules;
static size_t rule_count;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

void paths_set_rules(struct path_rule **next, size_t count) {
  pthread_rwlock_wrlock(&lock);
  struct path_rule **before = rules;
  size_t before_count = rule_count;
  rules = next;
  rule_count = count;
  pthread_rwlock_unlock(&lock);
  for (size_t i = 0; i < before_count; i++) free(before[i]);
  free(before);
}

/* Where the call has its path and its directory; -1: no such argument. */
static bool path_arguments(int nr, int *path, int *directory) {
  switch (nr) {
#if defined(__x86_64__)
    case __NR_open:
    case __NR_stat:
    case __NR_lstat:
    case __NR_access:
    case __NR_readlink:
      *path = 0;
      *directory = -1;
      return true;
#endif
    case __NR_openat:
    case __NR_openat2:
    case __NR_newfstatat:
    case __NR_statx:
    case __NR_faccessat:
    case __NR_faccessat2:
    case __NR_readlinkat:
      *path = 1;
      *directory = 0;
      return true;
    default:
      return false;
  }
}

bool paths_is_path_call(int nr) {
  int path, directory;
  return path_arguments(nr, &path, &directory);
}

/* Removes "//", "." and ".." by the letters alone, in place; a leading slash is given. Returns the length. */
size_t paths_normalise(char *path) {
  char *out = path;
  for (const char *in = path; *in;) {
    while (*in == '/') in++;
    if (!*in) break;
    const char *end = strchrnul(in, '/');
    size_t length = (size_t)(end - in);
    if (length == 1 && in[0] == '.') {
      in = end;
    } else if (length == 2 && in[0] == '.' && in[1] == '.') {
      while (out > path && *--out != '/') continue;
      in = end;
    } else {
      *out++ = '/';
      memmove(out, in, length);
      out += length;
      in = end;
    }
  }
  if (out == path) *out++ = '/';
  *out = 0;
  return (size_t)(out - path);
}

/* The absolute, normalised path of a call into `into` (2 × LONGEST bytes), or -errno. */
static ssize_t absolute(const struct op *op, char *into) {
  int path_argument, directory_argument;
  if (!path_arguments(op->nr, &path_argument, &directory_argument)) return -ENOSYS;
  char *tail = into + LONGEST;
  ssize_t length = memory_read_string(op->tid, op->args[path_argument], tail, LONGEST);
  if (length < 0) return length;
  if (length == 0) return -ENOENT;
  if (tail[0] == '/') {
    memmove(into, tail, (size_t)length + 1);
    return (ssize_t)paths_normalise(into);
  }
  int directory = directory_argument < 0 ? AT_FDCWD : (int)op->args[directory_argument];
  char link[64];
  if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/%d/cwd", op->tid);
  else snprintf(link, sizeof link, "/proc/%d/fd/%d", op->tid, directory);
  ssize_t base = readlink(link, into, LONGEST - 2);
  if (base < 0) return -errno;
  if (into[0] != '/') return -ENOTDIR; /* a pipe, a memfd: the kernel knows what to say */
  into[base++] = '/';
  memmove(into + base, tail, (size_t)length + 1);
  return (ssize_t)paths_normalise(into);
}

/* Opening a directory to list it is reading: Go does so without O_DIRECTORY. */
static int operation_of_open(int flags) {
  if (flags & O_PATH) return PATH_LOOKUP;
  return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) ? PATH_WRITE : PATH_READ;
}

/* Fills op->flags and op->operation. */
static int classify(struct op *op) {
  op->operation = PATH_LOOKUP;
  switch (op->nr) {
#if defined(__x86_64__)
    case __NR_open:
      op->flags = (int)op->args[1];
      op->operation = operation_of_open(op->flags);
      break;
    case __NR_lstat:
      op->flags = AT_SYMLINK_NOFOLLOW;
      break;
#endif
    case __NR_openat:
      op->flags = (int)op->args[2];
      op->operation = operation_of_open(op->flags);
      break;
    case __NR_openat2: {
      struct open_how how = {0};
      if (op->args[3] < sizeof how) return -EINVAL;
      if (memory_read(op->tid, op->args[2], &how, sizeof how) != sizeof how) return -EFAULT;
      op->flags = (int)how.flags;
      op->operation = operation_of_open(op->flags);
      break;
    }
    case __NR_newfstatat:
      op->flags = (int)op->args[3];
      break;
    case __NR_statx:
      op->flags = (int)op->args[2];
      break;
    case __NR_faccessat2:
      op->flags = (int)op->args[3];
      break;
  }
  return 0;
}

/* The first rule that matches; lowers `path` in place (rules are ASCII case-insensitive). */
enum path_verdict paths_match(char *path, size_t length, int operation, int *rule) {
  for (size_t i = 0; i < length; i++)
    if (path[i] >= 'A' && path[i] <= 'Z') path[i] += 'a' - 'A';
  enum path_verdict verdict = VERDICT_LOCAL;
  *rule = -1;
  if (length >= LONGEST) return verdict; /* the kernel refuses it */
  pthread_rwlock_rdlock(&lock);
  for (size_t i = 0; i < rule_count; i++) {
    if (!(rules[i]->operations & operation)) continue;
    enum path_matched matched = path_rule_matches(rules[i], path, length);
    if (matched == PATH_DIFFERS) continue;
    verdict = matched == PATH_UNSURE ? VERDICT_ASK : rules[i]->verdict;
    *rule = (int)i;
    break;
  }
  pthread_rwlock_unlock(&lock);
  return verdict;
}

enum path_verdict paths_decide(struct op *op) {
  char path[2 * LONGEST + 8], lowered[2 * LONGEST + 8];
  if (classify(op) != 0) return VERDICT_LOCAL;
  ssize_t length = absolute(op, path);
  if (length < 0) return VERDICT_LOCAL;
  memcpy(lowered, path, (size_t)length + 1);
  enum path_verdict verdict = paths_match(lowered, (size_t)length, op->operation, &op->rule);
  if (verdict == VERDICT_ASK) {
    op->path = strdup(path);
    if (!op->path) return VERDICT_LOCAL;
  }
  return verdict;
}
