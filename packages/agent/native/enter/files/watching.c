#define _GNU_SOURCE
#include "watching.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "below.h"
#include "events.h"
#include "watches.h"

// The kernel counts instances and watches of a user over the whole node (max_user_instances, often 128).
enum { MOST_WATCHERS = 8, MOST_WATCHES = 16384, MOST_PATH_BYTES = 4 << 20 };
// What happens in so short a time is told once.
enum { GATHER_US = 5000 };
enum {
  GONE = IN_MOVE_SELF | IN_DELETE_SELF,
  // Of a directory that somebody has open its removal is told by the one above alone.
  LEFT = IN_DELETE | IN_MOVED_FROM,
  CHANGED = IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_MOVED_TO,
};

struct watch_pin {
  struct watch_pin *next;
  uint64_t serial;
  char path[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watcher *watchers[65536]; // by session
static uint32_t oldest[65536]; // generation that may still get a lease
static int watcher_count, epoll = -1;
static size_t most_watches;
static uint64_t serials;

void watching_begin(void) {
  // A share of what the user may have at all: the pod's own processes, and with root's id the node's, want some too.
  unsigned long most = 8192;
  FILE *file = fopen("/proc/sys/fs/inotify/max_user_watches", "re");
  if (file && fscanf(file, "%lu", &most) != 1) most = 8192;
  if (file) fclose(file);
  most_watches = most / 8 < MOST_WATCHES ? most / 8 : MOST_WATCHES;
}

// Called with the lock held. The path's watches, and all below it, mean nothing any more.
static void drop(struct watcher *watcher, uint16_t session, const char *path, struct events *events) {
  if (watch_drop(watcher, path)) event_of_name(events, session, path, "", EVENT_GONE);
}

// Called with the lock held: a directory has left another one that is watched.
static void drop_left(struct watcher *watcher, uint16_t session, const struct inotify_event *event,
                      struct events *events) {
  for (struct watch *watch = watch_of_wd(watcher, event->wd); watch; watch = next_of_wd(watch)) {
    char path[PATH_ROOM + NAME_ROOM];
    snprintf(path, sizeof path, "%s/%s", watch->path[1] ? watch->path : "", event->name);
    // It is below, and not this one itself: the list stays.
    drop(watcher, session, path, events);
  }
}

// Called with the lock held.
static void tell(struct watcher *watcher, uint16_t session, const struct inotify_event *event,
                 struct events *events) {
  const char *name = event->len ? event->name : "";
  for (struct watch *watch = watch_of_wd(watcher, event->wd); watch; watch = next_of_wd(watch)) {
    if (!watch->is_leased) continue;
    // Who knows the directory already is told which name. Who learns of it by the answer that is under way will forget
    // it again: see watch_answered().
    if (watch->holders) watch->is_dirty = true;
    if (event->mask & (IN_CREATE | IN_MOVED_TO)) event_of_name(events, session, watch->path, name, EVENT_APPEARED);
    else if (event->mask & LEFT) event_of_name(events, session, watch->path, name, EVENT_DISAPPEARED);
    else event_of_name(events, session, watch->path, name, EVENT_CHANGED);
  }
}

// Called with the lock held. What is left of it is for watcher_close().
static struct watcher *detach(uint16_t session) {
  struct watcher *watcher = watchers[session];
  watchers[session] = NULL;
  if (watcher) watcher_count--;
  return watcher;
}

void watcher_close(struct watcher *watcher) {
  if (!watcher) return;
  close(watcher->inotify);
  watch_drop_all(watcher);
  free(watcher);
}

struct watcher *watch_forget(uint16_t session, uint32_t generation) {
  pthread_mutex_lock(&lock);
  oldest[session] = generation;
  struct watcher *watcher = detach(session);
  pthread_mutex_unlock(&lock);
  return watcher;
}

// Called with the lock held. A watcher that has lost something, to be closed.
static struct watcher *take_events(uint16_t session, struct events *events) {
  _Alignas(struct inotify_event) char buffer[32 << 10];
  struct watcher *watcher = watchers[session];
  if (!watcher) return NULL;
  ssize_t got = read(watcher->inotify, buffer, sizeof buffer);
  for (ssize_t at = 0; at < got;) {
    const struct inotify_event *event = (const void *)(buffer + at);
    at += sizeof *event + event->len;
    if (event->mask & IN_Q_OVERFLOW) {
      event_of_all(events, session);
      return detach(session);
    }
    if (!(event->mask & (GONE | IN_UNMOUNT | IN_IGNORED))) {
      if (event->mask & LEFT && event->mask & IN_ISDIR && event->len) drop_left(watcher, session, event, events);
      tell(watcher, session, event, events);
      continue;
    }
    for (struct watch *watch; (watch = watch_of_wd(watcher, event->wd));) {
      char path[PATH_ROOM];
      strcpy(path, watch->path);
      drop(watcher, session, path, events);
    }
  }
  return NULL;
}

static void *follow(void *unused) {
  (void)unused;
  for (;;) {
    struct epoll_event ready[MOST_WATCHERS];
    int count = epoll_wait(epoll, ready, MOST_WATCHERS, -1);
    for (int each = 0; each < count; each++) {
      struct events events = {0};
      pthread_mutex_lock(&lock);
      struct watcher *lost = take_events(ready[each].data.u32, &events);
      pthread_mutex_unlock(&lock);
      watcher_close(lost);
      events_send(&events);
    }
    usleep(GATHER_US);
  }
  return NULL;
}

// Called with the lock held.
static bool start_following(void) {
  if (epoll >= 0) return true;
  epoll = epoll_create1(EPOLL_CLOEXEC);
  pthread_t thread;
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 << 10);
  bool has_started = epoll >= 0 && !pthread_create(&thread, &small, follow, NULL);
  pthread_attr_destroy(&small);
  if (has_started || epoll < 0) return has_started;
  close(epoll);
  epoll = -1;
  return false;
}

// Called with the lock held. NULL: none can be had.
static struct watcher *watcher_of(const struct request *request) {
  uint16_t session = request->header.session;
  if (request->generation < oldest[session]) return NULL;
  if (watchers[session]) return watchers[session];
  if (watcher_count >= MOST_WATCHERS || !start_following()) return NULL;
  struct watcher *watcher = calloc(1, sizeof *watcher);
  if (!watcher) return NULL;
  watcher->serial = ++serials;
  watcher->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = session};
  if (watcher->inotify < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, watcher->inotify, &event)) {
    if (watcher->inotify >= 0) close(watcher->inotify);
    free(watcher);
    return NULL;
  }
  watcher_count++;
  return watchers[session] = watcher;
}

