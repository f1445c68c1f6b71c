// CHAIN: every component on the way of a path, links followed as the kernel would, in one answer.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "below.h"
#include "content.h"
#include "records.h"
#include "request.h"
#include "watching.h"

enum { FLAG_LISTING = 1, FLAG_LEASE = 2 };
enum { MOST_LINKS = 40, MOST_ENTRIES = 4000 };

struct walk {
  struct request *request;
  struct records records;
  uint32_t limit; // of the content at the end
  int links;
  // Where we are: a directory without a link in its path; "" is the root.
  int fd;
  char path[PATH_ROOM];
  char last[NAME_ROOM];
  // What is still to be gone.
  char rest[2 * PATH_ROOM];
};

static const char *shown(const char *path) { return *path ? path : "/"; }

static void move_to(struct walk *walk, int fd, size_t path_length) {
  if (walk->fd >= 0) close(walk->fd);
  walk->fd = fd;
  walk->path[path_length] = 0;
}

// We are in another directory: says what it is, with a lease of it when that is wanted.
static bool enter(struct walk *walk) {
  const char *path = shown(walk->path);
  struct worker_stat stat;
  if (walk->fd < 0) return false;
  bool is_leased = walk->request->header.flags & FLAG_LEASE && watch(walk->request, path, walk->fd);
  if (stat_of(walk->fd, &stat)) return false;
  if (is_leased) stat.flags |= STAT_LEASED;
  out_record(walk->records.out, RECORD_ENTRY, path, &stat);
  out_u32(walk->records.out, UINT32_MAX);
  return true;
}

static bool go_up(struct walk *walk) {
  char *slash = strrchr(walk->path, '/');
  // Above the root is the root.
  if (!slash) return true;
  *slash = 0;
  move_to(walk, below_open(shown(walk->path)), slash - walk->path);
  return walk->fd >= 0;
}

// `rest` begins behind the link's name.
static bool follow(struct walk *walk, int link_fd) {
  char target[PATH_ROOM];
  ssize_t length = readlinkat(link_fd, "", target, sizeof target);
  // In /proc a link can be more than what it says.
  if (length <= 0 || length >= (ssize_t)sizeof target || ++walk->links > MOST_LINKS) return false;
  if (filesystem_of(link_fd) == FILESYSTEM_PROC) return false;
  size_t rest = strlen(walk->rest);
  if (length + 1 + rest > WORKER_PATH_LIMIT) return false;
  memmove(walk->rest + length + 1, walk->rest, rest + 1);
  memcpy(walk->rest, target, length);
  walk->rest[length] = '/';
  if (!rest) walk->rest[length] = 0;
  if (*target == '/') move_to(walk, below_root(), 0);
  return walk->fd >= 0;
}

// What is no directory: a link, or the end.
static void out_last(struct walk *walk, int fd, const struct worker_stat *stat, const char *name) {
  struct out *out = walk->records.out;
  bool is_end = !walk->rest[strspn(walk->rest, "/")];
  size_t left = walk->records.most > out->length ? walk->records.most - out->length : 0;
  uint32_t limit = is_end && filesystem_of(fd) > FILESYSTEM_PSEUDO ? walk->limit : 0;
  out_u8(out, RECORD_ENTRY);
  out_text(out, walk->path, strlen(walk->path));
  out_file(out, fd, stat, limit < left ? limit : left);
  // The listing need not say it again.
  strcpy(walk->last, name);
  walk->records.without = walk->last;
}

// One component. False: this is where the way ends.
static bool step(struct walk *walk) {
  struct out *out = walk->records.out;
  size_t skipped = strspn(walk->rest, "/"), length = strcspn(walk->rest + skipped, "/");
  char name[NAME_ROOM];
  if (!length || length >= sizeof name || records_are_full(&walk->records)) return false;
  memcpy(name, walk->rest + skipped, length);
  name[length] = 0;
  memmove(walk->rest, walk->rest + skipped + length, strlen(walk->rest + skipped + length) + 1);
  if (!strcmp(name, ".")) return true;
  if (!strcmp(name, "..")) return go_up(walk);

  size_t path_length = strlen(walk->path), length_with_name = path_length + 1 + length;
  if (length_with_name > WORKER_PATH_LIMIT) return false;
  int fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  bool is_missing = fd < 0 && errno == ENOENT;
  walk->path[path_length] = '/';
  strcpy(walk->path + path_length + 1, name);
  struct worker_stat stat;
  if (fd >= 0 && !stat_of(fd, &stat) && S_ISDIR(stat.mode)) {
    move_to(walk, fd, length_with_name);
    return enter(walk);
  }
  if (is_missing) out_record(out, RECORD_NEGATIVE, walk->path, NULL);
  bool goes_on = false;
  if (fd >= 0 && !stat_of(fd, &stat)) {
    out_last(walk, fd, &stat, name);
    walk->path[path_length] = 0;
    goes_on = S_ISLNK(stat.mode) && follow(walk, fd);
  } else {
    walk->path[path_length] = 0;
  }
  if (fd >= 0) close(fd);
  return goes_on;
}

static void out_listing(struct walk *walk) {
  struct worker_stat stat;
  const char *path = shown(walk->path);
  int fd = walk->fd < 0 ? -1 : below_directory(walk->fd);
  if (fd < 0) return;
  char prefix[PATH_ROOM + 1];
  strcpy(prefix, walk->path);
  strcat(prefix, "/");
  if (!stat_of(fd, &stat)) {
    if (is_watched(walk->request, path)) stat.flags |= STAT_LEASED;
    uint64_t cookie = 0;
    bool is_listed = out_directory(&walk->records, fd, prefix, &cookie);
    out_record(walk->records.out, is_listed ? RECORD_LISTED : RECORD_CUT, path, &stat);
  }
  close(fd);
}

int chain(struct request *request, struct in *in, struct out *out) {
  struct walk walk = {.request = request, .fd = below_root()};
  in_text(in, walk.rest, PATH_ROOM);
  walk.limit = in_u32(in);
  uint32_t bytes = in_u32(in);
  if (!in_is_over(in) || *walk.rest != '/') {
    if (walk.fd >= 0) close(walk.fd);
    return -EINVAL;
  }
  if (walk.limit > WORKER_INLINE_LIMIT) walk.limit = WORKER_INLINE_LIMIT;
  records_begin(&walk.records, out, MOST_ENTRIES, bytes);
  bool goes_on = enter(&walk);
  while (goes_on) goes_on = step(&walk);
  // What lies beside the one that was asked for is wanted next, as a rule.
  walk.records.inline_limit = walk.limit;
  if (request->header.flags & FLAG_LISTING) out_listing(&walk);
  if (walk.fd >= 0) close(walk.fd);
  return 0;
}
