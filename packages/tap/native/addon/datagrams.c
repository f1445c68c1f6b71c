/* UDP: what is sent to a name server, say, goes to the socket that stands for it, and comes back in its name. */
#include "tap.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_DATAGRAM = 65536 };

static int datagram_flags(const struct op *op) { return (int)op->args[3]; }

bool datagram_is_asked(struct op *op) {
  if (op->address.ss_family != AF_INET && op->address.ss_family != AF_INET6) return false;
  if (address_port(&op->address) == 0) return false; /* EINVAL, says the kernel, whatever else is wrong */
  if (socket_describe(op, (int)op->args[0]) != 0 || !socket_is_udp(op) || !socket_takes_family(op)) return false;
  if (!address_is_loopback(&op->address) || !here_is_known(&op->address)) return true;
  /* A port of the pod has clients on the pod's loopback, too. */
  struct cookie_entry entry;
  return cookie_get(op->cookie, &entry) && entry.bound;
}

bool handle_sendto(struct op *op) {
  if (fast_open_is_asked(op) && fast_open_begin(op)) return connect_begin(op);
  if (!socket_read_address(op, 4, 5)) return socket_refuses_unreadable(op);
  if (!datagram_is_asked(op)) return false;
  if (op->args[2] > MAX_DATAGRAM) return false; /* EMSGSIZE, says the kernel */
  op->payload_length = (size_t)op->args[2];
  op->payload = malloc(op->payload_length + 1);
  if (!op->payload) return false;
  op->is_unreadable =
      memory_read(op->tid, op->args[1], op->payload, op->payload_length) != (ssize_t)op->payload_length;
  /* On loopback the kernel says what else is wrong, and chooses the socket's port. */
  if (op->is_unreadable) return !address_is_loopback(&op->address) && socket_refuses_unreadable(op);
  op->keep_result = true; /* sent once, also for who was interrupted and calls again */
  op_ask(op, OP_SENDTO, OP_LOCAL_MS, ENOBUFS);
  return true;
}

socklen_t datagram_shown(const struct op *op, const struct sockaddr_storage *from, struct sockaddr_storage *shown) {
  struct name name;
  bool is_named = address_is_loopback(from) && names_get(NAME_UDP, address_port(from), 0, &name);
  return address_for_domain(op->domain, is_named ? &name.peer : from, shown);
}

void datagram_deliver(void *argument) {
  struct op *op = argument;
  if (op_drop_unawaited(op)) return; /* it stays in the socket's queue */
  op_settle_to_receive(op);
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
    if (error == EAGAIN && !op->nonblocking && !(datagram_flags(op) & MSG_DONTWAIT)) wait_for(op, EPOLLIN);
    else op_reply(op, 0, error);
    return;
  }
  length = datagram_shown(op, &from, &shown);
  size_t stored = (size_t)got < room ? (size_t)got : room; /* MSG_TRUNC tells the true length */
  op->keep_result = true;
  int failed = op_tell(op, op->args[1], buffer, stored);
  if (!failed) failed = op_tell_address(op, op->args[4], op->args[5], &shown, length);
  free(buffer);
  /* it has left the socket's queue: the call that a signal took away gets it when it comes again */
  op_reply(op, failed ? 0 : got, -failed);
}

/*
 * A port of loopback that refuses: its socket is connected to another peer, so it is no receiver of what others send (the
 * kernel answers that by ICMP), and nobody else can have the port.
 */
static int refusing_port(bool v6, struct sockaddr_storage *into, socklen_t *length) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static struct sockaddr_storage known[2];
  static socklen_t lengths[2];
  pthread_mutex_lock(&mutex);
  if (!lengths[v6]) {
    struct op loopback = {.domain = v6 ? AF_INET6 : AF_INET, .v6only = v6};
    struct sockaddr_storage any, nobody;
    socklen_t size = address_loopback(&loopback, 0, &any);
    address_loopback(&loopback, 1, &nobody);
    int fd = socket(loopback.domain, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* for the life of this process */
    if (fd >= 0 && bind(fd, (struct sockaddr *)&any, size) == 0 && connect(fd, (struct sockaddr *)&nobody, size) == 0 &&
        getsockname(fd, (struct sockaddr *)&known[v6], &size) == 0)
      lengths[v6] = size;
    else if (fd >= 0) close(fd);
  }
  *into = known[v6];
  *length = lengths[v6];
  pthread_mutex_unlock(&mutex);
  return *length ? 0 : -EADDRNOTAVAIL;
}

/*
 * The peer's ICMP has come to the agent: the program's connected socket sends to a port that refuses, and is what it
 * was again. Over loopback the answer is there when send(2) returns, so its next call, or its poll, tells it.
 */
void datagram_refuse(int fd, uint16_t relay_port, const struct op *socket) {
  struct sockaddr_storage refusing, relay;
  socklen_t refusing_length, relay_length = address_loopback(socket, relay_port, &relay);
  bool v6 = socket->domain == AF_INET6 && socket->v6only;
  if (refusing_port(v6, &refusing, &refusing_length) != 0) return;
  socklen_t length = address_loopback(socket, address_port(&refusing), &refusing);
  struct name name; /* its poll may wake it, and have it ask, before it is back */
  if (names_get(NAME_UDP, relay_port, 0, &name)) {
    names_lock();
    names_set_locked(NAME_UDP, address_port(&refusing), 0, &name);
    names_unlock();
  }
  if (connect(fd, (struct sockaddr *)&refusing, length) == 0) send(fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL);
  connect(fd, (struct sockaddr *)&relay, relay_length);
}

bool datagram_is_known(struct op *op) {
  struct cookie_entry entry;
  if (!cookies_have_datagrams()) return false;
  if (socket_describe(op, (int)op->args[0]) != 0 || !socket_is_udp(op)) return false;
  return cookie_get(op->cookie, &entry) && entry.udp;
}

bool handle_recvfrom(struct op *op) {
  if (!datagram_is_known(op)) return false;
  op->kind = OP_NATIVE;
  int64_t timeout = wait_timeout_ms(op->socket, SO_RCVTIMEO);
  if (timeout && !op->nonblocking) op_set_deadline(op, timeout, EAGAIN);
  receive_run(datagram_deliver, op);
  return true;
}
