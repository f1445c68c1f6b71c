#define _GNU_SOURCE
#include "queue.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "../clock.h"
#include "cursors.h"
#include "stuck.h"
#include "watching.h"

enum { MOST_REQUESTS = 1024, MOST_BYTES = 16 << 20 };
// What has not been begun for so long is not any more: Node has told its asker that nothing came.
enum { PATIENCE_MS = 10000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_work = PTHREAD_COND_INITIALIZER, has_room = PTHREAD_COND_INITIALIZER;
static struct request *first, **last = &first;
static size_t request_count, byte_count;
static int thread_count, idle_count;
static uint16_t running[65536]; // by session
static uint32_t generations[65536];
static void *(*serve)(void *);

// Called with the lock held. Where there can be no more threads, those that there are have more to do.
static void add_thread(void) {
  if (thread_count >= QUEUE_THREADS) return;
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 << 10);
  pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  if (!pthread_create(&thread, &small, serve, NULL)) thread_count++;
  pthread_attr_destroy(&small);
}

void queue_begin(void *(*thread)(void *)) {
  serve = thread;
  pthread_mutex_lock(&lock);
  add_thread();
  pthread_mutex_unlock(&lock);
  if (!thread_count) _exit(1);
}

static int name_handle(struct request *request, size_t at, int which) {
  struct in in = request_body(request);
  for (size_t skipped = 0; skipped < at; skipped++) in_u8(&in);
  uint32_t number = in_u32(&in);
  if (in.is_bad) return EINVAL;
  // By path: no handle is meant.
  if (!number && request->header.operation == WORKER_SETATTR) return 0;
  struct handle *handle = handle_find(request->header.session, number);
  if (!handle) return EBADF;
  request->handles[which] = handle;
  handle->users++;
  return 0;
}

// Called with the lock held, in the order in which requests come.
static int name_handles(struct request *request) {
  uint16_t session = request->header.session;
  struct in in = request_body(request);
  int error;
  switch (request->header.operation) {
    case WORKER_OPEN: {
      uint32_t number = in_u32(&in);
      if (in.is_bad || !number) return EINVAL;
      error = handle_begin(session, number, &request->handles[0]);
      if (!error) request->handles[0]->users++;
      return error;
    }
    case WORKER_CLOSE:
      error = name_handle(request, 0, 0);
      if (!error) handle_unlist(request->handles[0]);
      return error;
    case WORKER_COPY:
      error = name_handle(request, 0, 0);
      return error ? error : name_handle(request, 12, 1);
    case WORKER_READ:
    case WORKER_WRITE:
    case WORKER_FSTAT:
    case WORKER_FSYNC:
    case WORKER_FALLOCATE:
    case WORKER_LSEEK:
    case WORKER_SETATTR:
    case WORKER_LOCK:
      return name_handle(request, 0, 0);
    case WORKER_FORGET:
      request->watcher = watch_forget(session, ++generations[session]);
      if (request->header.flags & 1) return 0;
      request->forgotten = handles_unlist(session);
      for (struct handle *each = request->forgotten; each; each = each->next) each->users++;
      return 0;
    default:
      return 0;
  }
}

bool queue_put(struct request *request) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec++;
  pthread_mutex_lock(&lock);
  bool is_full = request_count >= MOST_REQUESTS || byte_count >= MOST_BYTES;
  if (is_full) pthread_cond_timedwait(&has_room, &lock, &until);
  if (is_full && (request_count >= MOST_REQUESTS || byte_count >= MOST_BYTES)) {
    pthread_mutex_unlock(&lock);
    return false;
  }
  request->came_ms = now_ms();
  request->error = name_handles(request);
  request->generation = generations[request->header.session];
  request->next = NULL;
  *last = request;
  last = &request->next;
  request_count++;
  byte_count += request->body_length;
  // Not only where none is idle: one that was woken up for another request still counts as idle.
  if ((size_t)idle_count < request_count) add_thread();
  pthread_cond_signal(&has_work);
  pthread_mutex_unlock(&lock);
  return true;
}

