#include "compat.h"
#include "listener.h"
#include "paths.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
  BUCKETS = 1024,
  SWEEP_MS = 50,
  SLOW_MS = 500, /* a sweep that comes so late says that we did not run */
  KEEP_MS = 5000, /* how long the answer of an interrupted call waits for its restart */
  AT_ONCE_MS = 4, /* what is over sooner is not looked at */
  UNDECIDED_MS = 200, /* a connect, before it is in progress */
  PATIENCE_MS = 1000,
};

static struct op *slots[KEPT_CALLS];
static int free_slots[KEPT_CALLS], free_count = -1;
static struct op *buckets[BUCKETS];
static int held_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t some_held = PTHREAD_COND_INITIALIZER, answered = PTHREAD_COND_INITIALIZER;

int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

enum { ERESTARTSYS = 512 }; /* the kernel's own: it makes the call again, or says EINTR, as the handler wants it */

/* sock_intr_errno() in Linux' sock.h: a call with a timeout of its own is not made again. */
static int interruption(const struct op *op) {
  bool has_timeout = op->waiting ? op->deadline_ns != 0 : op->kind == OP_CONNECT && op->default_error == EINPROGRESS;
  return has_timeout ? EINTR : ERESTARTSYS;
}

uint64_t op_token(const struct op *op) { return (uint64_t)op->generation * KEPT_CALLS + op->slot; }

static unsigned bucket_of(pid_t tid) { return (unsigned)tid % BUCKETS; }

static void release_socket(struct op *op) {
  /* epoll forgets a descriptor only with its last duplicate, and the process has one. */
  if (op->watched) wait_forget(op->socket);
  if (op->socket >= 0) close(op->socket);
  op->watched = false;
  op->socket = -1;
}

static void release_locked(struct op *op) {
  kept_release(op);
  struct op **link = &buckets[bucket_of(op->tid)];
  while (*link && *link != op) link = &(*link)->next;
  if (*link) *link = op->next;
  if (op->answering) pthread_cond_broadcast(&answered);
  release_socket(op);
  if (op->kept_fd >= 0) close(op->kept_fd);
  if (op->work) places_free(op->work);
  free(op->work);
  free(op->path);
  free(op->second_path);
  free(op->payload);
  told_free(op->told);
  uint32_t slot = op->slot, generation = op->generation;
  memset(op, 0, sizeof *op);
  op->slot = slot;
  op->generation = generation + 1;
  op->socket = op->kept_fd = -1;
  free_slots[free_count++] = (int)slot;
  held_count--;
}

/* The op of the same call, or NULL. Paths: of a path call, what the pointers in `args` pointed at. */
static struct op *same_locked(const struct seccomp_notif *notif, int listener, const char *path, const char *second) {
  struct op *op = buckets[bucket_of((pid_t)notif->pid)];
  while (op && !op_is_made_again(op, notif, listener, path, second)) op = op->next;
  return op;
}

static void rename_locked(struct op *op, uint64_t id) {
  op->id = id;
  op->since_ns = now_ns();
  op->is_left = op->was_given = false;
  op->has_joined = true;
  kept_rename(op);
}

/*
 * A signal cancels a notification; when the handler returns, the kernel makes the same call again as a new
 * one. It joins the op that is still in flight (or finished unheard), else an interval timer shorter than
 * a connect would start a new connection for ever.
 */
static bool join_locked(const struct seccomp_notif *notif, int listener, const char *path, const char *second,
                        struct op **again) {
  struct op *op = same_locked(notif, listener, path, second);
  /*
   * While the op is being answered nobody knows yet which it is: the same call again because the answer came
   * too late, or the program's next one with the same arguments because it has the answer already.
   */
  while (op && op->answering) {
    pthread_cond_wait(&answered, &mutex);
    op = same_locked(notif, listener, path, second);
  }
  /*
   * This thread may not have run since it received the notification, and the call may have been restarted, and answered,
   * meanwhile. From here on a restarted one finds the op.
   */
  if (!notification_is_valid(listener, notif->id)) {
    statistics_count(&statistics.cancelled);
    return true;
  }
  if (!op) return false;
  if (op->waiting && !op->claimed && !op->finished) {
    /* A wait has done nothing yet; begun anew it sees a timeout or mode that was changed since. */
    statistics_count(&statistics.cancelled);
    release_locked(op);
    return false;
  }
  statistics_count(&statistics.joined);
  if (!op->finished) {
    statistics_count(&statistics.cancelled); /* the notification that it had */
    rename_locked(op, notif->id);
    return true;
  }
  if (op->told) {
    op->finished = false;
    op->claimed = true;
    rename_locked(op, notif->id);
    *again = op;
    return true;
  }
  int given = op->kept_fd < 0 ? -op->error : given_as_answer(op, notif->id, op->kept_fd, op->kept_cloexec);
  /* EMFILE: the program has no number left for it */
  if (op->kept_fd < 0 || (given < 0 && given != -ENOENT))
    given = notification_reply(listener, notif->id, op->value, -given);
  if (given != -ENOENT) {
    release_locked(op);
    return true;
  }
  op->deadline_ns = now_ns() + (int64_t)KEEP_MS * 1000000; /* taken away again */
  if (op->is_given && op->kept_fd >= 0) {
    close(op->kept_fd);
    op->kept_fd = -1;
  }
  return true;
}

