// LIST and TREE: directories with all that is in them.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "below.h"
#include "cursors.h"
#include "records.h"
#include "request.h"
#include "watching.h"

enum { FLAG_LEASE = 1, FLAG_CONTENTS = 2 };

struct limits {
  uint32_t entries, bytes, inline_limit;
};

static struct limits in_limits(struct in *in, uint8_t flags) {
  struct limits limits = {.entries = in_u32(in), .bytes = in_u32(in), .inline_limit = in_u32(in)};
  if (limits.inline_limit > WORKER_INLINE_LIMIT) limits.inline_limit = WORKER_INLINE_LIMIT;
  if (!(flags & FLAG_CONTENTS)) limits.inline_limit = 0;
  return limits;
}

// A directory to be listed from `cookie` on, with its attributes as they are after the lease was begun.
static int open_directory(struct request *request, const char *path, uint64_t cookie, struct worker_stat *stat) {
  int path_fd = below_open(path);
  if (path_fd < 0) return path_fd;
  if (request->header.flags & FLAG_LEASE) watch(request, path, path_fd);
  int error = stat_of(path_fd, stat);
  int fd = error ? error : !S_ISDIR(stat->mode) ? -ENOTDIR : cookie ? cursor_take(request, path, cookie, stat) : -ENOENT;
  if (fd == -ENOENT) fd = below_directory(path_fd);
  if (fd >= 0 && is_watched(request, path)) stat->flags |= STAT_LEASED;
  close(path_fd);
  // Where it was read to; some filesystems count from the beginning, and a descriptor that stayed open is there already.
  if (fd >= 0 && cookie && lseek(fd, cookie, SEEK_SET) < 0) {
    error = -errno;
    close(fd);
    return error;
  }
  return fd;
}

int list(struct request *request, struct in *in, struct out *out) {
  char path[PATH_ROOM];
  in_path(in, path);
  uint64_t cookie = in_u64(in);
  struct limits limits = in_limits(in, request->header.flags);
  if (!in_is_over(in) || cookie > INT64_MAX) return -EINVAL;
  struct worker_stat stat;
  int fd = open_directory(request, path, cookie, &stat);
  if (fd < 0) return fd;
  size_t head = out->length;
  out_u64(out, 0);
  out_u8(out, stat.flags & STAT_LEASED ? 1 : 0);
  out_bytes(out, &stat, sizeof stat);
  struct records records;
  records_begin(&records, out, limits.entries, limits.bytes);
  records.inline_limit = limits.inline_limit;
  bool is_over = out_directory(&records, fd, "", &cookie);
  if (!is_over && !out->is_lost) {
    memcpy(out->bytes + head, &cookie, sizeof cookie);
    cursor_keep(request, path, cookie, &stat, fd);
  } else {
    close(fd);
  }
  return 0;
}

struct tree {
  struct request *request;
  struct records records;
  char path[PATH_ROOM]; // of the directory that was asked for
  bool is_complete;
};

// `below`: "" or a path relative to the tree's. False: there is room for no more.
static bool out_branch(struct tree *tree, const char *below) {
  char path[PATH_ROOM], prefix[PATH_ROOM + 1];
  size_t length = strlen(tree->path);
  bool has_slash = tree->path[length - 1] == '/';
  if (length + 1 + strlen(below) > WORKER_PATH_LIMIT) {
    tree->is_complete = false;
    return true;
  }
  strcpy(path, tree->path);
  if (*below) strcat(strcat(path, has_slash ? "" : "/"), below);
  struct worker_stat stat;
  int fd = open_directory(tree->request, path, 0, &stat);
  if (fd < 0) {
    tree->is_complete = false;
    return true;
  }
  struct out *out = tree->records.out;
  bool is_listed = true;
  if (!*below || filesystem_of(fd) > FILESYSTEM_PSEUDO) {
    strcpy(prefix, below);
    if (*below) strcat(prefix, "/");
    uint64_t cookie = 0;
    is_listed = out_directory(&tree->records, fd, prefix, &cookie);
    if (!is_listed) tree->is_complete = false;
    out_record(out, is_listed ? RECORD_LISTED : RECORD_CUT, below, &stat);
  } else {
    tree->is_complete = false;
  }
  close(fd);
  return is_listed;
}

// The next directory among the records from `at` on, which moves behind it.
static bool next_branch(const struct out *out, size_t *at, char below[PATH_ROOM]) {
  while (*at < out->length) {
    struct in in = {.at = out->bytes + *at, .end = out->bytes + out->length};
    uint8_t kind = in_u8(&in);
    in_text(&in, below, PATH_ROOM);
    // The path of the tree's own directory is empty, and only that can be bad.
    if (in.is_bad) {
      in.is_bad = false;
      *below = 0;
    }
    struct worker_stat stat;
    if ((size_t)(in.end - in.at) < sizeof stat) return false;
    memcpy(&stat, in.at, sizeof stat);
    in.at += sizeof stat;
    if (kind == RECORD_ENTRY) {
      uint32_t length = in_u32(&in);
      if (length != UINT32_MAX) in.at += length;
    }
    *at = in.at - out->bytes;
    if (kind == RECORD_ENTRY && S_ISDIR(stat.mode) && !(stat.flags & STAT_UNKNOWN)) return true;
  }
  return false;
}

int tree(struct request *request, struct in *in, struct out *out) {
  struct tree tree = {.request = request, .is_complete = true};
  in_path(in, tree.path);
  struct limits limits = in_limits(in, request->header.flags);
  if (!in_is_over(in)) return -EINVAL;
  struct worker_stat stat;
  // What is wrong with the directory itself is the answer; of those in it only that they are not listed.
  int fd = open_directory(request, tree.path, 0, &stat);
  if (fd < 0) return fd;
  close(fd);
  size_t head = out->length;
  out_u8(out, 0);
  records_begin(&tree.records, out, limits.entries, limits.bytes);
  tree.records.inline_limit = limits.inline_limit;
  // The records are the list of what is still to be walked: breadth first, and no memory beside the answer.
  size_t at = out->length;
  char below[PATH_ROOM] = "";
  bool has_room = out_branch(&tree, below);
  while (has_room && !out->is_lost && next_branch(out, &at, below)) {
    if (records_are_full(&tree.records)) {
      tree.is_complete = false;
      break;
    }
    has_room = out_branch(&tree, below);
  }
  if (!out->is_lost) out->bytes[head] = tree.is_complete;
  return 0;
}
