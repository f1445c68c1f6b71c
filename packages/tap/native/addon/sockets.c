/* What each trapped socket call means as far as tables can tell; the rest goes to TypeScript. */
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
  CONNECT_DEADLINE_MS = 135000, /* above tcp_syn_retries' 127 s: the kernel's own verdict comes first */
  LOCAL_DEADLINE_MS = 10000,
  MAX_DATAGRAM = 65536,
};

static bool native_ports[65536]; /* bytes: written by JS, read by receivers */
static uint16_t relay_port;
static bool hides_nscd;
static int waiter_epoll = -1;
static char pod_nodename[65];

void sockets_set_native_port(uint16_t port, bool native) {
  __atomic_store_n(&native_ports[port], native, __ATOMIC_RELAXED);
}
void sockets_set_relay(uint16_t port) { relay_port = port; }
void sockets_hide_nscd(bool hide) { hides_nscd = hide; }

static int option(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) ? -errno : value;
}

int socket_describe(struct op *op, int fd) {
  int copy = process_get_fd(op->tgid, fd);
  if (copy < 0) return copy;
  op->domain = option(copy, SOL_SOCKET, SO_DOMAIN);
  socklen_t length = sizeof op->cookie;
  if (op->domain < 0 || getsockopt(copy, SOL_SOCKET, SO_COOKIE, &op->cookie, &length) != 0) {
    close(copy);
    return -ENOTSOCK;
  }
  op->type = option(copy, SOL_SOCKET, SO_TYPE);
  op->protocol = option(copy, SOL_SOCKET, SO_PROTOCOL);
  op->nonblocking = (fcntl(copy, F_GETFL) & O_NONBLOCK) != 0;
  op->v6only = op->domain == AF_INET6 && option(copy, IPPROTO_IPV6, IPV6_V6ONLY) > 0;
  op->socket = copy;
  return 0;
}

static bool is_internet(const struct op *op) { return op->domain == AF_INET || op->domain == AF_INET6; }
/* Go's listeners are Multipath TCP's (RFC 8684) since 1.24; towards our plain TCP they behave as TCP's. */
static bool is_tcp(const struct op *op) {
  return is_internet(op) && op->type == SOCK_STREAM &&
         (op->protocol == IPPROTO_TCP || op->protocol == IPPROTO_MPTCP);
}
static bool is_udp(const struct op *op) { return is_internet(op) && op->type == SOCK_DGRAM && op->protocol == IPPROTO_UDP; }

static bool read_address(struct op *op, int address_argument, int length_argument) {
  uint64_t length = op->args[length_argument];
  memset(&op->address, 0, sizeof op->address);
  if (length < sizeof(sa_family_t) || length > sizeof op->address) return false;
  if (memory_read(op->tid, op->args[address_argument], &op->address, length) != (ssize_t)length) return false;
  op->address_length = (socklen_t)length;
  if (op->address.ss_family == AF_INET) return length >= sizeof(struct sockaddr_in);
  if (op->address.ss_family == AF_INET6) return length >= sizeof(struct sockaddr_in6);
  return true;
}

static bool is_nscd(const struct op *op) {
  const struct sockaddr_un *name = (const struct sockaddr_un *)&op->address;
  return strncmp(name->sun_path, "/var/run/nscd/socket", sizeof name->sun_path) == 0 ||
         strncmp(name->sun_path, "/run/nscd/socket", sizeof name->sun_path) == 0;
}

static void to_javascript(struct op *op, enum op_kind kind, int64_t deadline_ms, int default_error) {
  op->kind = kind;
  op_set_deadline(op, deadline_ms, default_error);
  emit_op(op);
}

bool handle_connect(struct op *op) {
  if (!read_address(op, 1, 2)) return false;
  if (op->address.ss_family == AF_UNIX) {
    if (!hides_nscd || !is_nscd(op)) return false;
    op_reply(op, 0, ENOENT); /* its answers would be the developer's names, not the pod's */
    return true;
  }
  if (op->address.ss_family != AF_INET && op->address.ss_family != AF_INET6) return false;
  if (address_is_loopback(&op->address) &&
      __atomic_load_n(&native_ports[address_port(&op->address)], __ATOMIC_RELAXED))
    return false;
  if (socket_describe(op, (int)op->args[0]) != 0) return false;
  if (!is_tcp(op) && !is_udp(op)) return false;
  struct cookie_entry entry;
  if (is_tcp(op) && cookie_get(op->cookie, &entry) && entry.pending) {
    /* A second connect() asks for the verdict (hiredis does): EALREADY, EISCONN or the agent's errno. */
    int result = entry.error ? -entry.error : connect_pending(op);
    if (entry.error) cookie_forget(op->cookie);
    op_reply(op, 0, -result);
    return true;
  }
  /* A simultaneous open is for plain TCP only: others wait for the verdict. */
  if (op->protocol == IPPROTO_MPTCP) op->nonblocking = false;
  op->keep_result = true;
  to_javascript(op, OP_CONNECT, CONNECT_DEADLINE_MS, ETIMEDOUT);
  return true;
}

