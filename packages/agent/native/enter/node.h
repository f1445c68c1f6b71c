// Starts Node, without any right, between the tunnel and the two children that have some.
#pragma once
#include <stdint.h>
#include "options.h"
#include "target.h"

// Its file descriptors; ../../src/main.ts knows the same numbers.
enum { NODE_LISTEN_FD = 3, NODE_CONTROL_FD = 4, NODE_FILES_FD = 5, NODE_METRICS_FD = 6, NODE_PACKETS_FD = 7, NODE_UNIX_FD = 8, NODE_FDS = 6 };

// The ids Node gets: those asked for, else ours; the target's where they mean nothing in the target's user
// namespace. `options` is corrected accordingly: node_gid is -1 if Node's gid is not its own.
struct ids choose_node_ids(struct options *options, const struct target *target);

// `fds` in the order of its numbers; -1: it gets none there. The pid, or -errno.
pid_t start_node(const struct options *options, const struct ids *ids, const int *fds);
