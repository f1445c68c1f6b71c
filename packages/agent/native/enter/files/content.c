#define _GNU_SOURCE
#include "content.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint32_t NOT_SENT = UINT32_MAX;

// A link has no O_NOATIME: the kernel notes that it was read, if that is news (relatime). Of one that nobody has read, and
// given no time of its own, that changes little, and most are such; another's time is its own until a program reads it.
static bool keeps_time(const struct worker_stat *link) {
  bool is_noted = link->atime_ns <= link->mtime_ns || link->atime_ns <= link->ctime_ns;
  return !is_noted || link->atime_ns == link->mtime_ns;
}

static void out_target(struct out *out, int dir_fd, const char *name, const struct worker_stat *stat) {
  char target[PATH_ROOM];
  ssize_t length = keeps_time(stat) ? readlinkat(dir_fd, name, target, sizeof target) : 0;
  // One that fills the room may be longer; none that is is a path.
  if (length <= 0 || length >= (ssize_t)sizeof target) {
    out_u32(out, NOT_SENT);
    return;
  }
  out_u32(out, length);
  out_bytes(out, target, length);
}

// Whether exactly so many bytes were there, and no more.
static bool read_exactly(int fd, uint8_t *bytes, size_t size) {
  size_t done = 0;
  for (;;) {
    uint8_t beyond;
    ssize_t got = done < size ? read(fd, bytes + done, size - done) : read(fd, &beyond, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return !got && done == size;
    if (done == size) return false;
    done += got;
  }
}

static bool is_same(const struct worker_stat *one, const struct worker_stat *other) {
  return one->size == other->size && one->mtime_ns == other->mtime_ns && one->ctime_ns == other->ctime_ns;
}

void out_file(struct out *out, int path_fd, const struct worker_stat *stat, uint32_t limit) {
  size_t stat_at = out->length;
  out_bytes(out, stat, sizeof *stat);
  if (S_ISLNK(stat->mode)) {
    out_target(out, path_fd, "", stat);
    return;
  }
  int fd = -1;
  if (S_ISREG(stat->mode) && stat->size <= limit && limit) {
    // No program has read it yet: its access time stays, where that can be had (the file is the target's).
    fd = below_reopen(path_fd, O_RDONLY | O_NOATIME);
    if (fd == -EPERM) fd = below_reopen(path_fd, O_RDONLY);
  }
  size_t content_at = out->length;
  out_u32(out, fd < 0 ? NOT_SENT : (uint32_t)stat->size);
  if (fd < 0) return;
  uint8_t *bytes = out_space(out, stat->size);
  bool is_whole = bytes && read_exactly(fd, bytes, stat->size);
  // Attributes and content belong together: those of a moment between two writes would be believed for long.
  struct worker_stat after;
  if (is_whole && stat_of(fd, &after) == 0 && !is_same(stat, &after)) {
    is_whole = false;
    if (!out->is_lost) memcpy(out->bytes + stat_at, &after, sizeof after);
  }
  close(fd);
  if (is_whole) return;
  out_cut(out, content_at);
  out_u32(out, NOT_SENT);
}

void out_name(struct out *out, int dir_fd, const char *name, const struct worker_stat *stat) {
  out_bytes(out, stat, sizeof *stat);
  if (S_ISLNK(stat->mode)) out_target(out, dir_fd, name, stat);
  else out_u32(out, NOT_SENT);
}
