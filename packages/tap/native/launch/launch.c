/*
 * inpod-launch CONTROL-FD ENVIRONMENT-FD GROUPS NOFILE-SOFT FILE ARGV0 [ARG…]
 *
 * ENVIRONMENT-FD has the command's variables, NAME=VALUE with a NUL behind each, as bytes: inpod's runtime can start
 * processes with UTF-8 only, and a pod's variables are what they are.
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
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The kernel takes 6 MiB of arguments and environment at most (execve(2)). */
enum { ENVIRONMENT_MAX = 8 << 20 };
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
static int install(const struct sock_fprog *program, unsigned groups) {
  unsigned long flags = filter_flags(groups);
  int fd = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
  if (fd < 0 && errno == EINVAL) {
    flags = filter_flags(groups | FILTER_INTERRUPTIBLE);
    fd = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
  }
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

static void *map_environment(int fd, size_t length) {
  if (length == 0) return NULL;
  void *text = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  return text == MAP_FAILED ? NULL : text;
}

/* The environment that is in the file, for execve; NULL, and errno, if it is none. Never freed. */
static char **read_environment(int fd) {
  struct stat file;
  if (fstat(fd, &file) != 0) return NULL;
  size_t length = (size_t)file.st_size, count = 0;
  char *text = length > ENVIRONMENT_MAX ? NULL : map_environment(fd, length);
  if (length > ENVIRONMENT_MAX) errno = E2BIG;
  if (length > 0 && !text) return NULL;
  if (length > 0 && text[length - 1] != 0) {
    errno = EINVAL;
    return NULL;
  }
  for (size_t i = 0; i < length; i++) count += text[i] == 0;
  char **entries = calloc(count + 1, sizeof *entries), *at = text;
  for (size_t i = 0; entries && i < count; i++, at += strlen(at) + 1) entries[i] = at;
  return entries;
}

int main(int argc, char **argv) {
  if (argc < 7) {
    fputs("usage: inpod-launch CONTROL-FD ENVIRONMENT-FD GROUPS NOFILE-SOFT FILE ARGV0 [ARG…] (started by inpod)\n", stderr);
    return CANNOT_TAP;
  }
  int control = atoi(argv[1]), environment = atoi(argv[2]);
  argv += 2;
  char **variables = read_environment(environment);
  if (!variables) return refuse(control, errno);
  environ = variables; /* execvp's PATH is the command's, too */
  close(environment);
  static struct filter filter;
  unsigned groups = (unsigned)strtoul(argv[1], NULL, 10);
  filter_build(&filter, groups);
  struct sock_fprog program = {.len = filter.length, .filter = filter.code};

  /* inpod raised its own limit; the command gets the one it would have had. */
  rlim_t soft = strtoul(argv[2], NULL, 10);
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
  pid_t launcher = getpid();
  long child = syscall(__NR_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
  if (child < 0) return refuse(control, errno);
  if (child == 0) {
    int listener;
    /* Whoever kills the launcher now leaves nothing: its end of the pipe is open in us, too. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != launcher) _exit(1);
    if (read(ready[0], &listener, sizeof listener) != sizeof listener) _exit(1);
    if (listener < 0) _exit(refuse(control, -listener));
    _exit(send_listener(control, listener) == 0 ? 0 : 1);
  }
  int listener = install(&program, groups);
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
  /*
   * Yama (kernel.yama.ptrace_scope=1) lets only ancestors trace. inpod is one, but for its own child it uses another
   * process (addon/tracee.c). Elsewhere this is EINVAL.
   */
  prctl(PR_SET_PTRACER, getppid(), 0, 0, 0);
  execvp(argv[3], argv + 4);
  int error = errno;
  fprintf(stderr, "inpod: %s: %s\n", argv[3], strerror(error));
  return error == ENOENT ? NOT_FOUND : CANNOT_EXECUTE;
}
