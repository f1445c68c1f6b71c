#define _GNU_SOURCE
#include "life.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"
#include "find.h"
#include "report.h"

bool is_container_id(const char *text) {
  size_t length = strspn(text, "0123456789abcdef");
  return !text[length] && length >= 8 && length <= CONTAINER_ID_LIMIT;
}

static void begin_worker(struct life *life) {
  if (life->target.root_fd < 0) return;
  ssize_t drawn = getrandom(life->worker_mark, sizeof life->worker_mark, 0);
  life->worker = drawn == sizeof life->worker_mark
                     ? start_worker(&life->target, life->worker_socket, life->worker_channel, life->worker_mark)
                     : -EIO;
  if (life->worker > 0) return;
  snprintf(life->target.missing_files, WHY_LIMIT, "ids of the target: %s", strerror(-life->worker));
  life->worker = 0;
}

void life_start_worker(struct life *life) {
  begin_worker(life);
  // We stay beyond the target's end, and what it had mounted is not ours to keep.
  if (life->target.mounts_fd >= 0) close(life->target.mounts_fd);
  life->target.mounts_fd = -1;
}

void life_end(struct life *life) {
  life->is_over = true;
  if (!life->worker) return;
  kill(life->worker, SIGKILL);
  // On a dead network filesystem it may stay, to run no further instruction of its own.
  int64_t deadline = now_ms() + 1000;
  while (waitpid(life->worker, NULL, WNOHANG) == 0 && ms_until(deadline)) poll(NULL, 0, 5);
  life->worker = 0;
}

static bool has_ended(int pidfd) {
  struct pollfd ended = {.fd = pidfd, .events = POLLIN};
  return pidfd < 0 || poll(&ended, 1, 0) == 1;
}

int life_renew(struct life *life, const char *id, char *what, size_t what_size) {
  bool is_running = !life->is_over && !has_ended(life->target.pidfd);
  if (is_running && (life->ends_with_target || !strcmp(id, life->container_id))) return 0;
  if (!life->pod_uid) {
    snprintf(what, what_size, "the target is no container of a pod, or we are one of its pod's and end with it");
    return EPERM;
  }
  if (is_running) {
    snprintf(what, what_size, "the target's container still runs");
    return EBUSY;
  }
  pid_t pid = find_container_of_pod(id, life->pod_uid);
  if (!pid) {
    snprintf(what, what_size, "no process of this container of the pod is in /proc");
    return ESRCH;
  }
  static struct target next;
  int error = follow_target(pid, id, life->pod_uid, &next, what, what_size);
  if (error) return error;
  life_end(life);
  leave_target(&life->target);
  life->target = next;
  life->is_over = false;
  snprintf(life->container_id, sizeof life->container_id, "%s", id);
  life_start_worker(life);
  report_target(pid);
  return 0;
}