bool handle_bind(struct op *op) {
  if (!read_address(op, 1, 2)) return false;
  if (op->address.ss_family != AF_INET && op->address.ss_family != AF_INET6) return false;
  if (address_port(&op->address) == 0) return false;
  if (socket_describe(op, (int)op->args[0]) != 0 || !is_tcp(op)) return false;
  op->keep_result = true;
  to_javascript(op, OP_BIND, LOCAL_DEADLINE_MS, EADDRINUSE);
  return true;
}

bool handle_listen(struct op *op) {
  struct cookie_entry entry;
  if (socket_describe(op, (int)op->args[0]) != 0 || !is_tcp(op)) return false;
  if (!cookie_get(op->cookie, &entry) || !entry.bound) return false;
  op->keep_result = true;
  to_javascript(op, OP_LISTEN, LOCAL_DEADLINE_MS, EADDRINUSE);
  return true;
}

/* ---- getsockname, getpeername ---- */

struct told_address {
  struct op *op;
  struct sockaddr_storage address;
  socklen_t length;
};

static void tell_address(void *argument) {
  struct told_address *told = argument;
  struct op *op = told->op;
  int failed = memory_write_address(op->tid, op->args[1], op->args[2], &told->address, told->length);
  op_reply(op, 0, -failed);
  free(told);
}

static bool tell(struct op *op, const struct sockaddr_storage *address) {
  struct told_address *told = malloc(sizeof *told);
  if (!told || address->ss_family == 0) {
    free(told);
    return false;
  }
  told->op = op;
  told->length = address_for_domain(op->domain, address, &told->address);
  pool_run(tell_address, told);
  return true;
}

/* The names of a connected socket: by the port on which it meets one of ours. */
static bool names_of(const struct op *op, struct name *name) {
  struct sockaddr_storage local, peer;
  socklen_t length = sizeof local;
  if (getsockname(op->socket, (struct sockaddr *)&local, &length) != 0) return false;
  length = sizeof peer;
  if (getpeername(op->socket, (struct sockaddr *)&peer, &length) != 0) return false;
  if (!address_is_loopback(&peer)) return false;
  uint16_t port = address_port(&peer);
  if (op->type == SOCK_DGRAM) return names_get(NAME_UDP, port, name);
  if (port && (port == relay_port || port == connect_full_port()))
    return names_get(NAME_OUTGOING, address_port(&local), name);
  return names_get(NAME_INCOMING, port, name);
}

bool handle_names(struct op *op) {
  if (socket_describe(op, (int)op->args[0]) != 0 || (!is_tcp(op) && !is_udp(op))) return false;
  struct name name;
  bool wants_local = op->nr == __NR_getsockname;
  if (names_of(op, &name)) return tell(op, wants_local ? &name.local : &name.peer);
  struct cookie_entry entry;
  if (wants_local && cookie_get(op->cookie, &entry) && entry.bound) return tell(op, &entry.requested);
  return false;
}

/* ---- accept ---- */

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

static void wait_readable(struct op *op) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
  int fd = op->socket;
  op->waiting = op->watched = true;
  event.data.u64 = op_unclaim(op);
  if (epoll_ctl(waiter_epoll, EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST)
    epoll_ctl(waiter_epoll, EPOLL_CTL_MOD, fd, &event);
}