// Called with the lock held. NULL: it is not watched.
static struct watch *add(struct watcher *watcher, uint16_t session, const char *path, int path_fd, uint32_t mask,
                         struct events *events) {
  struct watch *known = watch_of_path(watcher, path);
  if (!known && (watcher->count >= most_watches || watcher->path_bytes >= MOST_PATH_BYTES)) return NULL;
  char own[32];
  snprintf(own, sizeof own, "/proc/self/fd/%d", path_fd);
  int wd = inotify_add_watch(watcher->inotify, own, mask | IN_MASK_ADD | IN_EXCL_UNLINK | IN_ONLYDIR);
  if (wd < 0) return NULL;
  // Another directory has taken its place, and the old one is still in use somewhere: no event has told.
  if (known && known->wd != wd) {
    drop(watcher, session, path, events);
    known = NULL;
  }
  if (known) return known;
  struct watch *added = watch_add(watcher, wd, path);
  if (!added && !watch_of_wd(watcher, wd)) inotify_rm_watch(watcher->inotify, wd);
  return added;
}

// Every directory above is watched for being moved.
static bool watch_above(struct request *request, const char *path, struct events *events) {
  char above[PATH_ROOM];
  strcpy(above, path);
  *strrchr(above, '/') = 0;
  pthread_mutex_lock(&lock);
  struct watcher *known = watcher_of(request);
  // Those above are watched before it, and dropped with it.
  bool are_known = known && watch_of_path(known, *above ? above : "/");
  pthread_mutex_unlock(&lock);
  if (are_known || !path[1]) return known;
  for (const char *slash = path; slash && path[1]; slash = strchr(slash + 1, '/')) {
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    memcpy(above, path, length);
    above[length] = 0;
    pthread_mutex_lock(&lock);
    struct watcher *watcher = watcher_of(request);
    bool is_known = watcher && watch_of_path(watcher, above);
    pthread_mutex_unlock(&lock);
    if (!watcher) return false;
    if (is_known) continue;
    // Not with the lock: it may be on a filesystem that does not answer.
    int fd = below_open(above);
    bool is_added = false;
    if (fd >= 0 && filesystem_of(fd) == FILESYSTEM_OWN) {
      pthread_mutex_lock(&lock);
      watcher = watcher_of(request);
      is_added = watcher && add(watcher, request->header.session, above, fd, GONE | LEFT, events);
      pthread_mutex_unlock(&lock);
    }
    if (fd >= 0) close(fd);
    if (!is_added) return false;
  }
  return true;
}

