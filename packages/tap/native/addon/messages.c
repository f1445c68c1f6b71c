/*
 * UDP with messages (sendmsg, recvmmsg and their like: libuv, and Go with control data). Their arguments are in memory, where
 * the filter cannot look: it knows the sockets by their numbers (numbers.c).
 */
#include "tap.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAX_DATAGRAM = 65536, MAX_CONTROL = 4096, MAX_VECTORS = 1024, MAX_MESSAGES = 64 };

/* ---- what a message is ---- */

struct message {
  struct msghdr head;
  struct iovec vectors[MAX_VECTORS];
  size_t room; /* of all vectors, at most MAX_DATAGRAM */
};

/* struct msghdr of the process, at `address`. 0 or -errno. */
static int read_message(pid_t tid, uint64_t address, struct message *message) {
  if (memory_read(tid, address, &message->head, sizeof message->head) != sizeof message->head) return -EFAULT;
  size_t count = message->head.msg_iovlen;
  if (count > MAX_VECTORS) return -EMSGSIZE;
  size_t bytes = count * sizeof *message->vectors;
  if (bytes && memory_read(tid, (uintptr_t)message->head.msg_iov, message->vectors, bytes) != (ssize_t)bytes)
    return -EFAULT;
  message->room = 0;
  for (size_t i = 0; i < count && message->room < MAX_DATAGRAM; i++) {
    size_t left = MAX_DATAGRAM - message->room;
    message->room += message->vectors[i].iov_len < left ? message->vectors[i].iov_len : left;
  }
  return 0;
}

static bool is_many(const struct op *op) { return op->nr == __NR_sendmmsg || op->nr == __NR_recvmmsg; }
static int flags_of(const struct op *op) { return (int)op->args[is_many(op) ? 3 : 2]; }

/* ---- its own address (IP_PKTINFO in ip(7), ipv6(7)) ---- */

/* IP_PKTINFO of `control`, or that of IPv6. */
static struct cmsghdr *own_address(struct msghdr *head) {
  for (struct cmsghdr *each = CMSG_FIRSTHDR(head); each; each = CMSG_NXTHDR(head, each)) {
    size_t length = each->cmsg_len - CMSG_LEN(0);
    if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_PKTINFO && length >= sizeof(struct in_pktinfo)) return each;
    if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO && length >= sizeof(struct in6_pktinfo))
      return each;
  }
  return NULL;
}

/* What is sent goes to loopback, to which neither the pod's address nor one of its interfaces leads. */
static void clear_own_address(struct msghdr *head) {
  struct cmsghdr *own = own_address(head);
  if (own) memset(CMSG_DATA(own), 0, own->cmsg_level == IPPROTO_IP ? sizeof(struct in_pktinfo) : sizeof(struct in6_pktinfo));
}

/* What comes from a socket that stands for a peer of the pod has come to the pod's address. */
static void show_own_address(struct msghdr *head, const struct sockaddr_storage *from) {
  struct cmsghdr *own = own_address(head);
  struct name name;
  if (!own || !address_is_loopback(from) || !names_get(NAME_UDP, address_port(from), 0, &name)) return;
  struct sockaddr_storage shown;
  bool is_v6 = own->cmsg_level == IPPROTO_IPV6;
  address_for_domain(is_v6 ? AF_INET6 : AF_INET, &name.local, &shown);
  if (shown.ss_family != (is_v6 ? AF_INET6 : AF_INET)) return;
  if (is_v6) {
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(own), sizeof info);
    info.ipi6_addr = ((struct sockaddr_in6 *)&shown)->sin6_addr;
    memcpy(CMSG_DATA(own), &info, sizeof info);
    return;
  }
  struct in_pktinfo info;
  memcpy(&info, CMSG_DATA(own), sizeof info);
  info.ipi_addr = info.ipi_spec_dst = ((struct sockaddr_in *)&shown)->sin_addr;
  memcpy(CMSG_DATA(own), &info, sizeof info);
}

/* ---- sending ---- */

