#include "stuck.h"
#include <string.h>
#include "../clock.h"
#include "queue.h"

// Beyond Node's patience: a disk may be slow, and whoever waits for it is not to be told anything else.
enum { LONG_MS = 10000, MOST_IN_DIRECTORY = 4 };

static struct request *running[QUEUE_THREADS];

void stuck_began(struct request *request) {
  request->began_ms = now_ms();
  for (int each = 0; each < QUEUE_THREADS; each++)
    if (!running[each]) {
      running[each] = request;
      return;
    }
}

void stuck_ended(struct request *request) {
  for (int each = 0; each < QUEUE_THREADS; each++)
    if (running[each] == request) running[each] = NULL;
}

int stuck_count(uint16_t session) {
  int count = 0;
  int64_t long_ago = now_ms() - LONG_MS;
  for (int each = 0; each < QUEUE_THREADS; each++)
    count += running[each] && running[each]->header.session == session && running[each]->began_ms <= long_ago;
  return count;
}

struct span {
  const char *at;
  size_t length;
};

// The path that a request begins with; empty: it has none there.
static struct span path_of(const struct request *request) {
  uint8_t number = request->header.operation;
  bool has_handle = number == WORKER_OPEN || number == WORKER_SETATTR;
  size_t skipped = has_handle ? 4 : 0;
  uint16_t length;
  bool has_path = number <= WORKER_LISTXATTR || has_handle || (number >= WORKER_MKDIR && number <= WORKER_REMOVEXATTR);
  if (!has_path || request->body_length < skipped + sizeof length) return (struct span){0};
  memcpy(&length, request->body + skipped, sizeof length);
  if (length > request->body_length - skipped - sizeof length) return (struct span){0};
  return (struct span){(const char *)request->body + skipped + sizeof length, length};
}

static bool is_at_or_below(struct span path, struct span top) {
  return top.length && path.length >= top.length && !memcmp(path.at, top.at, top.length) &&
         (path.length == top.length || path.at[top.length] == '/');
}

static struct span directory_of(struct span path) {
  while (path.length && path.at[path.length - 1] != '/') path.length--;
  if (path.length) path.length--;
  return path;
}

bool stuck_would(const struct request *request) {
  uint8_t number = request->header.operation;
  if (number == WORKER_CLOSE || number == WORKER_FORGET) return false;
  struct span path = path_of(request);
  int64_t long_ago = 0;
  int in_directory = 0;
  for (int each = 0; each < QUEUE_THREADS; each++) {
    const struct request *other = running[each];
    if (!other) continue;
    if (!long_ago) long_ago = now_ms() - LONG_MS;
    if (other->began_ms > long_ago) continue;
    if (request->handles[0] && request->handles[0] == other->handles[0]) return true;
    struct span theirs = path_of(other);
    if (is_at_or_below(path, theirs)) return true;
    // Where one file does not answer its neighbours may; where several do not, nothing in that directory does.
    if (is_at_or_below(path, directory_of(theirs)) && ++in_directory >= MOST_IN_DIRECTORY) return true;
  }
  return false;
}