// Called with the lock held: `*at` leaves the queue and is begun.
static struct request *take(struct request **at) {
  struct request *taken = *at;
  *at = taken->next;
  if (!taken->next) last = at;
  request_count--;
  byte_count -= taken->body_length;
  running[taken->header.session]++;
  pthread_cond_signal(&has_room);
  return taken;
}

struct request *queue_take_late(void) {
  struct request *late = NULL;
  pthread_mutex_lock(&lock);
  // The oldest is the first.
  if (first && first->came_ms + PATIENCE_MS < now_ms()) late = take(&first);
  if (late && !late->error) late->error = ETIMEDOUT;
  pthread_mutex_unlock(&lock);
  return late;
}

static bool may_begin(uint16_t session) {
  int count = running[session];
  if (count < QUEUE_THREADS_OF_SESSION) return true;
  return count < QUEUE_THREADS_OF_STUCK_SESSION && count - stuck_count(session) < QUEUE_THREADS_OF_SESSION;
}

static bool can_run(const struct request *request) {
  if (!may_begin(request->header.session)) return false;
  if (request->header.operation == WORKER_OPEN) return true;
  for (int each = 0; each < 2; each++) {
    const struct handle *handle = request->handles[each];
    if (handle && handle->is_opening) return false;
    if (handle && request->header.operation == WORKER_CLOSE && handle->users > 1) return false;
  }
  return true;
}

struct request *queue_take(void) {
  pthread_mutex_lock(&lock);
  for (;;) {
    for (struct request **at = &first; *at; at = &(*at)->next) {
      if (!can_run(*at)) continue;
      struct request *found = take(at);
      if (!found->error && stuck_would(found)) found->error = ETIMEDOUT;
      stuck_began(found);
      pthread_mutex_unlock(&lock);
      return found;
    }
    idle_count++;
    pthread_cond_wait(&has_work, &lock);
    idle_count--;
  }
}

void queue_opened(struct request *request, int fd, bool appends) {
  struct handle *handle = request->handles[0];
  pthread_mutex_lock(&lock);
  handle->is_opening = false;
  handle->appends = appends;
  handle->fd = fd;
  // What was sent behind it finds EBADF, and its number is free.
  if (fd < 0) handle_unlist(handle);
  if (request_count) pthread_cond_broadcast(&has_work);
  pthread_mutex_unlock(&lock);
}

// Called with the lock held, which it may let go of meanwhile. `closing`: to be closed without the lock.
static void release(struct request *request, int closing[2]) {
  for (int each = 0; each < 2; each++) {
    struct handle *handle = request->handles[each];
    closing[each] = handle && !--handle->users && !handle->is_listed ? handle_end(handle) : -1;
    request->handles[each] = NULL;
  }
  struct handle *forgotten = request->forgotten;
  request->forgotten = NULL;
  while (forgotten) {
    struct handle *next = forgotten->next;
    if (!--forgotten->users) {
      int fd = handle_end(forgotten);
      pthread_mutex_unlock(&lock);
      if (fd >= 0) close(fd);
      pthread_mutex_lock(&lock);
    }
    forgotten = next;
  }
  // Something may have waited for this handle, or for this session's turn.
  if (request_count) pthread_cond_broadcast(&has_work);
}

static void close_both(const int closing[2]) {
  for (int each = 0; each < 2; each++)
    if (closing[each] >= 0) close(closing[each]);
}

void queue_release(struct request *request) {
  int closing[2];
  pthread_mutex_lock(&lock);
  release(request, closing);
  pthread_mutex_unlock(&lock);
  close_both(closing);
}

void queue_done(struct request *request) {
  watcher_close(request->watcher);
  if (request->header.operation == WORKER_FORGET) cursors_forget(request->header.session);
  int closing[2];
  pthread_mutex_lock(&lock);
  running[request->header.session]--;
  stuck_ended(request);
  release(request, closing);
  pthread_mutex_unlock(&lock);
  close_both(closing);
  free(request);
}