static int gather(struct op *op, const struct message *message) {
  const struct msghdr *head = &message->head;
  if (head->msg_controllen > MAX_CONTROL) return -ENOBUFS;
  op->payload = malloc(message->room + head->msg_controllen + 1);
  if (!op->payload) return -ENOMEM;
  for (size_t i = 0; i < head->msg_iovlen; i++) {
    size_t length = message->vectors[i].iov_len;
    if (length > message->room - op->payload_length) return -EMSGSIZE;
    ssize_t got = memory_read(op->tid, (uintptr_t)message->vectors[i].iov_base, op->payload + op->payload_length, length);
    if (length && got != (ssize_t)length) return -EFAULT;
    op->payload_length += length;
  }
  op->control_length = head->msg_control ? head->msg_controllen : 0;
  if (op->control_length == 0) return 0;
  ssize_t got = memory_read(op->tid, (uintptr_t)head->msg_control, op->payload + op->payload_length, op->control_length);
  return got == (ssize_t)op->control_length ? 0 : -EFAULT;
}

/* Of several messages the first: their number is what the call returns, and the program sends the rest by another. */
bool handle_sendmsg(struct op *op) {
  if (fast_open_is_asked(op) && fast_open_begin(op)) return connect_begin(op);
  if (is_many(op) && op->args[2] == 0) return false;
  struct message *message = malloc(sizeof *message);
  int failed = message ? read_message(op->tid, op->args[1], message) : -ENOMEM;
  bool asks = false;
  if (!failed && message->head.msg_name) {
    socklen_t length = message->head.msg_namelen; /* the kernel cuts a long one off */
    if (length <= INT32_MAX && length > sizeof op->address) length = sizeof op->address;
    asks = address_read(op, (uintptr_t)message->head.msg_name, length) && datagram_is_asked(op);
    if (asks) failed = gather(op, message);
  }
  free(message);
  if (!asks || failed) return socket_refuses_unreadable(op);
  op->keep_result = true; /* sent once, also for who was interrupted and calls again */
  op_ask(op, OP_SENDTO, OP_LOCAL_MS, ENOBUFS);
  return true;
}

/* Pool thread, after TypeScript has said where to: op->address is that by now. */
void datagram_send(void *argument) {
  struct op *op = argument;
  bool is_sendto = op->nr == __NR_sendto;
  int flags = (is_sendto ? (int)op->args[3] : flags_of(op)) | MSG_NOSIGNAL | MSG_DONTWAIT;
  struct iovec vector = {op->payload, op->payload_length};
  struct msghdr head = {.msg_name = &op->address, .msg_namelen = op->address_length, .msg_iov = &vector, .msg_iovlen = 1};
  _Alignas(struct cmsghdr) uint8_t control[MAX_CONTROL];
  if (op->control_length) {
    memcpy(control, op->payload + op->payload_length, op->control_length);
    head.msg_control = control;
    head.msg_controllen = op->control_length;
    clear_own_address(&head);
  }
  /* Sent or lost, never sent twice. */
  kept_acting(op, op->nr == __NR_sendmmsg ? 1 : (int64_t)op->payload_length, 0);
  op_settle(op);
  ssize_t sent = sendmsg(op->socket, &head, flags);
  int error = sent < 0 ? errno : 0;
  if (!error && op->nr == __NR_sendmmsg) {
    uint32_t length = (uint32_t)sent;
    error = -op_tell(op, op->args[1] + offsetof(struct mmsghdr, msg_len), &length, sizeof length);
    sent = 1;
  }
  op_reply(op, error ? 0 : sent, error);
}

/* ---- receiving ---- */

static int scatter(struct op *op, const struct message *message, const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < message->head.msg_iovlen && length > 0; i++) {
    size_t part = message->vectors[i].iov_len < length ? message->vectors[i].iov_len : length;
    int failed = op_tell(op, (uintptr_t)message->vectors[i].iov_base, bytes, part);
    if (failed) return failed;
    bytes += part;
    length -= part;
  }
  return 0;
}

