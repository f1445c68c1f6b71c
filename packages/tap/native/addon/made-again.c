/*
 * Whether a call is one that a signal interrupted, made again by the kernel, or the program's next one with the same
 * arguments: numbers are reused, and so are buffers.
 */
#include "paths.h"
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_same(const char *path, const char *other) { return !path || !other || strcmp(path, other) == 0; }

/* A connect of a socket that does not block any more is another one: it does not wait. */
static bool is_same_mode(const struct op *op, int socket) {
  if (op->nr != __NR_connect || op->claimed || op->is_fast_open) return true;
  return op->nonblocking == socket_is_nonblocking(socket);
}

/* A number may have another socket by now: the program gave up after EINTR, and closed the first one. */
static bool is_same_socket(const struct op *op) {
  if (!op->cookie) return true;
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  int copy = process_get_fd(op->tgid, (int)op->args[0]);
  if (copy < 0) return false;
  getsockopt(copy, SOL_SOCKET, SO_COOKIE, &cookie, &length);
  bool is_same = cookie == op->cookie && is_same_mode(op, copy);
  close(copy);
  return is_same;
}

/* Whether the program sends again what was sent already. Another datagram may well lie in the same buffer. */
static bool sends_again(const struct op *op, const struct seccomp_notif *notif) {
  if (op->nr != __NR_sendto || !op->finished || !op->payload) return true;
  uint8_t *again = malloc(op->payload_length + 1);
  bool is_same = again && memory_read((pid_t)notif->pid, notif->data.args[1], again, op->payload_length) ==
                              (ssize_t)op->payload_length &&
                 memcmp(again, op->payload, op->payload_length) == 0;
  free(again);
  return is_same;
}

/* As a path's: one buffer, another unix socket's name in it. An answered one has its peer's name there. */
static bool connects_again(const struct op *op, const struct seccomp_notif *notif) {
  if (op->nr != __NR_connect || op->domain != AF_UNIX || op->claimed || op->finished) return true;
  struct sockaddr_storage again;
  ssize_t length = (ssize_t)op->address_length;
  return memory_read((pid_t)notif->pid, notif->data.args[1], &again, op->address_length) == length &&
         memcmp(&again, &op->address, op->address_length) == 0;
}

bool op_is_made_again(const struct op *op, const struct seccomp_notif *notif, int listener, const char *path,
                      const char *second) {
  if (op->tid != (pid_t)notif->pid || op->nr != notif->data.nr || op->listener != listener) return false;
  if (memcmp(op->args, notif->data.args, call_arguments(op->nr) * sizeof *op->args) != 0) return false;
  /* One buffer, another path in it: the interrupted call was given up (EINTR), this is a new one. */
  if (!is_same(path, op->path) || !is_same(second, op->second_path)) return false;
  if (op->is_given && !given_is_there(op)) return false;
  return is_same_socket(op) && sends_again(op, notif) && connects_again(op, notif);
}
