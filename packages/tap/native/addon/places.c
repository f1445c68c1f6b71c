/* Which path a call is about, and whose it is. */
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ROOM = 2 * LONGEST_PATH + 8 };

/* Opening a directory to list it is reading: Go does so without O_DIRECTORY. */
static int operation_of_open(int flags) {
  if (flags & O_PATH) return PATH_LOOKUP;
  return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) ? PATH_WRITE : PATH_READ;
}

/* Fills flags and operation. 0 or -errno. */
static int classify(struct path_work *work) {
  const struct path_call *call = work->call;
  work->flags = call->flags < 0 ? call->fixed : (int)work->args[call->flags];
  if (work->nr == __NR_openat2) {
    struct open_how how = {0};
    if (work->args[3] < sizeof how) return -EINVAL;
    if (memory_read(work->tid, work->args[2], &how, sizeof how) != sizeof how) return -EFAULT;
    work->flags = (int)how.flags;
    work->how_mode = how.mode;
    work->how_resolve = how.resolve;
  }
  work->operation = call->operation ? call->operation : operation_of_open(work->flags);
  return 0;
}

static bool has_parent_dots(const char *path) {
  for (const char *at = path; (at = strstr(at, "..")); at += 2)
    if ((at == path || at[-1] == '/') && (at[2] == 0 || at[2] == '/')) return true;
  return false;
}

/* What normalising takes from the end, but the kernel must see: "x/" and "x/." are directories, and nothing else. */
static const char *directory_end(const char *path, size_t length) {
  if (path[length - 1] == '/') return "/";
  return length > 1 && path[length - 1] == '.' && path[length - 2] == '/' ? "/." : "";
}

static bool is_within(const char *path, const char *base, size_t length) {
  if (length == 1) return true; /* "/" */
  return strncmp(path, base, length) == 0 && (path[length] == 0 || path[length] == '/');
}

/*
 * The kernel says so of each directory that it no longer finds by its name, and a file server has it forget names whenever
 * something changed in the pod. Whether the directory is there still is seen when something is looked up below it.
 */
static size_t without_deleted(char *path) {
  static const char deleted[] = " (deleted)";
  size_t length = strlen(path), end = sizeof deleted - 1;
  if (length > end && strcmp(path + length - end, deleted) == 0) path[length -= end] = 0;
  return length;
}

/*
 * /proc/TID/cwd or /proc/TID/fd/N into `base`; its length, or -errno. Of a directory of the pod the kernel tells just the
 * pod's path: a detached mount is the root of all paths in it.
 */
static ssize_t read_base(const struct path_work *work, int directory, char *base, bool *is_remote) {
  char link[64];
  if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/%d/cwd", work->tid);
  else snprintf(link, sizeof link, "/proc/%d/fd/%d", work->tid, directory);
  ssize_t length = readlink(link, base, LONGEST_PATH - 2);
  if (length < 0) return -errno;
  base[length] = 0;
  if (base[0] != '/') return -ENOTDIR; /* a pipe, a memfd: the kernel knows what to say */
  *is_remote = remote_is_entered() && remote_is_below(link, base);
  return (ssize_t)(*is_remote ? without_deleted(base) : strlen(base));
}

/* Below the pod's own directories only what the user himself says is not the pod's. */
static void decide_below(const struct path_work *work, struct place *place, size_t length) {
  struct path_decision binding = paths_match(place->path, length, work->operation, true);
  place->rule = binding.rule;
  place->reported = binding.reported;
  place->verdict = binding.rule >= 0 ? binding.verdict : VERDICT_REMOTE;
  if (binding.rule >= 0 || work->operation != PATH_WRITE) return;
  struct path_decision written = paths_match(place->path, length, PATH_WRITE, false);
  /* Where the pod's files can be written to, a name by which a file would be the developer's elsewhere changes nothing. */
  if (!remote_get().read_only && !written.guarding) return;
  place->rule = written.rule;
  place->reported = true;
  place->verdict = written.verdict == VERDICT_LOCAL || written.verdict == VERDICT_NOT_FOUND ? VERDICT_READ_ONLY : written.verdict;
}

