/* Answers of held calls, and what is done on the process's own sockets before them. */
#include "surface.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- answers: each takes a token; stale ones are ignored (-ESRCH) ---- */

static napi_value gone(napi_env env) { return number(env, -ESRCH); }

/* reply(token, value, errno) */
napi_value reply(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  return number(env, op_reply(op, (int64_t)number_of(&call, 1), int_of(&call, 2)));
}
napi_value continue_js(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  return op ? number(env, op_continue(op)) : gone(env);
}

/* replyStat(token, BigUint64Array of STAT_FIELDS) */
napi_value reply_stat(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  void *data = NULL;
  size_t length = 0;
  napi_get_typedarray_info(env, call.arguments[1], NULL, &length, &data, NULL, NULL);
  struct op *op = length == STAT_FIELDS ? op_claim(token_of(&call)) : NULL;
  if (!op) return gone(env);
  answer_stat(op, data);
  return number(env, 0);
}

napi_value reply_readlink(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  void *data;
  size_t length;
  bytes_of(&call, 1, &data, &length);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  answer_readlink(op, data, length);
  return number(env, 0);
}

/* replyFile(token, name, content, mode, mtime ns as BigInt): a sealed memfd as the result of open. */
napi_value reply_file(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  char name[250];
  size_t name_length = 0, length;
  void *content;
  int64_t mtime_ns = 0;
  bool lossless;
  napi_get_value_string_latin1(env, call.arguments[1], name, sizeof name, &name_length);
  bytes_of(&call, 2, &content, &length);
  napi_get_value_bigint_int64(env, call.arguments[4], &mtime_ns, &lossless);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  int writable = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), fd = -1;
  bool filled = writable >= 0;
  for (size_t done = 0; filled && done < length;) {
    ssize_t put_now = write(writable, (char *)content + done, length - done);
    if (put_now > 0) done += (size_t)put_now;
    else if (errno != EINTR) filled = false;
  }
  if (filled) {
    struct timespec times[2] = {{mtime_ns / 1000000000, mtime_ns % 1000000000},
                                {mtime_ns / 1000000000, mtime_ns % 1000000000}};
    futimens(writable, times);
    fchmod(writable, (mode_t)int_of(&call, 3) & 07777);
    fcntl(writable, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    /* Opened anew: read-only, with an offset of its own. */
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", writable);
    fd = open(self, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fd = dup(writable); /* a mode without read permission, and we are not root */
  }
  int error = errno;
  if (writable >= 0) close(writable);
  if (fd < 0) return number(env, op_reply(op, 0, error));
  int result = op_inject(op, fd, (op->flags & O_CLOEXEC) != 0);
  if (result < 0) {
    close(fd);
    if (result == -ENOENT) op_drop(op);
    else op_reply(op, 0, -result);
  }
  return number(env, result);
}

/* ---- acting on the process's own socket ---- */

/* bindSocket(token, port) -> port really bound, or -errno; on the socket's own loopback; 0: any free one. */
napi_value bind_socket(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  struct sockaddr_storage to;
  socklen_t length = address_loopback(op, (uint16_t)int_of(&call, 1), &to);
  int result = bind(op->socket, (struct sockaddr *)&to, length) ? -errno : 0;
  length = sizeof to;
  if (result == 0 && getsockname(op->socket, (struct sockaddr *)&to, &length) == 0) result = address_port(&to);
  op_unclaim(op);
  return number(env, result);
}

/* replyBound(token, requested): remembers the address the program asked for, answers 0. */
napi_value reply_bound(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  struct cookie_entry entry = {.bound = true};
  address_of(&call, 1, &entry.requested);
  cookie_update(op->cookie, &entry);
  return number(env, op_reply(op, 0, 0));
}

/* listenSocket(token) -> 0 or -errno: listens with the program's own backlog; the answer is still to come. */
napi_value listen_socket(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  int result = listen(op->socket, (int)op->args[1]) ? -errno : 0;
  op_unclaim(op);
  return number(env, result);
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
  int error = connect(op->socket, (struct sockaddr *)&to, length) ? errno : 0;
  length = sizeof local;
  uint16_t port = 0;
  if ((!error || error == EINPROGRESS) && getsockname(op->socket, (struct sockaddr *)&local, &length) == 0) {
    port = address_port(&local);
    names_lock();
    names_set_locked(NAME_OUTGOING, port, &relaying->name);
    names_unlock();
  }
  uint64_t token = op_token(op);
  op_reply(op, 0, error);
  emit_relayed(token, port, error);
  free(relaying);
}

/* replyRelayed(token, relayPort, local, peer): connects the socket to the relay, answers, emits "relayed". */
napi_value reply_relayed(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct relaying *relaying = calloc(1, sizeof *relaying);
  struct op *op = relaying ? op_claim(token_of(&call)) : NULL;
  if (!op) {
    free(relaying);
    return gone(env);
  }
  relaying->op = op;
  relaying->port = (uint16_t)int_of(&call, 1);
  address_of(&call, 2, &relaying->name.local);
  address_of(&call, 3, &relaying->name.peer);
  pool_run(connect_to_relay, relaying);
  return number(env, 0);
}

/* replyPending(token) -> local port of the socket now in SYN_SENT, or -errno (told to the program). */
napi_value reply_pending(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  int result = connect_pending(op);
  struct sockaddr_storage local;
  socklen_t length = sizeof local;
  int port = result;
  if (result == -EINPROGRESS) {
    port = getsockname(op->socket, (struct sockaddr *)&local, &length) ? -errno : address_port(&local);
    struct cookie_entry entry = {.pending = true};
    cookie_update(op->cookie, &entry);
  }
  op_reply(op, 0, -result);
  return number(env, port);
}

/* completePending(userPort, isIPv6Only) -> our connected end's fd, or -errno */
napi_value complete_pending(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, connect_complete((uint16_t)int_of(&call, 0), bool_of(&call, 1)));
}

