/*
 * Answers of held calls, and what is done on the process's own sockets before them. Each is called with its
 * op claimed (module.c); what it returns is what TypeScript gets: 0, a value, or -errno.
 */
#include "surface.h"
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* reply(token, value, errno) */
int reply(const struct call *call, struct op *op) {
  return op_reply(op, (int64_t)number_of(call, 1), int_of(call, 2));
}
/* continue(token) */
int continue_natively(const struct call *call, struct op *op) {
  (void)call;
  /* From a directory of the pod the kernel would go on in the pod. */
  if (!op->work || !(op->work->place.from_remote || op->work->second.from_remote)) return op_continue(op);
  serve_local(op, NULL, NULL);
  return 0;
}

/* continueHere(token): of a datagram to loopback. To the same address others go on without a question, for a second. */
int continue_here(const struct call *call, struct op *op) {
  (void)call;
  here_remember(&op->address);
  return op_continue(op);
}

struct paths {
  char first[LONGEST_PATH + 1], second[LONGEST_PATH + 1];
};

/* (token, path, second): false when they cannot be a path of a call that waits for one. second: "" where there is none. */
static bool paths_of(const struct call *call, const struct op *op, struct paths *paths) {
  size_t length = 0, second_length = 0;
  napi_get_value_string_latin1(call->env, call->arguments[1], paths->first, sizeof paths->first, &length);
  napi_get_value_string_latin1(call->env, call->arguments[2], paths->second, sizeof paths->second, &second_length);
  return op->work && length > 0 && length < LONGEST_PATH && second_length < LONGEST_PATH;
}

/* serveRemote(token, path, second, fallback): below the remote root, here in C. */
int serve_remote_js(const struct call *call, struct op *op) {
  struct paths paths;
  if (!paths_of(call, op, &paths)) return op_reply(op, 0, EIO);
  serve_remote(op, paths.first, paths.second, bool_of(call, 3));
  return 0;
}

/* serveLocal(token, path, second): other files of this machine than those that the call names. */
int serve_local_js(const struct call *call, struct op *op) {
  struct paths paths;
  if (!paths_of(call, op, &paths)) return op_reply(op, 0, EIO);
  serve_local(op, paths.first, *paths.second ? paths.second : NULL);
  return 0;
}

/* replyStat(token, BigUint64Array of STAT_FIELDS) */
int reply_stat(const struct call *call, struct op *op) {
  void *data = NULL;
  size_t length = 0;
  napi_get_typedarray_info(call->env, call->arguments[1], NULL, &length, &data, NULL, NULL);
  if (length != STAT_FIELDS) return op_reply(op, 0, EIO);
  answer_stat(op, data);
  return 0;
}

/* replyReadlink(token, target) */
int reply_readlink(const struct call *call, struct op *op) {
  void *data;
  size_t length;
  bytes_of(call, 1, &data, &length);
  answer_readlink(op, data, length);
  return 0;
}

static int inject(struct op *op, int fd) {
  int result = op_inject(op, fd, (op->flags & O_CLOEXEC) != 0);
  if (result < 0) {
    close(fd);
    if (result == -ENOENT) op_drop(op);
    else op_reply(op, 0, -result);
  }
  return result;
}

/* replyFile(token, name, content, mode, mtime ns as BigInt): a sealed memfd as the result of open. */
int reply_file(const struct call *call, struct op *op) {
  char name[250];
  size_t name_length = 0, length;
  void *content;
  int64_t mtime_ns = 0;
  bool lossless;
  napi_get_value_string_latin1(call->env, call->arguments[1], name, sizeof name, &name_length);
  bytes_of(call, 2, &content, &length);
  napi_get_value_bigint_int64(call->env, call->arguments[4], &mtime_ns, &lossless);
  int fd = sealed_file(name, content, length, (mode_t)int_of(call, 3), mtime_ns);
  if (fd < 0) return op_reply(op, 0, -fd);
  return inject(op, fd);
}

/* replyDescriptor(token, fd): takes the fd. */
int reply_descriptor(const struct call *call, struct op *op) { return inject(op, int_of(call, 1)); }

/* ---- acting on the process's own socket ---- */

static int bind_to(struct op *op, const struct sockaddr_storage *to, socklen_t length) {
  kept_acting(op, 0, EADDRINUSE);
  int result = bind(op->socket, (const struct sockaddr *)to, length) ? -errno : 0;
  if (result == 0) kept_acting(op, 0, 0); /* bound it is; a second bind would be EINVAL */
  else kept_undone(op);
  struct sockaddr_storage bound;
  length = sizeof bound;
  if (result == 0 && getsockname(op->socket, (struct sockaddr *)&bound, &length) == 0) result = address_port(&bound);
  op_unclaim(op);
  return result;
}

/* bindSocket(token, port) -> port really bound, or -errno; on the socket's own loopback; 0: any free one. */
int bind_socket(const struct call *call, struct op *op) {
  struct sockaddr_storage to;
  socklen_t length = address_loopback(op, (uint16_t)int_of(call, 1), &to);
  return bind_to(op, &to, length);
}

/* bindAsAsked(token) -> port really bound, or -errno: to the address of the call. */
int bind_as_asked(const struct call *call, struct op *op) {
  (void)call;
  return bind_to(op, &op->address, op->address_length);
}

