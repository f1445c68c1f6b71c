/*
 * Unix sockets of the pod: the program's own socket is connected to a listener of ours, and what we accept is the other end's
 * relay. Its listener has a name that the kernel has chosen, which others on this machine may connect to as well: who is not
 * this process, which connects in the program's name, is turned away.
 */
#include "surface.h"
#include "seqpacket.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, MEETING_MS = 2000, CONNECT_MS = 30000 /* above what the agent takes */ };

static bool is_asked;
/* Of streams, and of records. */
static struct listener {
  int fd;
  struct sockaddr_un name;
  socklen_t length;
} listeners[2] = {{.fd = -1}, {.fd = -1}};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* held from our connect to our accept */

void unix_ask(bool asks) { __atomic_store_n(&is_asked, asks, __ATOMIC_RELAXED); }

/* True: TypeScript says whose it is. Of datagram sockets there is no connection that could be relayed. */
bool unix_is_asked(struct op *op) {
  if (!__atomic_load_n(&is_asked, __ATOMIC_RELAXED)) return false;
  if (op->address_length <= sizeof(sa_family_t) || op->address_length > sizeof(struct sockaddr_un)) return false;
  return socket_describe(op, (int)op->args[0]) == 0 && op->domain == AF_UNIX &&
         (op->type == SOCK_STREAM || op->type == SOCK_SEQPACKET);
}

/*
 * SO_SNDTIMEO is for how long it waits for the listener's queue to have room (unix_stream_connect in Linux' af_unix.c). What
 * a signal took away before is nothing any more, as in the kernel.
 */
void unix_connect(struct op *op) {
  op_give_up_connects(op->cookie);
  int64_t timeout = op->nonblocking ? 0 : wait_timeout_ms(op->socket, SO_SNDTIMEO);
  op->keep_result = true;
  if (timeout) op_ask(op, OP_CONNECT, timeout, EAGAIN);
  else op_ask(op, OP_CONNECT, CONNECT_MS, ETIMEDOUT);
}

static int listen_once(struct listener *listener, int type) {
  if (listener->fd >= 0) return 0;
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct sockaddr_un any = {.sun_family = AF_UNIX};
  listener->length = sizeof listener->name;
  if (fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any.sun_family) == 0 && listen(fd, BACKLOG) == 0 &&
      getsockname(fd, (struct sockaddr *)&listener->name, &listener->length) == 0) {
    listener->fd = fd;
    return 0;
  }
  int error = errno;
  if (fd >= 0) close(fd);
  return -error;
}

/* The end of our own connect; what strangers have sent in between is closed. */
static int accept_own(const struct listener *listener) {
  for (;;) {
    struct pollfd waiting = {listener->fd, POLLIN, 0};
    if (poll_again(&waiting, MEETING_MS) <= 0) return -ETIMEDOUT;
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return -errno;
    struct ucred peer = {0};
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid == getpid()) return fd;
    close(fd);
  }
}

static void connect_to_us(void *argument) {
  struct op *op = argument;
  uint64_t token = op_token(op);
  bool is_stream = op->type == SOCK_STREAM;
  struct listener *listener = &listeners[!is_stream];
  kept_acting(op, 0, ECONNRESET); /* what it is connected to ends with us */
  pthread_mutex_lock(&mutex);
  int fd = listen_once(listener, op->type);
  if (fd == 0)
    fd = connect(op->socket, (struct sockaddr *)&listener->name, listener->length) ? -errno : accept_own(listener);
  pthread_mutex_unlock(&mutex);
  if (fd >= 0 && !is_stream) fd = seqpacket_to_stream(fd);
  if (fd >= 0) {
    struct cookie_entry entry = {.is_unix = true, .requested = op->address, .requested_length = op->address_length};
    cookie_update(op->cookie, &entry);
  }
  op_reply(op, 0, fd < 0 ? -fd : 0);
  emit_accepted(token, fd);
}

/* replyUnix(token, peer): connects it to us and answers; "accepted" tells our end's descriptor, or a negative errno. */
int reply_unix(const struct call *call, struct op *op) {
  void *unused;
  size_t length;
  bytes_of(call, 1, &unused, &length);
  if (!address_of(call, 1, &op->address)) return op_reply(op, 0, EIO);
  op->address_length = (socklen_t)length;
  pool_run(connect_to_us, op);
  return 0;
}

/* askUnix(whether): connects of stream sockets of AF_UNIX are asked about. */
napi_value ask_unix(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  unix_ask(bool_of(&call, 0));
  return NULL;
}
