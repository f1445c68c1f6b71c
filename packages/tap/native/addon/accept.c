/* accept: connections that are ours, delivered with the true client's address. */
#include "compat.h"
#include <errno.h>
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
  __atomic_store_n(end, orphan, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&orphans_mutex);
}

static int orphan_take(uint64_t cookie) {
  int fd = -1;
  if (!__atomic_load_n(&orphans, __ATOMIC_ACQUIRE)) return fd;
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

/* A connection of the listener, or -errno; `peer` is who has made it as the kernel sees it. -EALREADY: it may be let go. */
static int next_connection(const struct op *op, struct sockaddr_storage *peer, uint64_t *number) {
  socklen_t length = sizeof *peer;
  int fd = orphan_take(op->cookie);
  if (fd >= 0) {
    if (getpeername(fd, (struct sockaddr *)peer, &length) != 0) peer->ss_family = AF_UNSPEC;
    return fd;
  }
  /* Of several waiters another may have been faster; a blocking listener must not hold this thread. */
  if (!socket_is_readable(op->socket)) return -EAGAIN;
  if ((*number = accepts_begin(op->tid, op->socket, op->port, !op->compat))) return -EALREADY;
  int flags = (accept_flags(op) & SOCK_NONBLOCK) | SOCK_CLOEXEC;
  fd = socket_is_readable(op->socket) ? accept4(op->socket, (struct sockaddr *)peer, &length, flags) : -EAGAIN;
  if (fd == -1) fd = -errno;
  accepts_end(op->tid);
  return fd;
}

/* Writes the true peer's address where the call wants it. 0 or -errno. */
static int tell_peer(struct op *op, const struct sockaddr_storage *seen) {
  struct name name;
  struct sockaddr_storage shown;
  if (!op->args[1]) return 0;
  bool is_named = names_take(address_port(seen), op->port, &name);
  if (seen->ss_family == AF_UNSPEC && !is_named) return 0; /* it is gone already */
  socklen_t length = address_for_domain(op->domain, is_named ? &name.peer : seen, &shown);
  return op_tell_address(op, op->args[1], op->args[2], &shown, length);
}

void accept_deliver(void *argument) {
  struct op *op = argument;
  struct sockaddr_storage peer;
  uint64_t number = 0;
  int fd = next_connection(op, &peer, &number);
  if (number) {
    statistics_count(&statistics.continued);
    if (op_continue(op) == -ENOENT) accepts_take_back(number);
    return;
  }
  if (fd == -EAGAIN && !op->nonblocking) {
    int64_t timeout = op->deadline_ns ? 0 : wait_timeout_ms(op->socket, SO_RCVTIMEO);
    if (timeout) op_set_deadline(op, timeout, EAGAIN);
    wait_for(op, EPOLLIN);
    return;
  }
  int failed = fd < 0 ? fd : tell_peer(op, &peer);
  if (failed) {
    if (fd >= 0) close(fd);
    op_reply(op, 0, -failed);
    return;
  }
  uint64_t cookie = op->cookie;
  int result = op_inject(op, fd, (accept_flags(op) & SOCK_CLOEXEC) != 0);
  if (result == -ENOENT) {
    orphan_add(cookie, fd);
    op_drop(op);
  } else if (result < 0) {
    close(fd);
    op_reply(op, 0, -result);
  }
}

/* A listener of the program's, really at `*port`. */
static bool is_tracked(int fd, uint16_t *port) {
  struct cookie_entry entry;
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) != 0 || !cookie_get(cookie, &entry)) return false;
  *port = entry.port;
  return entry.bound && !entry.udp;
}

/* The kernel refuses it before it looks at anything else. */
static bool has_unknown_flags(const struct seccomp_notif *notif) {
  return notif->data.nr == __NR_accept4 && ((int)notif->data.args[3] & ~(SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/* Nothing is left of an earlier call, by a signal, that this one is to have. */
static bool is_new(pid_t tid) { return !op_is_held_of(tid) && !__atomic_load_n(&orphans, __ATOMIC_ACQUIRE); }

/*
 * By the tables alone, and with as few calls as can be: a server's new connections wait for it. So does whoever accepts until
 * there is none, of whose calls every other one finds none.
 */
bool accept_begin(int listener, const struct seccomp_notif *notif, pid_t tgid, int *socket) {
  uint16_t port;
  pid_t tid = (pid_t)notif->pid;
  int fd = process_get_fd(tgid, (int)notif->data.args[0]);
  bool is_ours = fd >= 0 && !has_unknown_flags(notif) && is_tracked(fd, &port), is_at_once = is_ours && is_new(tid);
  /* 32-bit: what such a thread is at is told by other numbers. */
  uint64_t number = is_at_once && compat_is_native(notif) ? accepts_let_go(tid, fd, port) : 0;
  bool finds_none = is_at_once && !number && !socket_is_readable(fd) && socket_is_nonblocking(fd);
  *socket = fd;
  if (is_ours && !number && !finds_none) return false;
  if (finds_none) {
    notification_reply(listener, notif->id, 0, EAGAIN);
  } else if (notification_let_go(listener, notif->id) == -ENOENT && number) {
    accepts_take_back(number);
  }
  if (fd >= 0) close(fd);
  return true;
}

bool handle_accept(struct op *op) {
  struct cookie_entry entry;
  if (socket_identify(op, (int)op->args[0]) != 0) return false;
  if (!cookie_get(op->cookie, &entry) || !entry.bound || entry.udp) return false;
  op->domain = entry.domain;
  op->port = entry.port;
  op->nonblocking = socket_is_nonblocking(op->socket);
  op->kind = OP_NATIVE;
  receive_run(accept_deliver, op);
  return true;
}
