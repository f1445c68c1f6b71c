// The process whose place is taken: everything of it that takes rights to get at, opened once.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "privilege.h"

enum { ENVIRON_LIMIT = 1 << 20, HOSTNAME_LIMIT = 256, WHY_LIMIT = 200 };

struct target {
  pid_t pid;
  int pidfd; // -1: nothing whose end would be the target's
  int root_fd; // O_PATH; -1: see missing_files
  // Its mounts, which end with its last process but for this, before anybody is told of that end: without it, what is
  // on a volume would be answered as missing. Kept by the file worker only. -1: none
  int mounts_fd;
  struct ids ids; // in our user namespace
  char hostname[HOSTNAME_LIMIT];
  char *environ; // NAME=value, each ended by NUL; the end of what is beyond ENVIRON_LIMIT is cut
  size_t environ_length;
  bool shares_network; // had our network namespace already
  bool uses_node_network; // that of the process that /proc calls 1, which is not the target
  // In words, empty: nothing is missing.
  char missing_files[WHY_LIMIT], missing_environment[WHY_LIMIT];
};

enum entry {
  ENTER_CONTAINER, // join its namespaces
  ENTER_NETWORK, // the process is not the target's own, but lives in its network
  ENTER_POD, // we are a container of its pod: there is nothing to join, and what it does not show us is missing
  ENTER_NOTHING, // no target: what we have ourselves
};

// Joins the process's network namespace, and before it its user namespace when that is not ours: the
// owner of a user namespace has every capability in it (user_namespaces(7)), so this takes no root.
// 0, or errno with `what`.
int enter_target(pid_t pid, enum entry entry, struct target *target, char *what, size_t what_size);

// The process of another life of the same target, whose namespaces we are in: taken only if it is of the
// container and the pod named by its cgroup, and lives in our network and user namespace. 0, or errno with `what`.
int follow_target(pid_t pid, const char *container_id, const char *pod_uid, struct target *target, char *what,
                  size_t what_size);

// Closes what was opened, and forgets the environment.
void leave_target(struct target *target);

// Addresses of the network namespace we are in, space-separated; loopback and link-local left out.
void list_addresses(char *text, size_t size);