/* One message into the msghdr at `address`. Its length, or -errno. */
static ssize_t receive_message(struct op *op, uint64_t address, struct message *message, uint8_t *buffer) {
  int failed = read_message(op->tid, address, message);
  if (failed) return failed;
  struct sockaddr_storage from, shown;
  _Alignas(struct cmsghdr) uint8_t control[MAX_CONTROL];
  struct iovec vector = {buffer, message->room};
  struct msghdr head = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1};
  if (message->head.msg_control) {
    head.msg_control = control;
    head.msg_controllen = message->head.msg_controllen < sizeof control ? message->head.msg_controllen : sizeof control;
  }
  ssize_t got = recvmsg(op->socket, &head, (flags_of(op) & ~MSG_WAITFORONE) | MSG_DONTWAIT);
  if (got < 0) return -errno;
  if (head.msg_control) show_own_address(&head, &from);
  socklen_t length = datagram_shown(op, &from, &shown);
  size_t stored = (size_t)got < message->room ? (size_t)got : message->room; /* MSG_TRUNC tells the true length */
  failed = scatter(op, message, buffer, stored);
  if (!failed && head.msg_control)
    failed = op_tell(op, (uintptr_t)message->head.msg_control, control, head.msg_controllen);
  if (!failed && message->head.msg_name)
    failed = op_tell_address(op, (uintptr_t)message->head.msg_name,
                             address + offsetof(struct msghdr, msg_namelen), &shown, length);
  size_t controllen = message->head.msg_control ? head.msg_controllen : 0;
  if (!failed)
    failed = op_tell(op, address + offsetof(struct msghdr, msg_controllen), &controllen, sizeof controllen);
  if (!failed)
    failed = op_tell(op, address + offsetof(struct msghdr, msg_flags), &head.msg_flags, sizeof head.msg_flags);
  return failed ? failed : got;
}

static ssize_t receive_messages(struct op *op, struct message *message, uint8_t *buffer) {
  if (!is_many(op)) return receive_message(op, op->args[1], message, buffer);
  ssize_t count = 0, result = 0;
  uint64_t at = op->args[1];
  for (; count < (ssize_t)op->args[2] && count < MAX_MESSAGES; count++, at += sizeof(struct mmsghdr)) {
    result = receive_message(op, at, message, buffer);
    if (result < 0) break;
    uint32_t length = (uint32_t)result;
    int failed = op_tell(op, at + offsetof(struct mmsghdr, msg_len), &length, sizeof length);
    if (failed) return failed;
  }
  return count > 0 ? count : result;
}

void message_deliver(void *argument) {
  struct op *op = argument;
  if (op_drop_unawaited(op)) return; /* it stays in the socket's queue */
  op_settle_to_receive(op);
  struct message *message = malloc(sizeof *message);
  uint8_t *buffer = malloc(MAX_DATAGRAM);
  ssize_t result = message && buffer ? receive_messages(op, message, buffer) : -ENOMEM;
  free(message);
  free(buffer);
  if (result == -EAGAIN && !op->nonblocking && !(flags_of(op) & MSG_DONTWAIT)) wait_for(op, EPOLLIN);
  else {
    op->keep_result = result >= 0; /* what was received has left the socket's queue */
    op_reply(op, result < 0 ? 0 : result, result < 0 ? (int)-result : 0);
  }
}

bool handle_recvmsg(struct op *op) {
  if (flags_of(op) & MSG_ERRQUEUE) return false;
  /* Who does not ask for the sender's name needs nothing of us. */
  uint64_t name = 0;
  if (memory_read(op->tid, op->args[1], &name, sizeof name) != sizeof name || !name) return false;
  if (!datagram_is_known(op)) return false;
  op->kind = OP_NATIVE;
  int64_t timeout = wait_timeout_ms(op->socket, SO_RCVTIMEO);
  if (timeout && !op->nonblocking) op_set_deadline(op, timeout, EAGAIN);
  receive_run(message_deliver, op);
  return true;
}