static bool is_still_there(const char *path, int path_fd) {
  struct worker_stat before, now;
  int fd = below_open(path);
  bool is_same = fd >= 0 && !stat_of(path_fd, &before) && !stat_of(fd, &now) && before.ino == now.ino && before.dev == now.dev;
  if (fd >= 0) close(fd);
  return is_same;
}

static bool pin(struct request *request, struct watcher *watcher, struct watch *watch) {
  struct watch_pin *new = malloc(sizeof *new + strlen(watch->path) + 1);
  if (!new) return false;
  new->serial = watcher->serial;
  strcpy(new->path, watch->path);
  new->next = request->pins;
  request->pins = new;
  watch->is_leased = true;
  watch->holders++;
  return true;
}

bool watch(struct request *request, const char *path, int path_fd) {
  if (!mounts_are_seen() || filesystem_of(path_fd) != FILESYSTEM_OWN) return false;
  struct events events = {0};
  bool is_watched = watch_above(request, path, &events);
  if (is_watched) {
    pthread_mutex_lock(&lock);
    struct watcher *watcher = watcher_of(request);
    struct watch *added = !watcher ? NULL : add(watcher, request->header.session, path, path_fd,
                                                GONE | LEFT | CHANGED, &events);
    is_watched = added && pin(request, watcher, added);
    pthread_mutex_unlock(&lock);
  }
  events_send(&events);
  // Something above it may have been moved before it was watched.
  return is_watched && is_still_there(path, path_fd);
}

bool is_watched(const struct request *request, const char *path) {
  return request->pins && !strcmp(request->pins->path, path);
}

void watch_answered(struct request *request) {
  if (!request->pins) return;
  uint16_t session = request->header.session;
  struct events events = {0};
  pthread_mutex_lock(&lock);
  for (struct watch_pin *pin = request->pins, *next; pin; pin = next) {
    next = pin->next;
    struct watcher *watcher = watchers[session];
    struct watch *watch = watcher && watcher->serial == pin->serial ? watch_of_path(watcher, pin->path) : NULL;
    // Told as leased, and it is not any more. After a FORGET nobody listens.
    if (!watch && request->generation >= oldest[session]) event_of_name(&events, session, pin->path, "", EVENT_GONE);
    else if (watch && watch->holders && !--watch->holders && watch->is_dirty) {
      watch->is_dirty = false;
      event_of_name(&events, session, pin->path, "", EVENT_CHANGED);
    }
    free(pin);
  }
  pthread_mutex_unlock(&lock);
  request->pins = NULL;
  events_send(&events);
}
