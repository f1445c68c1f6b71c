#define _GNU_SOURCE
#include "child.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_TIMEOUT_MS = 5000, DESCRIPTORS = 1024 };

static bool is_kept(const struct child *child, int fd) {
  for (size_t each = 0; each < child->descriptor_count; each++)
    if (child->descriptors[each] == fd) return true;
  return fd == STDERR_FILENO;
}

static void become_child(const struct child *child, pid_t parent, int result_fd) {
  for (int fd = 0; fd < DESCRIPTORS; fd++)
    if (fd != result_fd && !is_kept(child, fd)) close(fd);
  setsid();
  int error = child->prepare ? child->prepare(child->argument) : 0;
  limit_bounding_set(-1);
  if (!error) error = become(child->ids);
  if (!error) error = keep_only(-1);
  die_with(parent);
  if (write(result_fd, &error, sizeof error) != sizeof error || error) _exit(1);
  close(result_fd);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  child->run(child->argument);
  _exit(0);
}

pid_t start_child(const struct child *child) {
  int result[2];
  if (pipe2(result, O_CLOEXEC)) return -errno;
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) become_child(child, parent, result[1]);
  close(result[1]);
  int error = pid < 0 ? errno : ETIMEDOUT;
  struct pollfd readable = {.fd = result[0], .events = POLLIN};
  if (pid > 0 && poll(&readable, 1, START_TIMEOUT_MS) == 1 && read(result[0], &error, sizeof error) != sizeof error)
    error = ECHILD;
  close(result[0]);
  if (!error) return pid;
  if (pid > 0) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
  }
  return -error;
}
