/* getsockname and getpeername: where the program believes its sockets to be. */
#include "tap.h"
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* May block. */
static void tell_address(void *argument) {
  struct op *op = argument;
  op_reply(op, 0, -op_tell_address(op, op->args[1], op->args[2], &op->address, op->address_length));
}

static bool tell(struct op *op, const struct sockaddr_storage *address) {
  if (address->ss_family == 0) return false;
  op->address_length = address_for_domain(op->domain, address, &op->address);
  receive_run(tell_address, op);
  return true;
}

static bool is_outgoing(uint16_t peer_port) {
  return peer_port && (peer_port == sockets_relay() || peer_port == connect_full_port());
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
  if (op->type == SOCK_DGRAM) return names_get(NAME_UDP, port, 0, name);
  if (is_outgoing(port)) return names_get(NAME_OUTGOING, address_port(&local), port, name);
  return names_get(NAME_INCOMING, port, address_port(&local), name);
}

/* Whom the program believes to speak with, of a unix socket that is connected to us. */
static bool tell_unix(struct op *op) {
  struct cookie_entry entry;
  if (op->nr != __NR_getpeername || !cookie_get(op->cookie, &entry) || !entry.is_unix) return false;
  op->address = entry.requested;
  op->address_length = entry.requested_length;
  receive_run(tell_address, op);
  return true;
}

/* Whether the kernel's own answer about it may not be the true one, as it is of nearly all connections. */
static bool may_be_ours(int fd) {
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0) return errno != ENOTSOCK;
  if (peer.ss_family != AF_INET && peer.ss_family != AF_INET6) return peer.ss_family == AF_UNIX;
  uint16_t port = address_port(&peer);
  return address_is_loopback(&peer) && (is_outgoing(port) || names_have_peer(port));
}

/* It seems to be where the program has bound it. */
static bool is_bound(int fd) {
  struct cookie_entry entry;
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 && cookie_get(cookie, &entry) && entry.bound;
}

bool names_begin(int listener, const struct seccomp_notif *notif, pid_t tgid, int *socket) {
  bool wants_local = notif->data.nr == __NR_getsockname, have_peers = names_have_peers();
  int fd = wants_local || have_peers ? process_get_fd(tgid, (int)notif->data.args[0]) : -1;
  *socket = fd;
  if (fd >= 0 && ((have_peers && may_be_ours(fd)) || (wants_local && is_bound(fd)))) return false;
  notification_let_go(listener, notif->id);
  if (fd >= 0) close(fd);
  return true;
}

bool handle_names(struct op *op) {
  if (socket_describe(op, (int)op->args[0]) != 0) return false;
  if (op->domain == AF_UNIX) return tell_unix(op);
  if (!socket_is_tcp(op) && !socket_is_udp(op)) return false;
  struct name name;
  bool wants_local = op->nr == __NR_getsockname;
  if (names_of(op, &name)) return tell(op, wants_local ? &name.local : &name.peer);
  struct cookie_entry entry;
  if (wants_local && cookie_get(op->cookie, &entry) && entry.bound) return tell(op, &entry.requested);
  return false;
}
