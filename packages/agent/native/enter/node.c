#define _GNU_SOURCE
#include "node.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "report.h"

struct ids choose_node_ids(struct options *options, const struct target *target) {
  if (options->node_gid >= 0 && !is_gid_mapped(options->node_gid)) options->node_gid = -1;
  if (options->node_uid >= 0 && !is_uid_mapped(options->node_uid)) options->node_uid = -1;
  struct ids ids = {.uid = getuid(), .gid = getgid()};
  if (!is_uid_mapped(ids.uid)) ids.uid = target->ids.uid;
  if (!is_gid_mapped(ids.gid)) ids.gid = target->ids.gid;
  if (options->node_uid >= 0) ids.uid = options->node_uid;
  if (options->node_gid >= 0) ids.gid = options->node_gid;
  return ids;
}

static void run_node(const struct options *options, const struct ids *ids, const int *fds, pid_t parent) {
  setsid();
  limit_bounding_set(-1);
  int error = become(ids);
  if (!error) error = keep_only(-1);
  die_with(parent);
  if (error) {
    report_error(error, "rights of Node: %s", strerror(error));
    _exit(126);
  }
  // Out of the way first: one of them may have the number of another's place.
  int moved[NODE_FDS];
  for (int each = 0; each < NODE_FDS; each++) moved[each] = fds[each] < 0 ? -1 : fcntl(fds[each], F_DUPFD, 16);
  for (int each = 0; each < NODE_FDS; each++) {
    if (moved[each] < 0) close(NODE_LISTEN_FD + each);
    else dup2(moved[each], NODE_LISTEN_FD + each);
  }
  int events = fcntl(STDOUT_FILENO, F_DUPFD, 16);
  int null_fd = open("/dev/null", O_RDONLY);
  dup2(null_fd, STDIN_FILENO);
  // stdout is for our events.
  dup2(STDERR_FILENO, STDOUT_FILENO);
  fcntl(events, F_SETFD, FD_CLOEXEC);
  for (int fd = NODE_LISTEN_FD + NODE_FDS; fd < 1024; fd++)
    if (fd != events) close(fd);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  // The file worker's connections come by it, with descriptors: Node takes those in no other way.
  char number[12];
  snprintf(number, sizeof number, "%d", NODE_UNIX_FD);
  setenv("NODE_CHANNEL_FD", number, 1);
  execvp(options->node_command[0], options->node_command);
  error = errno;
  dup2(events, STDOUT_FILENO);
  report_error(error, "%s: %s", options->node_command[0], strerror(error));
  _exit(127);
}

pid_t start_node(const struct options *options, const struct ids *ids, const int *fds) {
  pid_t parent = getpid(), child = fork();
  if (child == 0) run_node(options, ids, fds, parent);
  return child < 0 ? -errno : child;
}