/* failPending(tgid, fd, cookie, userPort, isIPv6Only, errno) */
napi_value fail_pending(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  connect_fail((pid_t)int_of(&call, 0), int_of(&call, 1), (uint64_t)number_of(&call, 2),
               (uint16_t)int_of(&call, 3), bool_of(&call, 4), int_of(&call, 5));
  return NULL;
}

/* replyConnectedDatagram(token, port): UDP connect to our relay socket. */
napi_value reply_connected_datagram(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  struct sockaddr_storage to;
  socklen_t length = address_loopback(op, (uint16_t)int_of(&call, 1), &to);
  struct cookie_entry entry = {.udp = true};
  cookie_update(op->cookie, &entry);
  int result = connect(op->socket, (struct sockaddr *)&to, length) ? -errno : 0;
  op_reply(op, 0, -result);
  return number(env, result);
}

/* replySentTo(token, port): sends the datagram to our relay socket instead. */
napi_value reply_sent_to(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  struct sockaddr_storage to;
  socklen_t length = address_loopback(op, (uint16_t)int_of(&call, 1), &to);
  struct cookie_entry entry = {.udp = true};
  cookie_update(op->cookie, &entry);
  ssize_t sent = sendto(op->socket, op->payload, op->payload_length,
                        (int)op->args[3] | MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, length);
  int error = sent < 0 ? errno : 0;
  return number(env, op_reply(op, sent < 0 ? 0 : sent, error));
}

/*
 * connectToUser(port, isIPv6, local, peer) -> fd of a connection to the program's listener, or -errno. Its
 * names are set before anybody can ask for them.
 */
napi_value connect_to_user(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op target = {.domain = bool_of(&call, 1) ? AF_INET6 : AF_INET, .v6only = bool_of(&call, 1)};
  struct name name;
  address_of(&call, 2, &name.local);
  address_of(&call, 3, &name.peer);
  struct sockaddr_storage to, mine;
  socklen_t length = address_loopback(&target, (uint16_t)int_of(&call, 0), &to);
  int fd = socket(target.domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return number(env, -errno);
  names_lock();
  int error = connect(fd, (struct sockaddr *)&to, length) && errno != EINPROGRESS ? errno : 0;
  length = sizeof mine;
  if (!error && getsockname(fd, (struct sockaddr *)&mine, &length) == 0)
    names_set_locked(NAME_INCOMING, address_port(&mine), &name);
  names_unlock();
  if (!error) return number(env, fd);
  close(fd);
  return number(env, -error);
}
