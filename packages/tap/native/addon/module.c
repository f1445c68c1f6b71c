/* The addon's surface: what TypeScript calls, and the events it gets. Types: ../../src/native.ts. */
#define NAPI_VERSION 8
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static napi_threadsafe_function to_js;

/* ---- values ---- */

static napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}
static napi_value text(napi_env env, const char *value) {
  napi_value result;
  napi_create_string_latin1(env, value, NAPI_AUTO_LENGTH, &result);
  return result;
}
static napi_value boolean(napi_env env, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  return result;
}
static void put(napi_env env, napi_value object, const char *name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

enum { MAX_ARGUMENTS = 6 };
struct call {
  napi_env env;
  napi_value arguments[MAX_ARGUMENTS];
};
static struct call call_of(napi_env env, napi_callback_info info) {
  struct call call = {.env = env};
  size_t count = MAX_ARGUMENTS;
  napi_get_cb_info(env, info, &count, call.arguments, NULL, NULL);
  return call;
}
static double number_of(const struct call *call, int index) {
  double value = 0;
  napi_get_value_double(call->env, call->arguments[index], &value);
  return value;
}
static int int_of(const struct call *call, int index) { return (int)number_of(call, index); }
static bool bool_of(const struct call *call, int index) {
  bool value = false;
  napi_get_value_bool(call->env, call->arguments[index], &value);
  return value;
}
static uint64_t token_of(const struct call *call) { return (uint64_t)number_of(call, 0); }
static void bytes_of(const struct call *call, int index, void **data, size_t *length) {
  *data = NULL;
  *length = 0;
  napi_get_buffer_info(call->env, call->arguments[index], data, length);
}
static bool address_of(const struct call *call, int index, struct sockaddr_storage *into) {
  void *data;
  size_t length;
  memset(into, 0, sizeof *into);
  bool is_buffer = false;
  napi_is_buffer(call->env, call->arguments[index], &is_buffer);
  if (!is_buffer) return false;
  bytes_of(call, index, &data, &length);
  if (length > sizeof *into) return false;
  memcpy(into, data, length);
  return true;
}

/* ---- events ---- */

enum event_kind { EVENT_OP, EVENT_END, EVENT_RELAYED, EVENT_PROGRAM };
struct event {
  enum event_kind kind;
  uint64_t token;
  struct op op; /* a copy; only plain fields are used */
  char *text;
  uint16_t port;
  int error;
};

static void emit(struct event *event) {
  if (!to_js || napi_call_threadsafe_function(to_js, event, napi_tsfn_nonblocking) != napi_ok) {
    free(event->text);
    free(event);
  }
}

static struct event *event_new(enum event_kind kind) {
  struct event *event = calloc(1, sizeof *event);
  if (!event) abort();
  event->kind = kind;
  return event;
}

void emit_op(struct op *op) {
  struct event *event = event_new(EVENT_OP);
  event->op = *op;
  if (op->path) event->text = strdup(op->path);
  event->token = op_unclaim(op);
  emit(event);
}
void emit_end(void) { emit(event_new(EVENT_END)); }
void emit_relayed(uint64_t token, uint16_t local_port, int error) {
  struct event *event = event_new(EVENT_RELAYED);
  event->token = token;
  event->port = local_port;
  event->error = error;
  emit(event);
}
void emit_program(pid_t tgid, const char *executable, bool skipped) {
  struct event *event = event_new(EVENT_PROGRAM);
  event->op.tgid = tgid;
  event->error = skipped;
  event->text = strdup(executable);
  emit(event);
}

static const char *const op_names[] = {"", "connect", "bind", "listen", "sendto", "path", ""};

static const char *path_call(int nr) {
  switch (nr) {
    case __NR_openat:
    case __NR_openat2:
#if defined(__x86_64__)
    case __NR_open:
#endif
      return "open";
    case __NR_faccessat:
    case __NR_faccessat2:
#if defined(__x86_64__)
    case __NR_access:
#endif
      return "access";
    case __NR_readlinkat:
#if defined(__x86_64__)
    case __NR_readlink:
#endif
      return "readlink";
    default:
      return "stat";
  }
}

static int access_mode(const struct op *op) {
#if defined(__x86_64__)
  if (op->nr == __NR_access) return (int)op->args[1];
#endif
  return (int)op->args[2];
}

static void describe_op(napi_env env, napi_value object, const struct event *event) {
  const struct op *op = &event->op;
  put(env, object, "kind", text(env, op_names[op->kind]));
  put(env, object, "tgid", number(env, op->tgid));
  if (op->kind == OP_PATH) {
    put(env, object, "call", text(env, path_call(op->nr)));
    put(env, object, "path", text(env, event->text ? event->text : ""));
    put(env, object, "flags", number(env, op->flags));
    put(env, object, "mode", number(env, access_mode(op)));
    put(env, object, "operation", number(env, op->operation));
    put(env, object, "rule", number(env, op->rule));
    return;
  }
  put(env, object, "fd", number(env, (int)op->args[0]));
  put(env, object, "cookie", number(env, (double)op->cookie));
  put(env, object, "isIPv6", boolean(env, op->domain == AF_INET6));
  put(env, object, "isIPv6Only", boolean(env, op->v6only));
  put(env, object, "isStream", boolean(env, op->type == SOCK_STREAM));
  put(env, object, "isNonBlocking", boolean(env, op->nonblocking));
  napi_value address;
  void *unused;
  napi_create_buffer_copy(env, op->address_length, &op->address, &unused, &address);
  put(env, object, "address", address);
}

static void call_js(napi_env env, napi_value callback, void *context, void *data) {
  (void)context;
  struct event *event = data;
  if (env) {
    napi_value object, undefined;
    napi_create_object(env, &object);
    napi_get_undefined(env, &undefined);
    put(env, object, "token", number(env, (double)event->token));
    switch (event->kind) {
      case EVENT_OP:
        describe_op(env, object, event);
        break;
      case EVENT_END:
        put(env, object, "kind", text(env, "end"));
        break;
      case EVENT_RELAYED:
        put(env, object, "kind", text(env, "relayed"));
        put(env, object, "port", number(env, event->port));
        put(env, object, "errno", number(env, event->error));
        break;
      case EVENT_PROGRAM:
        put(env, object, "kind", text(env, "program"));
        put(env, object, "tgid", number(env, event->op.tgid));
        put(env, object, "executable", text(env, event->text));
        put(env, object, "isSkipped", boolean(env, event->error));
        break;
    }
    napi_call_function(env, undefined, callback, 1, &object, NULL);
  }
  free(event->text);
  free(event);
}

/* ---- starting ---- */

/* start(callback) -> the port of connects in progress, 0 where the kernel cannot do them. Once. */
static napi_value start(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  napi_create_threadsafe_function(env, call.arguments[0], NULL, text(env, "inpod-tap"), 0, 1, NULL, NULL,
                                  NULL, call_js, &to_js);
  op_start_sweeper();
  sockets_start_waiter();
  return number(env, connect_prepare());
}

/* unref(): the event loop may end although the tap is there. */
static napi_value unref(napi_env env, napi_callback_info info) {
  (void)info;
  napi_unref_threadsafe_function(env, to_js);
  return NULL;
}

/* socketPair() -> [fd, fd], both CLOEXEC. */
static napi_value socket_pair(napi_env env, napi_callback_info info) {
  (void)info;
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return number(env, -errno);
  napi_value result;
  napi_create_array(env, &result);
  napi_set_element(env, result, 0, number(env, fds[0]));
  napi_set_element(env, result, 1, number(env, fds[1]));
  return result;
}

/* receiveListener(fd) -> listener fd, or -errno (the launcher's own, if it says why). Does not block: EAGAIN. */
static napi_value receive_listener(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  char space[CMSG_SPACE(sizeof(int))], byte[32] = {0};
  struct iovec io = {byte, sizeof byte - 1};
  struct msghdr message = {
      .msg_iov = &io, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  ssize_t got = recvmsg(int_of(&call, 0), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) return number(env, -errno);
  if (got == 0) return number(env, -EPIPE);
  if (byte[0] == 'E') return number(env, -atoi(byte + 1));
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  int fd = -EPROTO;
  if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
    memcpy(&fd, CMSG_DATA(head), sizeof fd);
  return number(env, fd);
}

/* receive(listener, threads) -> 0 or -errno */
static napi_value receive_js(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, receive_start(int_of(&call, 0), int_of(&call, 1)));
}

/* writeByte(fd) -> 0 or -errno */
static napi_value write_byte(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, write(int_of(&call, 0), "k", 1) == 1 ? 0 : -errno);
}
static napi_value close_js(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, close(int_of(&call, 0)) ? -errno : 0);
}