/* Pool thread: accepts and hands over with the true peer's address. */
static void deliver_accepted(void *argument) {
  struct op *op = argument;
  int fd = orphan_take(op->cookie);
  if (fd < 0) {
    /* Of several waiters another may have been faster; a blocking listener must not hold this thread. */
    if (!is_readable(op->socket)) {
      if (op->nonblocking) op_reply(op, 0, EAGAIN);
      else wait_readable(op);
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

/* SO_RCVTIMEO of the process's socket in milliseconds; 0: waits for ever. */
static int64_t receive_timeout_ms(int fd) {
  struct timeval timeout = {0};
  socklen_t length = sizeof timeout;
  getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, &length);
  return (int64_t)timeout.tv_sec * 1000 + timeout.tv_usec / 1000;
}

bool handle_accept(struct op *op) {
  struct cookie_entry entry;
  if (socket_describe(op, (int)op->args[0]) != 0 || !is_tcp(op)) return false;
  if (!cookie_get(op->cookie, &entry) || !entry.bound) return false;
  op->kind = OP_NATIVE;
  if (is_readable(op->socket) || orphans) {
    pool_run(deliver_accepted, op);
  } else if (op->nonblocking) {
    op_reply(op, 0, EAGAIN);
  } else {
    int64_t timeout = receive_timeout_ms(op->socket);
    if (timeout) op_set_deadline(op, timeout, EAGAIN);
    wait_readable(op);
  }
  return true;
}

/* ---- datagrams ---- */

static int datagram_flags(const struct op *op) { return (int)op->args[3]; }

bool handle_sendto(struct op *op) {
  if (!read_address(op, 4, 5)) return false;
  if (op->address.ss_family != AF_INET && op->address.ss_family != AF_INET6) return false;
  if (address_is_loopback(&op->address)) return false;
  if (socket_describe(op, (int)op->args[0]) != 0 || !is_udp(op)) return false;
  if (op->args[2] > MAX_DATAGRAM) return false; /* EMSGSIZE, says the kernel */
  op->payload_length = (size_t)op->args[2];
  op->payload = malloc(op->payload_length + 1);
  if (!op->payload) return false;
  if (memory_read(op->tid, op->args[1], op->payload, op->payload_length) != (ssize_t)op->payload_length)
    return false;
  to_javascript(op, OP_SENDTO, LOCAL_DEADLINE_MS, ENOBUFS);
  return true;
}

static void deliver_datagram(void *argument) {
  struct op *op = argument;
  size_t room = op->args[2] < MAX_DATAGRAM ? (size_t)op->args[2] : MAX_DATAGRAM;
  uint8_t *buffer = malloc(room + 1);
  struct sockaddr_storage from, shown;
  socklen_t length = sizeof from;
  ssize_t got = buffer ? recvfrom(op->socket, buffer, room, datagram_flags(op) | MSG_DONTWAIT,
                                  (struct sockaddr *)&from, &length)
                       : -1;
  if (got < 0) {
    int error = buffer ? errno : ENOMEM;
    free(buffer);
    if (error == EAGAIN && !op->nonblocking && !(datagram_flags(op) & MSG_DONTWAIT)) wait_readable(op);
    else op_reply(op, 0, error);
    return;
  }
  struct name name;
  if (address_is_loopback(&from) && names_get(NAME_UDP, address_port(&from), &name)) from = name.peer;
  length = address_for_domain(op->domain, &from, &shown);
  size_t stored = (size_t)got < room ? (size_t)got : room; /* MSG_TRUNC tells the true length */
  int failed = memory_write(op->tid, op->args[1], buffer, stored);
  if (!failed) failed = memory_write_address(op->tid, op->args[4], op->args[5], &shown, length);
  free(buffer);
  op_reply(op, failed ? 0 : got, -failed);
}

bool handle_recvfrom(struct op *op) {
  struct cookie_entry entry;
  if (socket_describe(op, (int)op->args[0]) != 0 || !is_udp(op)) return false;
  if (!cookie_get(op->cookie, &entry) || !entry.udp) return false;
  op->kind = OP_NATIVE;
  int64_t timeout = receive_timeout_ms(op->socket);
  if (timeout && !op->nonblocking) op_set_deadline(op, timeout, EAGAIN);
  pool_run(deliver_datagram, op);
  return true;
}

/* ---- SO_ERROR of a failed non-blocking connect ---- */

static void tell_error(void *argument) {
  struct op *op = argument;
  struct cookie_entry entry;
  int error = cookie_get(op->cookie, &entry) ? entry.error : 0;
  cookie_forget(op->cookie);
  option(op->socket, SOL_SOCKET, SO_ERROR); /* reading takes the kernel's own (ECONNRESET) away */
  int32_t room = 0, length = sizeof error;
  int failed = memory_read(op->tid, op->args[4], &room, sizeof room) == sizeof room ? 0 : -EFAULT;
  if (!failed && room < length) length = room < 0 ? 0 : room;
  if (!failed) failed = memory_write(op->tid, op->args[3], &error, (size_t)length);
  if (!failed) failed = memory_write(op->tid, op->args[4], &length, sizeof length);
  op_reply(op, 0, -failed);
}

bool handle_socket_error(struct op *op) {
  struct cookie_entry entry;
  if (socket_describe(op, (int)op->args[0]) != 0 || !is_tcp(op)) return false;
  if (!cookie_get(op->cookie, &entry) || !entry.error) return false;
  pool_run(tell_error, op);
  return true;
}

/* ---- uname: the pod's host name ---- */

void uname_set(const char *nodename) { snprintf(pod_nodename, sizeof pod_nodename, "%s", nodename); }

static void tell_uname(void *argument) {
  struct op *op = argument;
  struct utsname names;
  uname(&names);
  memset(names.nodename, 0, sizeof names.nodename);
  snprintf(names.nodename, sizeof names.nodename, "%.64s", pod_nodename);
  int failed = memory_write(op->tid, op->args[0], &names, sizeof names);
  op_reply(op, 0, -failed);
}

void handle_uname(struct op *op) { pool_run(tell_uname, op); }

/* ---- waiting ---- */

static void *waiter(void *unused) {
  (void)unused;
  for (;;) {
    struct epoll_event events[64];
    int count = epoll_wait(waiter_epoll, events, 64, -1);
    for (int i = 0; i < count; i++) {
      struct op *op = op_claim(events[i].data.u64);
      if (!op) continue;
      op->waiting = false;
      bool accepts = op->nr == __NR_accept4;
#if defined(__NR_accept)
      accepts = accepts || op->nr == __NR_accept;
#endif
      pool_run(accepts ? deliver_accepted : deliver_datagram, op);
    }
  }
  return NULL;
}

void sockets_unwatch(int fd) { epoll_ctl(waiter_epoll, EPOLL_CTL_DEL, fd, NULL); }

void sockets_start_waiter(void) {
  waiter_epoll = epoll_create1(EPOLL_CLOEXEC);
  thread_start(waiter, NULL);
}
