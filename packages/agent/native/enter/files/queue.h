// Requests between the thread that reads them and those that do them.
//
// A thread that waits for a dead network filesystem waits alone: there are more of them as they are needed, and one
// session cannot have all. What a handle is named in is done in an order that makes sense: nothing before its OPEN,
// CLOSE after all that came before it.
#pragma once
#include <stdbool.h>
#include "request.h"

enum {
  QUEUE_THREADS = 32,
  QUEUE_THREADS_OF_SESSION = 24,
  QUEUE_THREADS_OF_STUCK_SESSION = 28, // with those that do not come back (stuck.h)
};

// `serve` is run by each thread, and never returns.
void queue_begin(void *(*serve)(void *));
// Takes it over. False: for a second there was no room for it.
bool queue_put(struct request *request);
// One that has waited for too long, with its error: threads that may be all stuck need not come back for that.
struct request *queue_take_late(void);
// The next that can be done; waits for one.
struct request *queue_take(void);
// OPEN has its descriptor, or (negative) has none.
void queue_opened(struct request *request, int fd, bool appends);
// Frees it, and what it was the last to name.
void queue_done(struct request *request);
// Gives up the handles that it names, as queue_done() does: what is closed makes room before that is said.
void queue_release(struct request *request);
