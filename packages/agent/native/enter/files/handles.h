// Open files of the sessions, by the numbers that they chose.
//
// Known as soon as the OPEN is read, so that what is sent right behind it finds it; the file itself comes later. All
// functions are called with the queue's lock held, but handle_fd() and handle_close_all().
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { HANDLES_OF_SESSION = 16384 };

struct handle {
  struct handle *next;
  uint32_t number;
  uint16_t session;
  bool is_opening, is_listed;
  bool appends;
  int fd; // -1: opening, or it could not be opened
  int users; // requests that name it
  pthread_mutex_t position; // of the descriptor, for whoever needs it to stay
};

// How many descriptors there may be at all.
void handles_begin(int limit);

// 0 or errno: EEXIST, EMFILE, ENFILE, ENOMEM.
int handle_begin(uint16_t session, uint32_t number, struct handle **handle);
// NULL: none that is open or about to be.
struct handle *handle_find(uint16_t session, uint32_t number);
// No later request finds it, and its session may have another one.
void handle_unlist(struct handle *handle);
// Those of a session, unlisted, linked by `next`.
struct handle *handles_unlist(uint16_t session);
// One of those that has no user left and is not listed: its descriptor, to be closed by the caller without the lock.
int handle_end(struct handle *handle);
