/* UDP: what is sent to a name server, say, goes to the socket that stands for it, and comes back in its name. */
#include "tap.h"
#include <errno.h>
#include <stdlib.h>

enum { MAX_DATAGRAM = 65536 };

static int datagram_flags(const struct op *op) { return (int)op->args[3]; }

bool datagram_is_asked(struct op *op) {
  if (op->address.ss_family != AF_INET && op->address.ss_family != AF_INET6) return false;
  bool to_loopback = address_is_loopback(&op->address);
  if (to_loopback && !cookies_have_servers()) return false;
  if (socket_describe(op, (int)op->args[0]) != 0 || !socket_is_udp(op)) return false;
  /* A port of the pod has clients on the pod's loopback, too. */
  struct cookie_entry entry;
  return !to_loopback || (cookie_get(op->cookie, &entry) && entry.bound);
}

bool handle_sendto(struct op *op) {
  if (fast_open_is_asked(op) && fast_open_begin(op)) return connect_begin(op);
  if (!socket_read_address(op, 4, 5) || !datagram_is_asked(op)) return false;
  if (op->args[2] > MAX_DATAGRAM) return false; /* EMSGSIZE, says the kernel */
  op->payload_length = (size_t)op->args[2];
  op->payload = malloc(op->payload_length + 1);
  if (!op->payload) return false;
  if (memory_read(op->tid, op->args[1], op->payload, op->payload_length) != (ssize_t)op->payload_length)
    return false;
  op_ask(op, OP_SENDTO, OP_LOCAL_MS, ENOBUFS);
  return true;
}

socklen_t datagram_shown(const struct op *op, const struct sockaddr_storage *from, struct sockaddr_storage *shown) {
  struct name name;
  bool is_named = address_is_loopback(from) && names_get(NAME_UDP, address_port(from), &name);
  return address_for_domain(op->domain, is_named ? &name.peer : from, shown);
}

void datagram_deliver(void *argument) {
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
    if (error == EAGAIN && !op->nonblocking && !(datagram_flags(op) & MSG_DONTWAIT)) wait_for(op, EPOLLIN);
    else op_reply(op, 0, error);
    return;
  }
  length = datagram_shown(op, &from, &shown);
  size_t stored = (size_t)got < room ? (size_t)got : room; /* MSG_TRUNC tells the true length */
  int failed = memory_write(op->tid, op->args[1], buffer, stored);
  if (!failed) failed = memory_write_address(op->tid, op->args[4], op->args[5], &shown, length);
  free(buffer);
  op_reply(op, failed ? 0 : got, -failed);
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
