/* What TypeScript is told, from whichever thread knows it. */
#include "surface.h"
#include "paths.h"
#include <stdlib.h>
#include <sys/syscall.h>

napi_threadsafe_function to_js;

enum event_kind { EVENT_OP, EVENT_END, EVENT_RELAYED, EVENT_PROGRAM, EVENT_REFUSED, EVENT_DECIDED, EVENT_CONNECT_DECIDED, EVENT_ACCEPTED, EVENT_LIMITED, EVENT_VISITOR };
struct event {
  enum event_kind kind;
  uint64_t token;
  struct op op; /* a copy; only plain fields are used */
  char *text;
  const char *what, *why; /* constants */
  uint16_t port;
  int error;
  bool is_below_remote, is_second_below_remote;
  char *second_text;
  int64_t took_ns;
  int result;
  int second_rule;
};

static void emit(struct event *event) {
  if (!to_js || napi_call_threadsafe_function(to_js, event, napi_tsfn_nonblocking) != napi_ok) {
    free(event->text);
    free(event->second_text);
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
  if (op->work) {
    event->is_below_remote = op->work->place.below_remote;
    event->is_second_below_remote = op->work->second.below_remote;
    event->second_rule = op->work->second.rule;
    if (op->second_path) event->second_text = strdup(op->second_path);
  }
  event->token = op_unclaim(op);
  emit(event);
}
void emit_end(int listener) {
  struct event *event = event_new(EVENT_END);
  event->op.listener = listener;
  emit(event);
}
void emit_visitor(int fd, pid_t pid, uid_t uid) {
  struct event *event = event_new(EVENT_VISITOR);
  event->op.listener = fd;
  event->op.tgid = pid;
  event->op.value = uid;
  emit(event);
}
void emit_relayed(uint64_t token, uint16_t local_port, int error) {
  struct event *event = event_new(EVENT_RELAYED);
  event->token = token;
  event->port = local_port;
  event->error = error;
  emit(event);
}
void emit_accepted(uint64_t token, int fd) {
  struct event *event = event_new(EVENT_ACCEPTED);
  event->token = token;
  event->error = fd;
  emit(event);
}
void emit_program(pid_t tgid, const char *executable, bool skipped) {
  struct event *event = event_new(EVENT_PROGRAM);
  event->op.tgid = tgid;
  event->error = skipped;
  event->text = strdup(executable);
  emit(event);
}

void emit_limited(pid_t tgid, const char *program, const char *why) {
  struct event *event = event_new(EVENT_LIMITED);
  event->op.tgid = tgid;
  event->text = strdup(program);
  event->why = why;
  emit(event);
}

/*
 * More than this are not under way at once: what is told must not hold up what is done. Where every call is wanted a
 * burst may take JavaScript some 50 ms.
 */
enum { MAX_DECIDED_EVENTS = 256, MAX_TRACED_EVENTS = 16384 };
static int decided_events;
static uint64_t untold;

uint64_t events_untold(void) { return __atomic_load_n(&untold, __ATOMIC_RELAXED); }

static struct event *decided_new(enum event_kind kind, bool is_traced) {
  int most = is_traced ? MAX_TRACED_EVENTS : MAX_DECIDED_EVENTS;
  if (__atomic_add_fetch(&decided_events, 1, __ATOMIC_RELAXED) <= most) return event_new(kind);
  __atomic_sub_fetch(&decided_events, 1, __ATOMIC_RELAXED);
  __atomic_add_fetch(&untold, 1, __ATOMIC_RELAXED);
  return NULL;
}

void emit_connect_decided(const struct op *op, int result) {
  struct event *event = decided_new(EVENT_CONNECT_DECIDED, true);
  if (!event) return;
  event->op = *op;
  event->result = result;
  emit(event);
}

void emit_decided(const struct path_work *work, const struct place *place, bool fell_back, int result) {
  struct event *event = decided_new(EVENT_DECIDED, work->began_ns != 0);
  if (!event) return;
  event->token = work->token;
  event->op.operation = place == &work->second ? PATH_WRITE : work->operation;
  event->took_ns = work->began_ns ? now_ns() - work->began_ns : 0;
  event->result = result;
  event->op.nr = work->nr;
  event->op.tgid = work->tgid;
  event->op.rule = place->rule;
  event->op.flags = place->verdict;
  event->error = fell_back;
  event->text = strdup(place->path);
  emit(event);
}

/* By enum path_verdict; TypeScript decides in place of VERDICT_ASK. */
static const char *const verdict_names[] = {"local", "ask", "not-found", "remote", "read-only"};

static const char *const op_names[] = {"", "connect", "bind", "listen", "sendto", "path", ""};

static int access_mode(const struct op *op) {
#if defined(__x86_64__)
  if (op->nr == __NR_access) return (int)op->args[1];
#endif
  return (int)op->args[2];
}

void emit_refused(pid_t tgid, const char *call, const char *path, const char *why) {
  struct event *event = event_new(EVENT_REFUSED);
  event->op.tgid = tgid;
  event->text = strdup(path);
  event->what = call;
  event->why = why;
  emit(event);
}

static napi_value describe_second(napi_env env, const struct event *event) {
  napi_value second;
  napi_create_object(env, &second);
  put(env, second, "path", text(env, event->second_text));
  put(env, second, "rule", number(env, event->second_rule));
  put(env, second, "isBelowRemote", boolean(env, event->is_second_below_remote));
  return second;
}

static napi_value bytes(napi_env env, const void *from, size_t length) {
  napi_value buffer;
  void *unused;
  napi_create_buffer_copy(env, length, from, &unused, &buffer);
  return buffer;
}

static void describe_op(napi_env env, napi_value object, const struct event *event) {
  const struct op *op = &event->op;
  put(env, object, "kind", text(env, op_names[op->kind]));
  put(env, object, "tgid", number(env, op->tgid));
  if (op->kind == OP_PATH) {
    put(env, object, "call", text(env, call_of_number(op->nr)->name));
    put(env, object, "path", text(env, event->text ? event->text : ""));
    put(env, object, "flags", number(env, op->flags));
    put(env, object, "mode", number(env, access_mode(op)));
    put(env, object, "operation", number(env, op->operation));
    put(env, object, "rule", number(env, op->rule));
    put(env, object, "isBelowRemote", boolean(env, event->is_below_remote));
    if (event->second_text) put(env, object, "second", describe_second(env, event));
    return;
  }
  put(env, object, "fd", number(env, (int)op->args[0]));
  put(env, object, "cookie", number(env, (double)op->cookie));
  put(env, object, "isUnix", boolean(env, op->domain == AF_UNIX));
  put(env, object, "isIPv6", boolean(env, op->domain == AF_INET6));
  put(env, object, "isIPv6Only", boolean(env, op->v6only));
  put(env, object, "isStream", boolean(env, op->type == SOCK_STREAM));
  put(env, object, "isNonBlocking", boolean(env, op->nonblocking));
  /* A simultaneous open is for plain TCP only. */
  bool can = op->type == SOCK_STREAM && op->protocol == IPPROTO_TCP && connect_full_port();
  put(env, object, "canBePending", boolean(env, can && (op->nonblocking || connect_starts_blocking())));
  put(env, object, "address", bytes(env, &op->address, op->address_length));
  if (op->kind == OP_CONNECT) put(env, object, "local", bytes(env, &op->local, sizeof op->local));
}

void call_js(napi_env env, napi_value callback, void *context, void *data) {
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
        put(env, object, "listener", number(env, event->op.listener));
        break;
      case EVENT_VISITOR:
        put(env, object, "kind", text(env, "visitor"));
        put(env, object, "fd", number(env, event->op.listener));
        put(env, object, "pid", number(env, event->op.tgid));
        put(env, object, "uid", number(env, (double)event->op.value));
        break;
      case EVENT_RELAYED:
        put(env, object, "kind", text(env, "relayed"));
        put(env, object, "port", number(env, event->port));
        put(env, object, "errno", number(env, event->error));
        break;
      case EVENT_ACCEPTED:
        put(env, object, "kind", text(env, "accepted"));
        put(env, object, "fd", number(env, event->error));
        break;
      case EVENT_REFUSED:
        put(env, object, "kind", text(env, "refused"));
        put(env, object, "tgid", number(env, event->op.tgid));
        put(env, object, "call", text(env, event->what));
        put(env, object, "path", text(env, event->text));
        put(env, object, "why", text(env, event->why));
        break;
      case EVENT_CONNECT_DECIDED:
        __atomic_sub_fetch(&decided_events, 1, __ATOMIC_RELAXED);
        put(env, object, "kind", text(env, "decided-connect"));
        put(env, object, "tgid", number(env, event->op.tgid));
        put(env, object, "address", bytes(env, &event->op.address, event->op.address_length));
        put(env, object, "result", number(env, event->result));
        break;
      case EVENT_LIMITED:
        put(env, object, "kind", text(env, "limited"));
        put(env, object, "program", text(env, event->text));
        put(env, object, "why", text(env, event->why));
        break;
      case EVENT_PROGRAM:
        put(env, object, "kind", text(env, "program"));
        put(env, object, "tgid", number(env, event->op.tgid));
        put(env, object, "executable", text(env, event->text));
        put(env, object, "isSkipped", boolean(env, event->error));
        break;
      case EVENT_DECIDED:
        __atomic_sub_fetch(&decided_events, 1, __ATOMIC_RELAXED);
        put(env, object, "kind", text(env, "decided"));
        put(env, object, "tgid", number(env, event->op.tgid));
        put(env, object, "operation", number(env, event->op.operation));
        put(env, object, "result", number(env, event->result));
        put(env, object, "tookMs", number(env, (double)event->took_ns / 1e6));
        put(env, object, "call", text(env, call_of_number(event->op.nr)->name));
        put(env, object, "path", text(env, event->text));
        put(env, object, "rule", number(env, event->op.rule));
        put(env, object, "verdict", text(env, verdict_names[event->op.flags]));
        put(env, object, "isFallback", boolean(env, event->error));
        break;
    }
    napi_call_function(env, undefined, callback, 1, &object, NULL);
  }
  free(event->text);
  free(event->second_text);
  free(event);
}
