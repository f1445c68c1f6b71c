// Deadlines on the monotonic clock, in milliseconds.
#pragma once
#include <stdint.h>
#include <time.h>

static inline int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// For poll(2): never negative, so never "for ever".
static inline int ms_until(int64_t deadline_ms) {
  int64_t left = deadline_ms - now_ms();
  return left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left;
}
