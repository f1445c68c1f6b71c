// What is told to a session without being asked (worker.h: messages with id 0).
//   u8 1 · u16 length and path of the directory · u16 length and name, empty: any in it · u8 what
//   u8 2: no lease holds any more
#pragma once
#include "wire.h"

enum event_what { EVENT_CHANGED = 1, EVENT_APPEARED = 2, EVENT_DISAPPEARED = 3, EVENT_GONE = 4 };

// Gathered, to be sent without any lock.
struct events {
  struct out out;
  uint64_t seen[256]; // what was told last, by hash: a log that grows is told once
};

void event_of_name(struct events *events, uint16_t session, const char *directory, const char *name,
                   enum event_what what);
void event_of_all(struct events *events, uint16_t session);
// Sends and forgets them.
void events_send(struct events *events);