struct op *op_new(int listener, const struct seccomp_notif *notif, pid_t tgid, const char *path, const char *second,
                  bool *joined) {
  struct op *op = NULL, *again = NULL;
  *joined = false;
  pthread_mutex_lock(&mutex);
  if (free_count < 0)
    for (free_count = 0; free_count < KEPT_CALLS; free_count++) free_slots[free_count] = KEPT_CALLS - 1 - free_count;
  if (join_locked(notif, listener, path, second, &again)) {
    *joined = true;
  } else if (free_count > 0) {
    int slot = free_slots[--free_count];
    if (!slots[slot]) {
      slots[slot] = calloc(1, sizeof **slots);
      if (!slots[slot]) abort();
      slots[slot]->slot = (uint32_t)slot;
      slots[slot]->generation = 1;
    }
    op = slots[slot];
    op->held = op->claimed = true;
    op->id = notif->id;
    op->since_ns = now_ns();
    op->listener = listener;
    op->tid = (pid_t)notif->pid;
    op->tgid = tgid;
    op->nr = notif->data.nr;
    memcpy(op->args, notif->data.args, sizeof op->args);
    op->compat = !compat_is_native(notif);
    kept_hold(op);
    op->socket = op->kept_fd = -1;
    op->next = buckets[bucket_of(op->tid)];
    buckets[bucket_of(op->tid)] = op;
    if (held_count++ == 0) pthread_cond_broadcast(&some_held);
  }
  pthread_mutex_unlock(&mutex);
  if (again) receive_run(op_tell_again, again);
  return op;
}

bool op_is_held_of(pid_t tid) {
  pthread_mutex_lock(&mutex);
  struct op *op = buckets[bucket_of(tid)];
  while (op && op->tid != tid) op = op->next;
  pthread_mutex_unlock(&mutex);
  return op != NULL;
}

struct op *op_claim(uint64_t token) {
  pthread_mutex_lock(&mutex);
  struct op *op = slots[token % KEPT_CALLS];
  if (op && op->held && !op->claimed && !op->finished && op->generation == token / KEPT_CALLS) op->claimed = true;
  else op = NULL;
  pthread_mutex_unlock(&mutex);
  return op;
}

uint64_t op_unclaim(struct op *op) {
  pthread_mutex_lock(&mutex);
  uint64_t token = op_token(op);
  op->claimed = false;
  pthread_mutex_unlock(&mutex);
  return token;
}

/*
 * Both under one lock. A token that is watched for before it is given back finds a claimed op; one that is given back before it
 * is watched for may be over by then, and its descriptor's number another socket's, whose waiting it would replace.
 */
void op_unclaim_to(struct op *op, int epoll, uint32_t events) {
  pthread_mutex_lock(&mutex);
  struct epoll_event event = {.events = events, .data.u64 = op_token(op)};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, op->socket, &event) != 0 && errno == EEXIST)
    epoll_ctl(epoll, EPOLL_CTL_MOD, op->socket, &event);
  op->claimed = false;
  pthread_mutex_unlock(&mutex);
}

/*
 * Before Linux 5.19, and where calls are interruptible, one moment remains in which an answer is lost although the kernel took
 * it: a signal has just ended the wait, and the thread has not run yet (seccomp_do_user_notification in Linux' seccomp.c).
 * It is as long as the machine lets the thread wait for a processor, and the restarted call is then a new one. Of most calls
 * that means the same; a connect that was made is EISCONN then, and a descriptor that was given (given.c) is there twice.
 * Nothing tells it from the program's own second call.
 */
enum how { REPLY, CONTINUE, INJECT, INJECT_OR_KEEP };

