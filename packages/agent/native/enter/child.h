// Children of inpod-enter that give their rights away and never execute another program.
#pragma once
#include <stddef.h>
#include <sys/types.h>
#include "privilege.h"

struct child {
  const struct ids *ids;
  // Descriptors that it keeps, beside stderr. Nothing else of enter's: no listening socket, no pidfd, no stdout whose
  // reader waits for EOF.
  const int *descriptors;
  size_t descriptor_count;
  // What takes enter's rights still; 0 or errno. Or NULL.
  int (*prepare)(void *argument);
  // Without any right. Does not return.
  void (*run)(void *argument);
  void *argument;
};

// Returns when it has given its rights away. Its pid, or -errno: then there is none.
pid_t start_child(const struct child *child);