static void decide(const struct path_work *work, struct place *place, size_t length) {
  struct path_decision found = paths_match(place->path, length, work->operation, false);
  place->verdict = found.verdict;
  place->fallback = found.fallback;
  place->rule = found.rule;
  place->reported = found.reported;
}

/* Where ".." follows a symbolic link only the walk tells what it means; but it must not need the developer's directories. */
static bool walks_as_given(const char *given) {
  char before[ROOM];
  const char *dots = strstr(given, "..");
  size_t length = (size_t)(dots - given);
  memcpy(before, given, length);
  before[length] = 0;
  length = paths_normalise(before);
  return paths_match(before, length, PATH_LOOKUP, false).verdict == VERDICT_REMOTE;
}

static bool place_of(struct path_work *work, int directory_argument, int path_argument, struct place *place) {
  char given[LONGEST_PATH], base[LONGEST_PATH], whole[ROOM], path[ROOM];
  ssize_t length = memory_read_string(work->tid, work->args[path_argument], given, sizeof given);
  if (length == -EFAULT && work->args[path_argument] != 0) work->is_unreadable = true;
  if (length <= 0) return false;
  ssize_t base_length = 0;
  if (given[0] != '/') {
    int directory = directory_argument < 0 ? AT_FDCWD : (int)work->args[directory_argument];
    base_length = read_base(work, directory, base, &place->from_remote);
    if (base_length < 0) return false;
    snprintf(whole, sizeof whole, "%s/%s", base, given);
  } else {
    memcpy(whole, given, (size_t)length + 1);
  }
  strcpy(path, whole);
  size_t path_length = paths_normalise(path);
  place->path = strdup(path);
  if (!place->path) return false;
  place->below_remote = place->from_remote && is_within(path, base, (size_t)base_length);
  if (place->below_remote) decide_below(work, place, path_length);
  else decide(work, place, path_length);
  if (place->below_remote || (has_parent_dots(given) && given[0] == '/' && walks_as_given(given))) {
    place->walk = strdup(whole);
  } else {
    if (path_length > 1) strcpy(path + path_length, directory_end(given, (size_t)length));
    place->walk = strdup(path);
  }
  return place->walk != NULL;
}

bool places_work_in_remote(pid_t tid) {
  struct path_work work = {.tid = tid};
  char base[LONGEST_PATH];
  bool is_remote = false;
  return remote_is_entered() && read_base(&work, AT_FDCWD, base, &is_remote) >= 0 && is_remote;
}

/* The working directory itself, if it is one of the pod's. */
static bool decide_cwd(struct path_work *work, struct place *place) {
  char base[LONGEST_PATH];
  if (!remote_is_entered() || read_base(work, AT_FDCWD, base, &place->from_remote) < 0 || !place->from_remote) return false;
  place->rule = -1;
  place->verdict = VERDICT_REMOTE;
  place->path = strdup(base);
  place->walk = strdup(base);
  return place->path && place->walk;
}

static bool decide_one(struct path_work *work, int directory, int path, struct place *place) {
  place->rule = -1;
  if (!place_of(work, directory, path, place)) return false;
  if (place->from_remote && work->how_resolve & (RESOLVE_IN_ROOT | RESOLVE_BENEATH)) {
    /* It stays below the descriptor by itself, so the kernel may go on from there. */
    place->verdict = VERDICT_LOCAL;
    place->from_remote = false;
  }
  return true;
}

void places_decide(struct path_work *work) {
  const struct path_call *call = work->call;
  bool is_known = classify(work) == 0 && (call->path < 0 ? decide_cwd(work, &work->place)
                                                         : decide_one(work, call->directory, call->path, &work->place));
  if (is_known && call->second_path)
    is_known = decide_one(work, call->second_directory, call->second_path, &work->second);
  if (is_known) return;
  work->place.verdict = work->second.verdict = VERDICT_LOCAL;
  work->place.from_remote = work->second.from_remote = false;
}

static void place_free(struct place *place) {
  free(place->path);
  free(place->walk);
  place->path = place->walk = NULL;
}

void places_free(struct path_work *work) {
  place_free(&work->place);
  place_free(&work->second);
}