/* For the call that is made again. A listener of whoever is no more would keep its port bound. */
static void keep_locked(struct op *op) {
  if (op->is_given) release_socket(op);
  op->finished = true;
  op->claimed = op->answering = false;
  op->deadline_ns = now_ns() + (int64_t)KEEP_MS * 1000000;
  kept_unheard(op);
  pthread_cond_broadcast(&answered);
}

/* Answers whichever notification the call has by now: it may have been restarted since the op was made. */
static int answer(struct op *op, enum how how, int64_t value, int error, int fd, bool cloexec) {
  pthread_mutex_lock(&mutex);
  op->answering = true; /* from here on nobody joins, so the id stays */
  uint64_t id = op->id;
  pthread_mutex_unlock(&mutex);
  int result;
  int failed = op->has_joined ? told_write(op) : 0;
  if (failed) {
    value = 0;
    error = -failed;
  }
  if (how == REPLY) {
    result = notification_reply(op->listener, id, value, error);
  } else if (how == CONTINUE) {
    result = notification_continue(op->listener, id);
  } else {
    result = given_as_answer(op, id, fd, cloexec);
    /* EBADF, EMFILE: the program's own limit, or nothing that can be handed over */
    if (result < 0 && result != -ENOENT && how == INJECT_OR_KEEP) notification_reply(op->listener, id, 0, -result);
  }
  pthread_mutex_lock(&mutex);
  bool keeps = op->is_given || ((how == REPLY || how == INJECT_OR_KEEP) && op->keep_result);
  if (result == -ENOENT && keeps) {
    if (!op->is_given) {
      op->value = value;
      op->error = error;
    } else if (how != REPLY) {
      result = 0; /* the process has it, and no other one is to have it */
    }
    if (how == INJECT_OR_KEEP && !op->is_given) {
      op->kept_fd = fd;
      op->kept_cloexec = cloexec;
      op->error = EIO; /* what the keeper has to say of it: it has no descriptor to give */
      fd = -1;
    }
    keep_locked(op);
  } else if (how != INJECT || result >= 0) {
    release_locked(op);
  } /* else (INJECT) the caller drops it or replies; until then the restarted call waits in join_locked() */
  pthread_mutex_unlock(&mutex);
  if (how == INJECT_OR_KEEP && fd >= 0) close(fd);
  return result;
}

int op_reply(struct op *op, int64_t value, int error) { return answer(op, REPLY, value, error, -1, false); }
int op_continue(struct op *op) { return answer(op, CONTINUE, 0, 0, -1, false); }

int op_inject_or_keep(struct op *op, int fd, bool cloexec) {
  return answer(op, INJECT_OR_KEEP, 0, 0, fd, cloexec);
}
int op_inject(struct op *op, int fd, bool cloexec) {
  int result = answer(op, INJECT, 0, 0, fd, cloexec);
  if (result >= 0) close(fd);
  return result;
}

void op_drop(struct op *op) {
  pthread_mutex_lock(&mutex);
  release_locked(op);
  pthread_mutex_unlock(&mutex);
}

bool op_drop_unawaited(struct op *op) {
  pthread_mutex_lock(&mutex);
  bool drops = !notification_is_valid(op->listener, op->id);
  if (drops) {
    statistics_count(&statistics.cancelled);
    release_locked(op);
  }
  pthread_mutex_unlock(&mutex);
  return drops;
}

bool op_is_valid(const struct op *op) {
  return notification_is_valid(op->listener, __atomic_load_n(&op->id, __ATOMIC_SEQ_CST));
}

void op_give_up_connects(uint64_t cookie) {
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < KEPT_CALLS; i++) {
    struct op *op = slots[i];
    if (!op || !op->held || op->claimed || op->answering || op->finished) continue;
    if (op->nr != __NR_connect || op->cookie != cookie || op_is_valid(op)) continue;
    statistics_count(&statistics.cancelled);
    release_locked(op);
  }
  pthread_mutex_unlock(&mutex);
}

bool op_connects_unawaited(uint64_t cookie) {
  bool found = false;
  pthread_mutex_lock(&mutex);
  for (int i = 0, left = held_count; i < KEPT_CALLS && left > 0 && !found; i++) {
    if (!slots[i] || !slots[i]->held) continue;
    left--;
    const struct op *op = slots[i];
    found = op->nr == __NR_connect && op->cookie == cookie && !op->finished && !op_is_valid(op);
  }
  pthread_mutex_unlock(&mutex);
  return found;
}

void op_set_deadline(struct op *op, int64_t ms, int default_error) {
  op->default_error = default_error;
  op->deadline_ns = now_ns() + ms * 1000000;
}

