/*
 * TCP Fast Open (RFC 7413): sendto and sendmsg with MSG_FASTOPEN and an address connect, and then send. Without a cookie of
 * the peer the kernel does one after the other, and so do we: the connect is any other, and where it blocks the data
 * follows here; a socket that does not block gets EINPROGRESS, and its program sends later.
 */
#include "tap.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { CHUNK = 65536, MAX_VECTORS = 1024 };

static int flags_of(const struct op *op) {
  return (int)op->args[op->nr == __NR_sendmsg ? 2 : 3]; /* sendto and sendmmsg have it at the same place */
}

/* Of several messages the first one's address; the rest the program sends by another call. */
static bool read_destination(struct op *op) {
  struct msghdr head;
  if (op->nr == __NR_sendto) return socket_read_address(op, 4, 5);
  if (memory_read(op->tid, op->args[1], &head, sizeof head) != sizeof head || !head.msg_name) return false;
  return address_read(op, (uintptr_t)head.msg_name, head.msg_namelen);
}

bool fast_open_is_asked(const struct op *op) { return (flags_of(op) & MSG_FASTOPEN) != 0; }

/* True: it is a connect (op->address), and whoever answers it sends. */
bool fast_open_begin(struct op *op) {
  if (!read_destination(op) || socket_describe(op, (int)op->args[0]) != 0) return false;
  if (flags_of(op) & MSG_DONTWAIT) op->nonblocking = true;
  return op->is_fast_open = socket_is_tcp(op);
}

/* What the socket's buffer takes of `length` bytes at `address`, or -errno. */
static ssize_t send_from(const struct op *op, int fd, uint64_t address, size_t length, uint8_t *buffer) {
  size_t done = 0;
  int flags = (flags_of(op) & ~MSG_FASTOPEN) | MSG_DONTWAIT | MSG_NOSIGNAL;
  while (done < length) {
    size_t part = length - done < CHUNK ? length - done : CHUNK;
    ssize_t got = memory_read(op->tid, address + done, buffer, part);
    if (got <= 0) return done ? (ssize_t)done : -EFAULT;
    ssize_t sent = send(fd, buffer, (size_t)got, flags);
    if (sent < 0) return done ? (ssize_t)done : -errno;
    done += (size_t)sent;
    if (sent < got) break;
  }
  return (ssize_t)done;
}

static ssize_t send_message(const struct op *op, int fd, uint8_t *buffer) {
  struct msghdr head;
  if (memory_read(op->tid, op->args[1], &head, sizeof head) != sizeof head) return -EFAULT;
  if (head.msg_iovlen > MAX_VECTORS) return -EMSGSIZE;
  size_t bytes = head.msg_iovlen * sizeof(struct iovec);
  struct iovec *vectors = malloc(bytes + 1);
  ssize_t total = vectors ? 0 : -ENOMEM;
  if (vectors && bytes && memory_read(op->tid, (uintptr_t)head.msg_iov, vectors, bytes) != (ssize_t)bytes) total = -EFAULT;
  for (size_t i = 0; total >= 0 && i < head.msg_iovlen; i++) {
    ssize_t sent = send_from(op, fd, (uintptr_t)vectors[i].iov_base, vectors[i].iov_len, buffer);
    if (sent < 0 && total == 0) total = sent;
    if (sent < (ssize_t)vectors[i].iov_len) {
      if (sent > 0) total += sent;
      break;
    }
    total += sent;
  }
  free(vectors);
  return total;
}

ssize_t fast_open_send(struct op *op, int fd) {
  uint8_t *buffer = malloc(CHUNK);
  if (!buffer) return -ENOMEM;
  ssize_t sent = op->nr == __NR_sendto ? send_from(op, fd, op->args[1], (size_t)op->args[2], buffer)
                                       : send_message(op, fd, buffer);
  free(buffer);
  if (sent < 0 || op->nr != __NR_sendmmsg) return sent;
  uint32_t length = (uint32_t)sent;
  int failed = op_tell(op, op->args[1] + offsetof(struct mmsghdr, msg_len), &length, sizeof length);
  return failed ? failed : 1;
}

int connect_answer(struct op *op, int fd, int error) {
  if (error || !op->is_fast_open) return op_reply(op, 0, error);
  /* A signal took it away: nothing was sent, and if it is restarted it finds the socket connected. */
  if (op_drop_unawaited(op)) return -ENOENT;
  kept_acting(op, 0, ECONNRESET);
  ssize_t sent = fast_open_send(op, fd);
  return op_reply(op, sent < 0 ? 0 : sent, sent < 0 ? (int)-sent : 0);
}
