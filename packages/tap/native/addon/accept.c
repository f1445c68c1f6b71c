/* accept: connections that are ours, delivered with the true client's address. */
#include "tap.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Accepted for a call that a signal took away: the next accept of that listener gets it. */
struct orphan {
  uint64_t cookie;
  int fd;
  struct orphan *next;
};
static struct orphan *orphans;
static pthread_mutex_t orphans_mutex = PTHREAD_MUTEX_INITIALIZER;

static void orphan_add(uint64_t cookie, int fd) {
  struct orphan *orphan = malloc(sizeof *orphan);
  if (!orphan) {
    close(fd);
    return;
  }
  pthread_mutex_lock(&orphans_mutex);
  *orphan = (struct orphan){cookie, fd, NULL};
  struct orphan **end = &orphans;
  while (*end) end = &(*end)->next;
  *end = orphan;
  pthread_mutex_unlock(&orphans_mutex);
}

static int orphan_take(uint64_t cookie) {
  int fd = -1;
  pthread_mutex_lock(&orphans_mutex);
  for (struct orphan **link = &orphans; *link; link = &(*link)->next)
    if ((*link)->cookie == cookie) {
      struct orphan *found = *link;
      *link = found->next;
      fd = found->fd;
      free(found);
      break;
    }
  pthread_mutex_unlock(&orphans_mutex);
  return fd;
}

static int accept_flags(const struct op *op) { return op->nr == __NR_accept4 ? (int)op->args[3] : 0; }

static bool is_readable(int fd) {
  struct pollfd ready = {fd, POLLIN, 0};
  return poll(&ready, 1, 0) > 0;
}

/* Pool thread: accepts and hands over with the true peer's address. */
void accept_deliver(void *argument) {
  struct op *op = argument;
  int fd = orphan_take(op->cookie);
  if (fd < 0) {
    /* Of several waiters another may have been faster; a blocking listener must not hold this thread. */
    if (!is_readable(op->socket)) {
      if (op->nonblocking) op_reply(op, 0, EAGAIN);
      else wait_for(op, EPOLLIN);
      return;
    }
    fd = accept4(op->socket, NULL, NULL, (accept_flags(op) & SOCK_NONBLOCK) | SOCK_CLOEXEC);
    if (fd < 0) {
      op_reply(op, 0, errno);
      return;
    }
  }
  struct sockaddr_storage peer, shown;
  socklen_t length = sizeof peer;
  struct name name;
  if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0) memset(&peer, 0, sizeof peer);
  if (names_get(NAME_INCOMING, address_port(&peer), &name)) peer = name.peer;
  length = peer.ss_family ? address_for_domain(op->domain, &peer, &shown) : 0;
  int failed = length ? memory_write_address(op->tid, op->args[1], op->args[2], &shown, length) : 0;
  uint64_t cookie = op->cookie;
  if (failed) {
    close(fd);
    op_reply(op, 0, -failed);
    return;
  }
  int result = op_inject(op, fd, (accept_flags(op) & SOCK_CLOEXEC) != 0);
  if (result == -ENOENT) {
    orphan_add(cookie, fd);
    op_drop(op);
  } else if (result < 0) {
    close(fd);
    op_reply(op, 0, -result);
  }
}

bool handle_accept(struct op *op) {
  struct cookie_entry entry;
  if (socket_describe(op, (int)op->args[0]) != 0 || !socket_is_tcp(op)) return false;
  if (!cookie_get(op->cookie, &entry) || !entry.bound) return false;
  op->kind = OP_NATIVE;
  if (is_readable(op->socket) || orphans) {
    pool_run(accept_deliver, op);
  } else if (op->nonblocking) {
    op_reply(op, 0, EAGAIN);
  } else {
    int64_t timeout = wait_timeout_ms(op->socket, SO_RCVTIMEO);
    if (timeout) op_set_deadline(op, timeout, EAGAIN);
    wait_for(op, EPOLLIN);
  }
  return true;
}
