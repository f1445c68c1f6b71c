/*
 * What the keeper must know when inpod is killed: the trapped calls that it had received and not answered. A
 * notification that was received is never received again, so without this the call would wait for ever.
 * One block of memory, which inpod writes and the keepers read after inpod's end: each tree has one, and an id is of one
 * tree only (the kernel begins to count at a random number).
 *
 * What is left: a call that acted, was interrupted by a signal and made again, is continued natively when inpod dies
 * in the moment between receiving the second notification and joining it with the first. bind then says EINVAL,
 * connect what the kernel knows of the socket.
 */
#pragma once
#include <linux/seccomp.h>
#include <stdint.h>

enum { KEPT_HANDS = 256, KEPT_CALLS = 8192, KEPT_HAND_BYTES = 256 };

/*
 * A receiver has the kernel write each notification right here, so there is no moment at which it is received
 * and not known. (When the receiver dies before the kernel could write, it is not received.) What stays here
 * after the call has been answered does no harm: no id is used twice.
 */
union kept_hand {
  struct seccomp_notif notif;
  char room[KEPT_HAND_BYTES]; /* the kernel writes as much as its own struct has: newer ones may be longer */
};

enum kept_state {
  KEPT_UNTOUCHED, /* nothing was done: it goes on natively */
  KEPT_ACTED,     /* what it asked for may have been done: it gets `value` or `error` */
  KEPT_UNHEARD,   /* answered while a signal had taken it away: its restart gets `value` or `error` */
};

/* A held call. Until `id` is set, and when it is 0 again, the rest says nothing. */
struct kept_call {
  uint64_t id;
  uint64_t args[6];
  int32_t tid, nr;
  int64_t value;
  int32_t error; /* positive errno; 0: `value` counts */
  int32_t state; /* enum kept_state; set after value and error */
};

struct kept {
  union kept_hand hands[KEPT_HANDS];
  struct kept_call calls[KEPT_CALLS];
};
