/* Who asks what became of a connect in progress, and what is said: the agent's verdict, by its own errno. */
#include "tap.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  COMPLETION_MS = 5000, /* over loopback: microseconds, unless the machine stands still */
  VERDICT_MS = 135000,  /* as long as a connect may take (sockets.c) */
  VERDICT_POLL_MS = 2,
};

int same_socket(pid_t tgid, int fd, uint64_t cookie) {
  uint64_t found = 0;
  socklen_t length = sizeof found;
  int copy = process_get_fd(tgid, fd);
  if (copy >= 0 && getsockopt(copy, SOL_SOCKET, SO_COOKIE, &found, &length) == 0 && found == cookie) return copy;
  if (copy >= 0) close(copy);
  return -1;
}

/* Pool thread: a blocking connect whose other end is on its way. */
static void tell_connected(void *argument) {
  struct op *op = argument;
  uint64_t token = op_token(op);
  int error = 0;
  int copy = same_socket(op->tgid, (int)op->args[0], op->cookie);
  if (copy >= 0) {
    struct pollfd waiting = {copy, POLLOUT, 0};
    poll_again(&waiting, COMPLETION_MS);
  }
  /*
   * The kernel marks a socket as connected when connect(2) says so, and until then the next connect(2) is 0 and not
   * EISCONN. To a program that a signal has taken away nobody has said so: its next one is not to be taken for this one.
   */
  if (!op_drop_unawaited(op)) {
    if (copy >= 0) {
      error = -connect_pending(op, copy);
      op->keep_result = true; /* a signal may take it away now, and the next connect(2) would be EISCONN */
    }
    connect_answer(op, copy, error);
  }
  emit_relayed(token, 0, 0);
  if (copy >= 0) close(copy);
}

void verdict_connected(struct op *op) { pool_run(tell_connected, op); }

/* A socket is made to have failed in several steps, and nobody is told in the middle of them. */
static pthread_mutex_t failing = PTHREAD_MUTEX_INITIALIZER;

struct failure {
  struct op *op; /* the blocking connect (claimed), or NULL */
  uint64_t cookie;
  pid_t tgid;
  int fd, error;
  uint16_t user_port;
  bool v6only;
};

static void make_failed(const struct failure *failure) {
  struct cookie_entry entry = {0};
  struct op *op = failure->op;
  uint64_t cookie = failure->cookie;
  cookie_get(cookie, &entry);
  entry.pending = entry.failed = true;
  entry.error = failure->error;
  int copy = same_socket(failure->tgid, failure->fd, cookie);
  /*
   * Let go before anybody is woken: the program's next connect(2) would be taken for the interrupted one, and be told what
   * SO_ERROR then tells once more. It is answered by ask_again(), as the interrupted one is when the kernel makes it again.
   */
  bool is_waiting = op && !op_drop_unawaited(op);
  pthread_mutex_lock(&failing);
  cookie_update(cookie, &entry);
  if (copy < 0) connect_reset(failure->user_port, failure->v6only); /* moved by dup2, or closed */
  else if (is_waiting) connect_give_up(copy);
  else connect_refuse(copy, failure->v6only);
  pthread_mutex_unlock(&failing);
  if (is_waiting) {
    /* The call itself tells it, so nobody else may. */
    cookie_settle(cookie);
    if (copy >= 0) socket_option(copy, SOL_SOCKET, SO_ERROR); /* reading takes the kernel's own (ECONNRESET) away */
  }
  if (is_waiting && op_reply(op, 0, failure->error) == -ENOENT) {
    pthread_mutex_lock(&failing);
    cookie_update(cookie, &entry);
    if (copy >= 0) connect_refuse(copy, failure->v6only);
    pthread_mutex_unlock(&failing);
  }
  if (copy >= 0) close(copy);
}

static void fail_now(void *argument) {
  make_failed(argument);
  free(argument);
}

/*
 * By a thread that has slept: what wakes the program in the middle rarely puts that one aside for it, but the busy one of
 * JavaScript most of the time.
 */
void verdict_failed(struct op *op, pid_t tgid, int fd, uint64_t cookie, uint16_t user_port, bool v6only, int error) {
  struct failure failure = {op, cookie, tgid, fd, error, user_port, v6only}, *copy = malloc(sizeof *copy);
  if (!copy) {
    make_failed(&failure);
    return;
  }
  *copy = failure;
  pool_run(fail_now, copy);
}

/*
 * connect(2) on a socket in progress: EALREADY, or its end; 0 the first time after success, EISCONN then. After a
 * failure that SO_ERROR has told it is ECONNABORTED once.
 */
