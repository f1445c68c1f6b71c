/*
 * inpod-launch CONTROL-FD GROUPS NOFILE-SOFT FILE ARGV0 [ARG…]
 *
 * Installs the filter in this process, hands its listener to inpod over CONTROL-FD (SCM_RIGHTS), waits for
 * one byte back, and becomes FILE. Ends with 127 or 126 as a shell does when it cannot be run,
 * with 125 when the tap cannot be set up.
 */
#define _GNU_SOURCE
#include "filter.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT_TAP = 125, CANNOT_EXECUTE = 126, NOT_FOUND = 127 };

static int send_listener(int control, int listener) {
  char space[CMSG_SPACE(sizeof(int))] = {0};
  char byte = 'L';
  struct iovec io = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &io, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(head), &listener, sizeof listener);
  return sendmsg(control, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* Without no_new_privs only with CAP_SYS_ADMIN; with it, setuid programs of the tree lose their rights. */
static int install(const struct sock_fprog *program) {
  long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
  int fd = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
  if (fd < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
    fd = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
  return fd < 0 ? -errno : fd;
}

/* `why` is read by inpod from the control socket: 'E', then the errno as text. */
static int refuse(int control, int error) {
  char text[32];
  int n = snprintf(text, sizeof text, "E%d", error);
  if (write(control, text, (size_t)n) < 0) perror("inpod-launch");
  return CANNOT_TAP;
}

int main(int argc, char **argv) {
  if (argc < 6) {
    fputs("usage: inpod-launch CONTROL-FD GROUPS NOFILE-SOFT FILE ARGV0 [ARG…] (started by inpod)\n", stderr);
    return CANNOT_TAP;
  }
  int control = atoi(argv[1]);
  static struct filter filter;
  filter_build(&filter, (unsigned)strtoul(argv[2], NULL, 10));
  struct sock_fprog program = {.len = filter.length, .filter = filter.code};

  /* inpod raised its own limit; the command gets the one it would have had. */
  rlim_t soft = strtoul(argv[3], NULL, 10);
  struct rlimit files;
  if (soft > 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = soft < files.rlim_max ? soft : files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }

  /*
   * The filter may trap what the handing over needs, so a child that shares our descriptors, but not the
   * filter (it exists before), sends the listener as soon as the pipe tells its number.
   */
  int ready[2];
  if (pipe(ready) != 0) return refuse(control, errno);
  long child = syscall(__NR_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
  if (child < 0) return refuse(control, errno);
  if (child == 0) {
    int listener;
    if (read(ready[0], &listener, sizeof listener) != sizeof listener) _exit(1);
    if (listener < 0) _exit(refuse(control, -listener));
    _exit(send_listener(control, listener) == 0 ? 0 : 1);
  }
  int listener = install(&program);
  if (write(ready[1], &listener, sizeof listener) != sizeof listener) return CANNOT_TAP;
  int status;
  while (waitpid((pid_t)child, &status, 0) < 0 && errno == EINTR) continue;
  if (listener < 0 || status != 0) return CANNOT_TAP;

  char go;
  ssize_t got;
  while ((got = read(control, &go, 1)) < 0 && errno == EINTR) continue;
  if (got != 1) return CANNOT_TAP; /* inpod died meanwhile: do not run untapped */
  close(listener);
  close(control);
  close(ready[0]);
  close(ready[1]);
  execvp(argv[4], argv + 5);
  int error = errno;
  fprintf(stderr, "inpod: %s: %s\n", argv[4], strerror(error));
  return error == ENOENT ? NOT_FOUND : CANNOT_EXECUTE;
}
