#include "handles.h"
#include <errno.h>
#include <stdlib.h>

enum { BUCKETS = 8192 };

static struct handle *buckets[BUCKETS];
static uint16_t counts[65536];
static int total, most;

void handles_begin(int limit) { most = limit; }

static struct handle **bucket_of(uint16_t session, uint32_t number) {
  return &buckets[(number * 2654435761u + session * 40503u) % BUCKETS];
}

struct handle *handle_find(uint16_t session, uint32_t number) {
  for (struct handle *each = *bucket_of(session, number); each; each = each->next)
    if (each->session == session && each->number == number) return each;
  return NULL;
}

int handle_begin(uint16_t session, uint32_t number, struct handle **handle) {
  if (handle_find(session, number)) return EEXIST;
  if (counts[session] >= HANDLES_OF_SESSION) return EMFILE;
  if (total >= most) return ENFILE;
  struct handle *new = calloc(1, sizeof *new);
  if (!new) return ENOMEM;
  struct handle **bucket = bucket_of(session, number);
  new->next = *bucket;
  new->number = number;
  new->session = session;
  new->is_opening = new->is_listed = true;
  new->fd = -1;
  pthread_mutex_init(&new->position, NULL);
  counts[session]++;
  total++;
  *handle = *bucket = new;
  return 0;
}

void handle_unlist(struct handle *handle) {
  if (!handle->is_listed) return;
  struct handle **at = bucket_of(handle->session, handle->number);
  while (*at != handle) at = &(*at)->next;
  *at = handle->next;
  handle->next = NULL;
  handle->is_listed = false;
  counts[handle->session]--;
}

struct handle *handles_unlist(uint16_t session) {
  struct handle *all = NULL;
  for (size_t bucket = 0; counts[session] && bucket < BUCKETS; bucket++)
    for (struct handle *each = buckets[bucket], *next; each; each = next) {
      next = each->next;
      if (each->session != session) continue;
      handle_unlist(each);
      each->next = all;
      all = each;
    }
  return all;
}

int handle_end(struct handle *handle) {
  int fd = handle->fd;
  total--;
  pthread_mutex_destroy(&handle->position);
  free(handle);
  return fd;
}