/* replyBound(token, requested): remembers the address the program asked for, answers 0. */
int reply_bound(const struct call *call, struct op *op) {
  struct cookie_entry entry = {.bound = true, .udp = socket_is_udp(op), .domain = op->domain};
  struct sockaddr_storage bound;
  socklen_t length = sizeof bound;
  if (getsockname(op->socket, (struct sockaddr *)&bound, &length) == 0) entry.port = address_port(&bound);
  address_of(call, 1, &entry.requested);
  cookie_update(op->cookie, &entry);
  return op_reply(op, 0, 0);
}

/* listenSocket(token) -> 0 or -errno: listens with the program's own backlog; the answer is still to come. */
int listen_socket(const struct call *call, struct op *op) {
  (void)call;
  int result = listen(op->socket, (int)op->args[1]) ? -errno : 0;
  op_unclaim(op);
  return result;
}

struct relaying {
  struct op *op;
  uint16_t port;
  struct name name;
};

/* Pool thread: a blocking socket's connect to the relay, which is at hand but may have a full queue. */
static void connect_to_relay(void *argument) {
  struct relaying *relaying = argument;
  struct op *op = relaying->op;
  struct sockaddr_storage to, local;
  socklen_t length = address_loopback(op, relaying->port, &to);
  kept_acting(op, 0, ECONNRESET); /* what it was connected to ends with us */
  int error = connect(op->socket, (struct sockaddr *)&to, length) ? errno : 0;
  length = sizeof local;
  uint16_t port = 0;
  if ((!error || error == EINPROGRESS) && getsockname(op->socket, (struct sockaddr *)&local, &length) == 0) {
    port = address_port(&local);
    names_lock();
    names_set_locked(NAME_OUTGOING, port, relaying->port, &relaying->name);
    names_unlock();
  }
  uint64_t token = op_token(op);
  connect_answer(op, op->socket, error);
  emit_relayed(token, port, error);
  free(relaying);
}

/* replyRelayed(token, relayPort, local, peer): connects the socket to the relay, answers, emits "relayed". */
int reply_relayed(const struct call *call, struct op *op) {
  struct relaying *relaying = calloc(1, sizeof *relaying);
  if (!relaying) abort();
  relaying->op = op;
  relaying->port = (uint16_t)int_of(call, 1);
  address_of(call, 2, &relaying->name.local);
  address_of(call, 3, &relaying->name.peer);
  pool_run(connect_to_relay, relaying);
  return 0;
}

/*
 * startPending(token) -> local port of the socket that is in SYN_SENT now, or -errno, with which the call was
 * answered. A non-blocking connect has its answer then; a blocking one is held until verdict(Connected|Failed),
 * its deadline, or SO_SNDTIMEO, after which the connect goes on behind its back as after a signal.
 * -EOPNOTSUPP: not on this socket (net.ipv4.tcp_fastopen is 0 where it lives), and the call is held as before.
 */
int start_pending(const struct call *call, struct op *op) {
  (void)call;
  kept_acting(op, 0, ECONNRESET); /* what it is connected to ends with us */
  int result = connect_pending(op, op->socket), port = result;
  if (result == -EOPNOTSUPP) {
    kept_undone(op);
    op_unclaim(op);
    return result;
  }
  struct sockaddr_storage local;
  socklen_t length = sizeof local;
  if (result == -EINPROGRESS) {
    port = getsockname(op->socket, (struct sockaddr *)&local, &length) ? -errno : address_port(&local);
    struct cookie_entry entry = {0};
    cookie_get(op->cookie, &entry); /* it may be bound */
    entry.pending = true;
    cookie_update(op->cookie, &entry);
  }
  if (op->nonblocking || port < 0) {
    op_reply(op, 0, -result);
    return port;
  }
  int64_t timeout = wait_timeout_ms(op->socket, SO_SNDTIMEO);
  if (timeout) op_set_deadline(op, timeout, EINPROGRESS);
  op->keep_result = false; /* the socket itself knows what a restarted call is to be told */
  /* With a duplicate of ours close(2) would not be the end of it, nor take it out of the program's epoll. */
  close(op->socket);
  op->socket = -1;
  op_unclaim(op);
  return port;
}

/* verdictConnected(token): completePending() was called, so a connect that is held is answered; emits "relayed" then. */
int verdict_connected_js(const struct call *call, struct op *op) {
  (void)call;
  verdict_connected(op);
  return 0;
}

/* The socket that stands for the peer: what the program sends goes there. */
static socklen_t datagram_relay(const struct call *call, struct op *op, struct sockaddr_storage *to) {
  struct cookie_entry entry = {0};
  cookie_get(op->cookie, &entry); /* it may be bound to a port of the pod */
  entry.udp = true;
  cookie_update(op->cookie, &entry);
  return address_loopback(op, (uint16_t)int_of(call, 1), to);
}

/* replyConnectedDatagram(token, port): UDP connect to our relay socket. */
int reply_connected_datagram(const struct call *call, struct op *op) {
  struct sockaddr_storage to;
  socklen_t length = datagram_relay(call, op, &to);
  int result = connect(op->socket, (struct sockaddr *)&to, length) ? -errno : 0;
  op_reply(op, 0, -result);
  return result;
}

/* replySentTo(token, port): sends the datagram to our relay socket instead. */
int reply_sent_to(const struct call *call, struct op *op) {
  struct sockaddr_storage to;
  op->address_length = datagram_relay(call, op, &to);
  op->address = to;
  pool_run(datagram_send, op);
  return 0;
}
