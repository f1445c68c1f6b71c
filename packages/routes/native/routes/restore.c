#define _GNU_SOURCE
#include "restore.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 1 << 20 };

struct content {
  char *bytes;
  size_t length;
};

static int read_all(const char *path, struct content *content) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return -errno;
  content->bytes = malloc(MAX_FILE);
  content->length = 0;
  ssize_t got = content->bytes ? 1 : -1;
  while (got > 0 && content->length < MAX_FILE) {
    got = read(fd, content->bytes + content->length, MAX_FILE - content->length);
    if (got > 0) content->length += (size_t)got;
  }
  int error = got < 0 ? -errno : content->length == MAX_FILE ? -EFBIG : 0;
  close(fd);
  return error;
}

static bool is_same(const struct content *one, const struct content *other) {
  return one->length == other->length && !memcmp(one->bytes, other->bytes, one->length);
}

/* Into the same inode: it may be a mount point, as in containers, and keeps its owner and mode. */
static int write_in_place(const char *path, const struct content *content) {
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -errno;
  size_t at = 0;
  int error = 0;
  while (at < content->length && !error) {
    ssize_t put = pwrite(fd, content->bytes + at, content->length - at, (off_t)at);
    if (put > 0) at += (size_t)put;
    else if (errno != EINTR) error = -errno;
  }
  if (!error && ftruncate(fd, (off_t)content->length)) error = -errno;
  if (!error) fsync(fd);
  close(fd);
  return error;
}

static int make_link(const char *path, const char *target) {
  char aside[PATH_MAX];
  snprintf(aside, sizeof aside, "%s.inpod", path);
  unlink(aside);
  if (symlink(target, aside)) return -errno;
  if (!rename(aside, path)) return 0;
  int error = -errno;
  unlink(aside);
  return error;
}

static bool is_link(const char *path, const char *target) {
  char now[PATH_MAX];
  ssize_t length = readlink(path, now, sizeof now - 1);
  if (length < 0) return false;
  now[length] = 0;
  return !strcmp(now, target);
}

static int restore_file(const char *path, const char *original, bool is_ours, const struct content *now,
                        const char **done) {
  struct content before;
  int error = read_all(original, &before);
  if (error) return error;
  *done = is_same(now, &before) ? "same" : is_ours ? "restored" : "changed";
  return is_ours && !is_same(now, &before) ? write_in_place(path, &before) : 0;
}

static int restore_link(const char *path, const char *target, bool is_ours, const char **done) {
  *done = is_link(path, target) ? "same" : is_ours ? "restored" : "changed";
  return is_ours ? make_link(path, target) : 0;
}

static void remove_directory(const char *directory) {
  static const char *const names[] = {"written", "original", "owner"};
  char path[PATH_MAX];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s/%s", directory, names[i]);
    unlink(path);
  }
  rmdir(directory);
}

int restore(const char *directory, const char *path, const char **done) {
  char original[PATH_MAX], written[PATH_MAX], target[PATH_MAX];
  snprintf(original, sizeof original, "%s/original", directory);
  snprintf(written, sizeof written, "%s/written", directory);
  struct stat now_status;
  struct content ours = {0}, now = {0};
  *done = "same";
  ssize_t linked = readlink(written, target, sizeof target - 1); /* it was a link that was put there */
  if (linked >= 0) target[linked] = 0;
  bool is_our_link = linked >= 0 && is_link(path, target);
  int error = linked >= 0 ? 0 : read_all(written, &ours);
  if (error == -ENOENT) { /* it died before it changed anything */
    remove_directory(directory);
    return 0;
  }
  if (error) return error;
  bool is_there = !lstat(path, &now_status);
  bool is_file = is_there && S_ISREG(now_status.st_mode);
  error = is_file ? read_all(path, &now) : 0;
  if (error) return error;
  bool is_ours = is_our_link || (linked < 0 && is_file && is_same(&now, &ours));
  ssize_t length = readlink(original, target, sizeof target - 1);
  if (length >= 0) {
    target[length] = 0;
    error = restore_link(path, target, is_ours, done);
  } else if (is_file) {
    error = restore_file(path, original, is_ours, &now, done);
  } else {
    *done = "changed";
  }
  if (!error) remove_directory(directory);
  return error;
}
