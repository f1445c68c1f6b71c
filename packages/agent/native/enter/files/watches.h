// The watches of one session: which directories, by path and by what inotify calls them. No locks of their own.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WATCH_BUCKETS = 1024 };

struct watch {
  struct watch *next_by_wd, *next_by_path;
  int wd;
  int holders; // requests under way that have been told of it
  bool is_leased; // else it is only watched for being moved
  bool is_dirty; // something happened meanwhile
  char path[];
};

struct watcher {
  uint64_t serial; // no two are alike
  int inotify;
  size_t count, path_bytes;
  struct watch *by_wd[WATCH_BUCKETS], *by_path[WATCH_BUCKETS];
};

struct watch *watch_of_path(struct watcher *watcher, const char *path);
// The first of several: mounts can show one directory in many places.
struct watch *watch_of_wd(struct watcher *watcher, int wd);
struct watch *next_of_wd(const struct watch *watch);
// NULL: no memory.
struct watch *watch_add(struct watcher *watcher, int wd, const char *path);
// Those of the path and of all that is below it. Whether one of them was leased.
bool watch_drop(struct watcher *watcher, const char *path);
void watch_drop_all(struct watcher *watcher);
