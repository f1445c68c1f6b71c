#include "events.h"
#include <stdlib.h>
#include <string.h>
#include "send.h"

static size_t begin(struct events *events, uint16_t session) {
  size_t at = events->out.length;
  struct worker_answer head = {.error = session};
  out_bytes(&events->out, &head, sizeof head);
  return at;
}

static void finish(struct events *events, size_t at) {
  if (events->out.is_lost) return;
  uint32_t length = events->out.length - at - sizeof length;
  memcpy(events->out.bytes + at, &length, sizeof length);
}

void event_of_name(struct events *events, uint16_t session, const char *directory, const char *name,
                   enum event_what what) {
  uint64_t hash = 14695981039346656037u + what;
  for (const char *at = directory; *at; at++) hash = (hash ^ (uint8_t)*at) * 1099511628211u;
  hash = (hash ^ '/') * 1099511628211u;
  for (const char *at = name; *at; at++) hash = (hash ^ (uint8_t)*at) * 1099511628211u;
  // Only what changes again and again: of names that come and go, the order tells what there is now.
  uint64_t *seen = &events->seen[hash % (sizeof events->seen / sizeof *events->seen)];
  if (what == EVENT_CHANGED && *seen == hash) return;
  *seen = hash;
  size_t at = begin(events, session);
  out_u8(&events->out, 1);
  out_text(&events->out, directory, strlen(directory));
  out_text(&events->out, name, strlen(name));
  out_u8(&events->out, what);
  finish(events, at);
}

void event_of_all(struct events *events, uint16_t session) {
  size_t at = begin(events, session);
  out_u8(&events->out, 2);
  finish(events, at);
}

void events_send(struct events *events) {
  // Events that cannot be told, for want of memory, would leave leases that mean nothing: that is our end.
  if (events->out.is_lost) abort();
  if (events->out.length) send_all(events->out.bytes, events->out.length);
  free(events->out.bytes);
  events->out = (struct out){0};
}