/* ---- tables ---- */

/* setPathRules([{match, operations, verdict, text}]): replaces them. */
static napi_value set_path_rules(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  uint32_t count = 0;
  napi_get_array_length(env, call.arguments[0], &count);
  struct path_rule **rules = calloc(count + 1, sizeof *rules);
  for (uint32_t i = 0; rules && i < count; i++) {
    napi_value entry, field;
    int32_t match = 0, operations = 0, verdict = 0;
    size_t length = 0;
    napi_get_element(env, call.arguments[0], i, &entry);
    napi_get_named_property(env, entry, "match", &field);
    napi_get_value_int32(env, field, &match);
    napi_get_named_property(env, entry, "operations", &field);
    napi_get_value_int32(env, field, &operations);
    napi_get_named_property(env, entry, "verdict", &field);
    napi_get_value_int32(env, field, &verdict);
    napi_get_named_property(env, entry, "text", &field);
    napi_get_value_string_latin1(env, field, NULL, 0, &length);
    rules[i] = malloc(sizeof **rules + length + 1);
    if (!rules[i]) abort();
    rules[i]->match = (enum path_match)match;
    rules[i]->operations = operations;
    rules[i]->verdict = (enum path_verdict)verdict;
    rules[i]->length = length;
    napi_get_value_string_latin1(env, field, rules[i]->text, length + 1, &length);
  }
  paths_set_rules(rules, count);
  return NULL;
}

