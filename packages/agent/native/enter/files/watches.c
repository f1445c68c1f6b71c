#include "watches.h"
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

static size_t bucket_of_path(const char *path) {
  uint32_t hash = 2166136261u;
  for (; *path; path++) hash = (hash ^ (uint8_t)*path) * 16777619u;
  return hash % WATCH_BUCKETS;
}

static size_t bucket_of_wd(int wd) { return (uint32_t)wd % WATCH_BUCKETS; }

struct watch *watch_of_path(struct watcher *watcher, const char *path) {
  struct watch *watch = watcher->by_path[bucket_of_path(path)];
  while (watch && strcmp(watch->path, path)) watch = watch->next_by_path;
  return watch;
}

static struct watch *first_of(struct watch *watch, int wd) {
  while (watch && watch->wd != wd) watch = watch->next_by_wd;
  return watch;
}

struct watch *watch_of_wd(struct watcher *watcher, int wd) { return first_of(watcher->by_wd[bucket_of_wd(wd)], wd); }

struct watch *next_of_wd(const struct watch *watch) { return first_of(watch->next_by_wd, watch->wd); }

struct watch *watch_add(struct watcher *watcher, int wd, const char *path) {
  size_t size = strlen(path) + 1;
  struct watch *watch = calloc(1, sizeof *watch + size);
  if (!watch) return NULL;
  memcpy(watch->path, path, size);
  watch->wd = wd;
  struct watch **by_wd = &watcher->by_wd[bucket_of_wd(wd)], **by_path = &watcher->by_path[bucket_of_path(path)];
  watch->next_by_wd = *by_wd;
  watch->next_by_path = *by_path;
  *by_wd = *by_path = watch;
  watcher->count++;
  watcher->path_bytes += size;
  return watch;
}

static void end(struct watcher *watcher, struct watch *watch) {
  struct watch **at = &watcher->by_wd[bucket_of_wd(watch->wd)];
  while (*at != watch) at = &(*at)->next_by_wd;
  *at = watch->next_by_wd;
  watcher->count--;
  watcher->path_bytes -= strlen(watch->path) + 1;
  // Removed already, where the directory is: that is no error to anybody.
  if (!watch_of_wd(watcher, watch->wd)) inotify_rm_watch(watcher->inotify, watch->wd);
  free(watch);
}

static bool is_below(const char *path, const char *top, size_t length) {
  return !strncmp(path, top, length) && (!path[length] || path[length] == '/');
}

bool watch_drop(struct watcher *watcher, const char *path) {
  // Of "/": whatever there is.
  size_t length = path[1] ? strlen(path) : 0;
  bool was_leased = false;
  for (size_t bucket = 0; bucket < WATCH_BUCKETS; bucket++)
    for (struct watch **at = &watcher->by_path[bucket]; *at;) {
      struct watch *watch = *at;
      if (!is_below(watch->path, path, length)) {
        at = &watch->next_by_path;
        continue;
      }
      was_leased = was_leased || watch->is_leased;
      *at = watch->next_by_path;
      end(watcher, watch);
    }
  return was_leased;
}

void watch_drop_all(struct watcher *watcher) {
  for (size_t bucket = 0; bucket < WATCH_BUCKETS; bucket++)
    for (struct watch *watch = watcher->by_path[bucket], *next; watch; watch = next) {
      next = watch->next_by_path;
      free(watch);
    }
}