void op_ask(struct op *op, enum op_kind kind, int64_t deadline_ms, int default_error) {
  op->kind = kind;
  op_set_deadline(op, deadline_ms, default_error);
  emit_op(op);
}

bool op_let_go(struct op *op) {
  struct seccomp_notif_resp answer = {.id = __atomic_load_n(&op->id, __ATOMIC_SEQ_CST), .error = -interruption(op)};
  /* Not counted: the notification is one that was taken away, as whoever meets the op next will find. */
  return listener_ask(op->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0;
}

/* At once where the kernel would; what it would not interrupt, or only on a network file system, after some time. */
static bool is_interruptible(const struct op *op, int64_t now) {
  if (op->claimed || op->answering || op->finished || op->is_left || op->was_given) return false;
  bool is_connect = op->kind == OP_CONNECT && op->type == SOCK_STREAM && op->domain != AF_UNIX && !op->nonblocking;
  int64_t least_ms = op->waiting || (is_connect && op->socket < 0) ? AT_ONCE_MS : is_connect ? UNDECIDED_MS : PATIENCE_MS;
  return now - op->since_ns >= least_ms * 1000000;
}

size_t op_list_interruptible(struct held_call *into, size_t room, int *from) {
  size_t count = 0;
  pthread_mutex_lock(&mutex);
  int64_t now = now_ns();
  int slot = *from;
  for (int i = 0, left = held_count; i < KEPT_CALLS && left > 0 && count < room; i++) {
    slot = (*from + i) % KEPT_CALLS;
    struct op *op = slots[slot];
    if (!op || !op->held) continue;
    left--;
    if (is_interruptible(op, now))
      into[count++] = (struct held_call){op_token(op), op->id, op, op->tid, op->tgid};
  }
  *from = count < room ? 0 : (slot + 1) % KEPT_CALLS;
  pthread_mutex_unlock(&mutex);
  return count;
}

void op_interrupt(const struct held_call *call) {
  pthread_mutex_lock(&mutex);
  struct op *op = call->op; /* slots are never freed */
  bool is_same = op->held && op_token(op) == call->token && op->id == call->id && is_interruptible(op, now_ns());
  if (is_same && op_let_go(op)) {
    op->is_left = true;
    if (op->waiting) { /* it has done nothing yet */
      statistics_count(&statistics.cancelled);
      release_locked(op);
    }
  }
  pthread_mutex_unlock(&mutex);
}

void op_await_held(void) {
  pthread_mutex_lock(&mutex);
  while (held_count == 0) pthread_cond_wait(&some_held, &mutex);
  pthread_mutex_unlock(&mutex);
}

static void sweep_one(struct op *op, int64_t now) {
  if (op->claimed) return;
  if (op->finished) {
    if (now < op->deadline_ns) return;
    /* It will make its call again when it is continued. */
    if (thread_is_stopped(op)) op->deadline_ns = now + (int64_t)KEEP_MS * 1000000;
    else release_locked(op);
    return;
  }
  /* A wait that a signal has ended: let go of the duplicate at once, it would keep the port bound. */
  if (op->waiting && !op_is_valid(op)) {
    statistics_count(&statistics.cancelled);
    release_locked(op);
    return;
  }
  if (op->deadline_ns && now >= op->deadline_ns) {
    if (!op->waiting && op_is_valid(op)) statistics_count(&statistics.expired);
    if (op->default_error) notification_reply(op->listener, op->id, 0, op->default_error);
    else notification_continue(op->listener, op->id);
    release_locked(op);
  }
}

static void *sweeper(void *unused) {
  (void)unused;
  for (int64_t last = 0;;) {
    pthread_mutex_lock(&mutex);
    if (held_count == 0) last = 0;
    while (held_count == 0) pthread_cond_wait(&some_held, &mutex);
    int64_t now = now_ns(), lost = last ? now - last - (int64_t)SLOW_MS * 1000000 : 0;
    for (int i = 0, left = held_count; i < KEPT_CALLS && left > 0; i++)
      if (slots[i] && slots[i]->held) {
        left--;
        /* We were stopped ourselves (Ctrl-Z), or stood still: nobody could answer, or ask again. */
        if (lost > 0 && slots[i]->deadline_ns && !slots[i]->waiting) slots[i]->deadline_ns += lost;
        sweep_one(slots[i], now);
      }
    pthread_mutex_unlock(&mutex);
    last = now_ns();
    struct timespec tick = {0, SWEEP_MS * 1000000L};
    nanosleep(&tick, NULL);
  }
  return NULL;
}

void op_start_sweeper(void) { thread_start(sweeper, NULL); }
