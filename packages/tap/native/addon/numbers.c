/*
 * UDP sockets at numbers by which the filter knows them: made by us and given to the process there, and so are their copies.
 * A program may put one elsewhere all the same (dup2, SCM_RIGHTS, more of them than numbers): what it does by messages is not
 * seen then.
 */
#include "programs.h"
#include "udp-numbers.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The number is looked for and taken under one lock: a number that is given twice would replace the first one's socket. */
static pthread_mutex_t numbers_mutex = PTHREAD_MUTEX_INITIALIZER;

static bool is_free(pid_t tgid, int number) {
  char path[64];
  struct stat unused;
  snprintf(path, sizeof path, "/proc/%d/fd/%d", tgid, number);
  return lstat(path, &unused) != 0 && errno == ENOENT;
}

/* A socket of ours would be in our network: a program may have gone to another one (unshare, ip netns). */
static bool is_in_our_network(pid_t tid) {
  char path[64];
  struct stat own, its;
  snprintf(path, sizeof path, "/proc/%d/ns/net", tid);
  return stat("/proc/self/ns/net", &own) == 0 && stat(path, &its) == 0 && own.st_ino == its.st_ino;
}

/* Takes `fd`, and answers the call with a number of the process from `first` on; where there is none the kernel does. */
static void give(struct op *op, int fd, bool cloexec, int first) {
  int result = -EMFILE;
  pthread_mutex_lock(&numbers_mutex);
  for (int number = first; number <= LAST_UDP && result < 0; number++) {
    if (!is_free(op->tgid, number)) continue;
    op->inject_at = number;
    result = op_inject(op, fd, cloexec);
    break;
  }
  pthread_mutex_unlock(&numbers_mutex);
  if (result >= 0) return;
  close(fd);
  if (result == -ENOENT) {
    op_drop(op);
    return;
  }
  emit_limited_program(op->tid, "messages"); /* no number is free, or RLIMIT_NOFILE is below them */
  op_continue(op);
}

static void make_socket(void *argument) {
  struct op *op = argument;
  int type = (int)op->args[1], fd = -1;
  if (is_in_our_network(op->tid)) fd = socket((int)op->args[0], type | SOCK_CLOEXEC, (int)op->args[2]);
  if (fd >= 0) give(op, fd, (type & SOCK_CLOEXEC) != 0, FIRST_UDP);
  else op_continue(op);
}

bool handle_socket(struct op *op) {
  op->kind = OP_NATIVE;
  receive_run(make_socket, op);
  return true;
}

static bool is_udp(struct op *op) { return socket_describe(op, (int)op->args[0]) == 0 && socket_is_udp(op); }

static void copy_socket(void *argument) {
  struct op *op = argument;
  bool is_dup = op->nr == __NR_dup;
  int least = is_dup ? 0 : (int)op->args[2], fd = fcntl(op->socket, F_DUPFD_CLOEXEC, 0);
  bool cloexec = !is_dup && (int)op->args[1] == F_DUPFD_CLOEXEC;
  if (fd >= 0) give(op, fd, cloexec, least > FIRST_UDP ? least : FIRST_UDP);
  else op_continue(op);
}

/* dup, and fcntl's F_DUPFD: not the lowest number that is free, which POSIX promises and nobody counts on here. */
bool handle_udp_copy(struct op *op) {
  bool is_fcntl = op->nr == __NR_fcntl;
  if (is_fcntl && ((int)op->args[2] < 0 || (int)op->args[2] > LAST_UDP)) return false;
  if (!is_udp(op)) return false;
  op->kind = OP_NATIVE;
  receive_run(copy_socket, op);
  return true;
}

bool handle_udp_moved(struct op *op) {
  if (op->args[0] != op->args[1] && is_udp(op)) emit_limited_program(op->tid, "messages");
  return false;
}