/* matchPath(path, operation) -> [verdict, index of the rule]: the C matcher, for tests against the TypeScript one. */
static napi_value match_path(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  char path[4097];
  size_t length = 0;
  int rule;
  napi_get_value_string_latin1(env, call.arguments[0], path, sizeof path, &length);
  enum path_verdict verdict = paths_match(path, length, int_of(&call, 1), &rule);
  napi_value result;
  napi_create_array(env, &result);
  napi_set_element(env, result, 0, number(env, verdict));
  napi_set_element(env, result, 1, number(env, rule));
  return result;
}

/* setSkips([name]): executables left alone. */
static napi_value set_skips(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  uint32_t count = 0;
  napi_get_array_length(env, call.arguments[0], &count);
  char **names = calloc(count + 1, sizeof *names);
  for (uint32_t i = 0; names && i < count; i++) {
    napi_value entry;
    char name[256];
    size_t length = 0;
    napi_get_element(env, call.arguments[0], i, &entry);
    napi_get_value_string_latin1(env, entry, name, sizeof name, &length);
    names[i] = strdup(name);
  }
  process_set_skips(names, count); /* set once: the old array is never freed while receivers read it */
  return NULL;
}

static napi_value set_native_port(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  sockets_set_native_port((uint16_t)int_of(&call, 0), bool_of(&call, 1));
  return NULL;
}
static napi_value set_relay_port(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  sockets_set_relay((uint16_t)int_of(&call, 0));
  return NULL;
}
static napi_value hide_nscd(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  sockets_hide_nscd(bool_of(&call, 0));
  return NULL;
}
static napi_value set_hostname(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  char name[65];
  size_t length;
  napi_get_value_string_latin1(env, call.arguments[0], name, sizeof name, &length);
  uname_set(name);
  return NULL;
}

/* setName(table, port, local, peer): null, null removes. */
static napi_value set_name(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct name name;
  bool has_local = address_of(&call, 2, &name.local), has_peer = address_of(&call, 3, &name.peer);
  names_lock();
  names_set_locked((enum name_table)int_of(&call, 0), (uint16_t)int_of(&call, 1),
                   has_local || has_peer ? &name : NULL);
  names_unlock();
  return NULL;
}

/* ---- answers: each takes a token; stale ones are ignored (-ESRCH) ---- */

static napi_value gone(napi_env env) { return number(env, -ESRCH); }

/* reply(token, value, errno) */
static napi_value reply(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  return number(env, op_reply(op, (int64_t)number_of(&call, 1), int_of(&call, 2)));
}
static napi_value continue_js(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  return op ? number(env, op_continue(op)) : gone(env);
}

/* replyStat(token, BigUint64Array of STAT_FIELDS) */
static napi_value reply_stat(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  void *data = NULL;
  size_t length = 0;
  napi_get_typedarray_info(env, call.arguments[1], NULL, &length, &data, NULL, NULL);
  struct op *op = length == STAT_FIELDS ? op_claim(token_of(&call)) : NULL;
  if (!op) return gone(env);
  answer_stat(op, data);
  return number(env, 0);
}

