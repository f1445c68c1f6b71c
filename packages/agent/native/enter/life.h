// One life of the target: its main process, and the file worker in its root directory. A container that is
// started again in its pod has another process, id and root, in the same network namespace: the next life.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "files/worker.h"
#include "target.h"

enum { CONTAINER_ID_LIMIT = 64 };

struct life {
  struct target target;
  // We live in the pid namespace of its main process: while we run, no other container is the target's.
  bool ends_with_target;
  const char *pod_uid; // NULL: there is no other life
  char container_id[CONTAINER_ID_LIMIT + 1];
  bool is_over;
  pid_t worker; // 0: none
  int worker_socket, worker_channel; // stay from one worker to the next
  uint8_t worker_mark[WORKER_MARK]; // where on it the present one's part begins
};

// Lower-case hexadecimal digits, 8 to 64: what runtimes call a container. Never a path or a pattern.
bool is_container_id(const char *text);

// The worker of a target that was entered; why there is none is in target.missing_files.
void life_start_worker(struct life *life);

// The main process has ended: its worker goes on serving nothing.
void life_end(struct life *life);

// The next life, of the container `id` of the same pod. 0 also when it has begun already; else errno with
// `what`: ESRCH (no such process yet), EBUSY (the present life goes on), ESTALE (its network is another one:
// the pod was set up anew), EPERM.
int life_renew(struct life *life, const char *id, char *what, size_t what_size);
