#include "cursors.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CURSORS = 16 };

struct cursor {
  char *path; // NULL: free
  uint64_t cookie, dev, ino, age;
  int fd;
  uint16_t session;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cursor cursors[CURSORS];
static uint64_t now;

static int end(struct cursor *cursor) {
  free(cursor->path);
  cursor->path = NULL;
  return cursor->fd;
}

int cursor_take(const struct request *request, const char *path, uint64_t cookie, const struct worker_stat *stat) {
  int fd = -ENOENT;
  pthread_mutex_lock(&lock);
  for (struct cursor *each = cursors; each < cursors + CURSORS; each++)
    if (each->path && each->session == request->header.session && each->cookie == cookie && each->ino == stat->ino &&
        each->dev == stat->dev && !strcmp(each->path, path)) {
      fd = end(each);
      break;
    }
  pthread_mutex_unlock(&lock);
  return fd;
}

void cursor_keep(const struct request *request, const char *path, uint64_t cookie, const struct worker_stat *stat,
                 int fd) {
  char *copy = strdup(path);
  int closing = fd;
  pthread_mutex_lock(&lock);
  struct cursor *oldest = cursors;
  for (struct cursor *each = cursors; each < cursors + CURSORS && oldest->path; each++)
    if (!each->path || each->age < oldest->age) oldest = each;
  if (copy) {
    closing = oldest->path ? end(oldest) : -1;
    *oldest = (struct cursor){copy, cookie, stat->dev, stat->ino, ++now, fd, request->header.session};
  }
  pthread_mutex_unlock(&lock);
  if (closing >= 0) close(closing);
}

void cursors_forget(uint16_t session) {
  int closing[CURSORS];
  size_t count = 0;
  pthread_mutex_lock(&lock);
  for (struct cursor *each = cursors; each < cursors + CURSORS; each++)
    if (each->path && each->session == session) closing[count++] = end(each);
  pthread_mutex_unlock(&lock);
  while (count) close(closing[--count]);
}