static napi_value reply_readlink(napi_env env, napi_callback_info info) {
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
static napi_value reply_file(napi_env env, napi_callback_info info) {
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
static napi_value bind_socket(napi_env env, napi_callback_info info) {
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
static napi_value reply_bound(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op *op = op_claim(token_of(&call));
  if (!op) return gone(env);
  struct cookie_entry entry = {.bound = true};
  address_of(&call, 1, &entry.requested);
  cookie_update(op->cookie, &entry);
  return number(env, op_reply(op, 0, 0));
}

/* listenSocket(token) -> 0 or -errno: listens with the program's own backlog; the answer is still to come. */
static napi_value listen_socket(napi_env env, napi_callback_info info) {
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
static napi_value reply_relayed(napi_env env, napi_callback_info info) {
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
static napi_value reply_pending(napi_env env, napi_callback_info info) {
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
static napi_value complete_pending(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, connect_complete((uint16_t)int_of(&call, 0), bool_of(&call, 1)));
}

/* failPending(tgid, fd, cookie, userPort, isIPv6Only, errno) */
static napi_value fail_pending(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  connect_fail((pid_t)int_of(&call, 0), int_of(&call, 1), (uint64_t)number_of(&call, 2),
               (uint16_t)int_of(&call, 3), bool_of(&call, 4), int_of(&call, 5));
  return NULL;
}

/* replyConnectedDatagram(token, port): UDP connect to our relay socket. */
static napi_value reply_connected_datagram(napi_env env, napi_callback_info info) {
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
static napi_value reply_sent_to(napi_env env, napi_callback_info info) {
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
static napi_value connect_to_user(napi_env env, napi_callback_info info) {
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

/* ---- the process tree ---- */

/* adoptOrphans(): processes whose parent ends become ours, so that they stay in sight. */
static napi_value adopt_orphans(napi_env env, napi_callback_info info) {
  (void)info;
  return number(env, prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) ? -errno : 0);
}

/* reapOrphan(own pids) -> pid that was reaped, 0: none. Never takes what libuv waits for (it never uses -1). */
static napi_value reap_orphan(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  siginfo_t ended = {0};
  if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0) return number(env, 0);
  uint32_t count = 0;
  napi_get_array_length(env, call.arguments[0], &count);
  for (uint32_t i = 0; i < count; i++) {
    napi_value entry;
    int32_t own = 0;
    napi_get_element(env, call.arguments[0], i, &entry);
    napi_get_value_int32(env, entry, &own);
    if (own == ended.si_pid) return number(env, 0);
  }
  if (waitid(P_PID, (id_t)ended.si_pid, &ended, WEXITED | WNOHANG) != 0) return number(env, 0);
  return number(env, ended.si_pid);
}

/* raiseFileLimit() -> the soft limit before */
static napi_value raise_file_limit(napi_env env, napi_callback_info info) {
  (void)info;
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return number(env, 0);
  double before = (double)files.rlim_cur;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  return number(env, before);
}

/* probeGetFd() -> 0, or -errno: EPERM where a seccomp profile refuses pidfd_getfd (Docker's default does) */
static napi_value probe_get_fd(napi_env env, napi_callback_info info) {
  (void)info;
  int self = (int)syscall(__NR_pidfd_open, getpid(), 0);
  if (self < 0) return number(env, -errno);
  int copy = (int)syscall(__NR_pidfd_getfd, self, self, 0), error = errno;
  close(self);
  if (copy < 0) return number(env, -error);
  close(copy);
  return number(env, 0);
}

static napi_value statistics_js(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value object;
  napi_create_object(env, &object);
  put(env, object, "received", number(env, (double)statistics.received));
  put(env, object, "continued", number(env, (double)statistics.continued));
  put(env, object, "joined", number(env, (double)statistics.joined));
  return object;
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback function;
  } functions[] = {
      {"start", start},
      {"unref", unref},
      {"socketPair", socket_pair},
      {"receiveListener", receive_listener},
      {"receive", receive_js},
      {"writeByte", write_byte},
      {"close", close_js},
      {"setPathRules", set_path_rules},
      {"matchPath", match_path},
      {"setSkips", set_skips},
      {"setNativePort", set_native_port},
      {"setRelayPort", set_relay_port},
      {"hideNscd", hide_nscd},
      {"setHostname", set_hostname},
      {"setName", set_name},
      {"reply", reply},
      {"continue", continue_js},
      {"replyStat", reply_stat},
      {"replyReadlink", reply_readlink},
      {"replyFile", reply_file},
      {"bindSocket", bind_socket},
      {"replyBound", reply_bound},
      {"listenSocket", listen_socket},
      {"replyRelayed", reply_relayed},
      {"replyPending", reply_pending},
      {"completePending", complete_pending},
      {"failPending", fail_pending},
      {"replyConnectedDatagram", reply_connected_datagram},
      {"replySentTo", reply_sent_to},
      {"connectToUser", connect_to_user},
      {"adoptOrphans", adopt_orphans},
      {"reapOrphan", reap_orphan},
      {"raiseFileLimit", raise_file_limit},
      {"probeGetFd", probe_get_fd},
      {"statistics", statistics_js},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  return exports;
}