static int ask_again(struct op *op) {
  struct cookie_entry entry;
  if (!cookie_get(op->cookie, &entry)) return connect_pending(op, op->socket);
  int error = entry.error;
  if (!error && entry.failed) error = ECONNABORTED;
  if (!error) return connect_pending(op, op->socket);
  kept_acting(op, 0, error);
  cookie_settle(op->cookie);
  pthread_mutex_lock(&failing);
  connect_give_up(op->socket); /* as connect(2) itself does with one that has failed */
  socket_option(op->socket, SOL_SOCKET, SO_ERROR);
  pthread_mutex_unlock(&failing);
  return -error;
}

void verdict_deliver(void *argument) {
  struct op *op = argument;
  int result = ask_again(op);
  if (result == -EOPNOTSUPP) result = -EISCONN; /* net.ipv4.tcp_fastopen is 0: only a socket that is connected comes here */
  if (result == -EINPROGRESS) {
    /* It was not in progress any more: given up with connect(AF_UNSPEC), or timed out. This one is a first one. */
    connect_give_up(op->socket);
    socket_option(op->socket, SOL_SOCKET, SO_ERROR);
    cookie_settle(op->cookie);
    kept_undone(op);
    op->local.ss_family = 0;
    connect_ask(op);
    return;
  }
  if (result != -EALREADY || op->nonblocking) {
    connect_answer(op, op->socket, -result);
    return;
  }
  int64_t timeout = wait_timeout_ms(op->socket, SO_SNDTIMEO);
  if (timeout && !op->deadline_ns) op_set_deadline(op, timeout, EALREADY);
  wait_for(op, EPOLLOUT);
}

/* May block. SO_ERROR of a failed one: the agent's errno in place of the kernel's own. */
static void tell_error(void *argument) {
  struct op *op = argument;
  struct cookie_entry entry;
  int error = cookie_get(op->cookie, &entry) ? entry.error : 0;
  int32_t room = 0, length = sizeof error;
  int failed = memory_read(op->tid, op->args[4], &room, sizeof room) == sizeof room ? 0 : -EFAULT;
  if (!failed && room < length) length = room < 0 ? 0 : room;
  if (!failed) failed = op_tell(op, op->args[3], &error, (size_t)length);
  if (!failed) failed = op_tell(op, op->args[4], &length, sizeof length);
  kept_acting(op, 0, -failed);
  if (error) {
    entry.error = 0;
    cookie_update(op->cookie, &entry);
  }
  pthread_mutex_lock(&failing);
  socket_option(op->socket, SOL_SOCKET, SO_ERROR); /* reading takes the kernel's own (ECONNREFUSED) away */
  pthread_mutex_unlock(&failing);
  op_reply(op, 0, -failed);
}

/*
 * A signal can take a program out of connect(2) before its socket is in progress, and poll(2) says at once that such a
 * socket is writable, as of one that is not connected. What it asks then is answered when there is a verdict.
 */
static void wait_for_verdict(void *argument) {
  struct op *op = argument;
  struct timespec tick = {0, VERDICT_POLL_MS * 1000000L};
  int64_t until = now_ns() + (int64_t)VERDICT_MS * 1000000;
  while (op_connects_unawaited(op->cookie) && now_ns() < until) {
    if (op_drop_unawaited(op) || op_gives_way(op)) return;
    nanosleep(&tick, NULL);
  }
  struct cookie_entry entry;
  if (cookie_get(op->cookie, &entry) && entry.error) tell_error(op);
  else op_continue(op);
}

/* Nothing of it is ours to tell, as of nearly all: the kernel's own is the true one. */
bool socket_error_begin(int listener, const struct seccomp_notif *notif, pid_t tgid, int *socket) {
  if (op_is_held_of((pid_t)notif->pid)) return false; /* it may be this call, made again */
  struct cookie_entry entry;
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  int fd = *socket = process_get_fd(tgid, (int)notif->data.args[0]);
  bool is_known = fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0;
  if (is_known && ((cookie_get(cookie, &entry) && entry.error) || op_connects_unawaited(cookie))) return false;
  notification_let_go(listener, notif->id);
  if (fd >= 0) close(fd);
  return true;
}

bool handle_socket_error(struct op *op) {
  struct cookie_entry entry;
  if (socket_describe(op, (int)op->args[0]) != 0 || !socket_is_tcp(op)) return false;
  bool is_known = cookie_get(op->cookie, &entry);
  if (op_connects_unawaited(op->cookie)) {
    op->kind = OP_NATIVE;
    pool_run(wait_for_verdict, op);
    return true;
  }
  if (!is_known || !entry.error) return false;
  op->keep_result = true; /* it is told once */
  receive_run(tell_error, op);
  return true;
}
