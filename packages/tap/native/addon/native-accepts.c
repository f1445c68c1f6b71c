/*
 * Accepts that the kernel does by itself, for half the time of ours: a descriptor's way into the program wakes both sides.
 *
 * While none of the pod's connections waits at a listener (names.c counts them), what waits there is this machine's, and the
 * kernel tells its peer as it is. One of the pod's may come at any time; but a listener's queue has an order, and so the accept
 * that was let go gets the connection that was the first one then, if nobody else takes that away. Who else accepts is stopped,
 * too: he has to wait until the other one is over.
 *
 * An accept that asks for no address is not seen, and may take that first connection away. So one of the pod's that comes is not
 * connected before all that were let go are over (accepts_hold), and one that sleeps in the kernel is begun anew.
 */
#include "tap.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* It is over in microseconds, if its thread has a processor. */
enum { RUNNING = 64, WAIT_MS = 100, LONG_MS = 2, TICK_US = 50 };
/*
 * Of one of the pod's that comes: as much processor time as shows that a thread has left its accept, how long it sleeps there
 * before it is begun anew, and how long all of that may take. Meanwhile, and so long after, none is let go.
 */
enum { RAN_MS = 5, ASLEEP_MS = 2, PATIENCE_MS = 1000, HOLD_MS = 100 };

static struct running {
  pid_t tid; /* 0: none */
  uint16_t port; /* of the listener, really */
  bool is_native;
  bool is_overdue; /* no accept of ours waits for it any more, but the pod's connections do */
  uint64_t number;
  /* Since one of the pod's waits for it: from when, what its thread had run then, and from when it was seen asleep. */
  int64_t awaited_ns, ran_ns, asleep_ns;
  bool is_restarted;
} running[RUNNING];
static int count; /* atomic, for a look without the lock */
/* Ports at which several accept, and one had to wait for long for another: it would again and again. */
static bool shared[65536];
/* By connections of the pod's: that are being made, and that are to be made soon. */
static unsigned holding[65536];
static int64_t held_until_ns[65536];
static uint64_t numbers;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

enum whereabouts { UNKNOWN, RUNS, IN_ACCEPT, ELSEWHERE };

/* Where it waits, or whether it is no more. Of one that runs nothing more is known. */
static enum whereabouts whereabouts_of(pid_t tid) {
  char path[32], text[32] = "";
  snprintf(path, sizeof path, "/proc/%d", tid);
  if (access(path, F_OK) != 0) return errno == ENOENT ? ELSEWHERE : UNKNOWN;
  snprintf(path, sizeof path, "/proc/%d/syscall", tid);
  FILE *file = fopen(path, "re");
  if (!file) return UNKNOWN;
  bool is_read = fgets(text, sizeof text, file) != NULL, is_gone = !is_read && errno == ESRCH;
  fclose(file);
  if (!is_read) return is_gone ? ELSEWHERE : UNKNOWN;
  if (strncmp(text, "running", 7) == 0) return RUNS;
  long nr = strtol(text, NULL, 10);
#if defined(__NR_accept)
  if (nr == __NR_accept) return IN_ACCEPT;
#endif
  return nr == __NR_accept4 ? IN_ACCEPT : ELSEWHERE;
}

static bool is_elsewhere(pid_t tid) { return whereabouts_of(tid) == ELSEWHERE; }

/* How long it has had a processor; 0: nobody tells. */
static int64_t ran_ns(pid_t tid) {
  char path[32];
  long long ns = 0;
  snprintf(path, sizeof path, "/proc/%d/schedstat", tid);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  if (fscanf(file, "%lld", &ns) != 1) ns = 0;
  fclose(file);
  return ns;
}

static void end_locked(struct running *each) {
  each->tid = 0;
  __atomic_sub_fetch(&count, 1, __ATOMIC_SEQ_CST);
}

static void forget_locked(pid_t tid, bool is_native) {
  for (int i = 0; i < RUNNING; i++)
    if (running[i].tid == tid && running[i].is_native == is_native) end_locked(&running[i]);
}

static struct running *free_locked(void) {
  for (int i = 0; i < RUNNING; i++)
    if (!running[i].tid) return &running[i];
  return NULL;
}

/* Its number; 0: there are too many. */
static uint64_t begin_locked(pid_t tid, uint16_t port, bool is_native) {
  struct running *each = free_locked();
  /* Of threads that have made no call since, or have ended. */
  for (int i = 0; i < RUNNING && !each; i++)
    if (running[i].is_native && is_elsewhere(running[i].tid)) end_locked(each = &running[i]);
  if (!each) return 0;
  *each = (struct running){.tid = tid, .port = port, .is_native = is_native, .number = ++numbers};
  __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
  return numbers;
}

/* Also of this very thread: an accept of its that a signal took away, and that has come again. */
static struct running *at_locked(uint16_t port, bool only_native) {
  for (int i = 0; i < RUNNING; i++) {
    struct running *each = &running[i];
    if (each->tid && each->port == port && !each->is_overdue && (each->is_native || !only_native)) return each;
  }
  return NULL;
}

void accepts_saw(pid_t tid) {
  if (!__atomic_load_n(&count, __ATOMIC_SEQ_CST)) return;
  pthread_mutex_lock(&mutex);
  forget_locked(tid, true);
  pthread_mutex_unlock(&mutex);
}

/*
 * In this order: when nobody else accepts it is looked whether somebody waits, and who that is not. One of the pod's that comes
 * later is behind it.
 */
static uint64_t let_go_locked(pid_t tid, int fd, uint16_t port) {
  if (shared[port] || at_locked(port, false) || !socket_is_readable(fd) || names_wait_at(port)) return 0;
  if (holding[port] || (held_until_ns[port] && now_ns() < held_until_ns[port])) return 0;
  return begin_locked(tid, port, true);
}

uint64_t accepts_let_go(pid_t tid, int fd, uint16_t port) {
  pthread_mutex_lock(&mutex);
  uint64_t goes = let_go_locked(tid, fd, port);
  pthread_mutex_unlock(&mutex);
  return goes;
}

void accepts_take_back(uint64_t number) {
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < RUNNING; i++)
    if (running[i].tid && running[i].number == number) end_locked(&running[i]);
  pthread_mutex_unlock(&mutex);
}

uint64_t accepts_begin(pid_t tid, int fd, uint16_t port, bool may_go) {
  int64_t began = now_ns();
  struct timespec tick = {0, TICK_US * 1000};
  pthread_mutex_lock(&mutex);
  for (;;) {
    struct running *other = at_locked(port, true);
    if (!other) break;
    struct running seen = *other;
    pthread_mutex_unlock(&mutex);
    int64_t waited_ms = (now_ns() - began) / 1000000;
    bool is_over = is_elsewhere(seen.tid), is_overdue = waited_ms >= WAIT_MS;
    if (!is_over && !is_overdue) {
      receive_may_block();
      nanosleep(&tick, NULL);
    }
    pthread_mutex_lock(&mutex);
    if (waited_ms >= LONG_MS) shared[port] = true;
    if (other->number != seen.number || !other->tid) continue;
    if (is_over) end_locked(other);
    else other->is_overdue = is_overdue;
  }
  uint64_t goes = may_go ? let_go_locked(tid, fd, port) : 0;
  if (!goes) begin_locked(tid, port, false);
  pthread_mutex_unlock(&mutex);
  return goes;
}

void accepts_end(pid_t tid) {
  pthread_mutex_lock(&mutex);
  forget_locked(tid, false);
  pthread_mutex_unlock(&mutex);
}

/* What nobody can tell is taken to be over after some time; and so is one that sleeps on, as it may not be traced. */
static bool is_over_locked(struct running *each) {
  pid_t tid = each->tid;
  enum whereabouts where = whereabouts_of(tid);
  int64_t now = now_ns();
  if (where == ELSEWHERE) return true;
  if (!each->awaited_ns) {
    each->awaited_ns = now;
    each->ran_ns = ran_ns(tid);
  }
  if (where != IN_ACCEPT) each->asleep_ns = 0;
  else if (!each->asleep_ns) each->asleep_ns = now;
  bool sleeps = each->asleep_ns && now - each->asleep_ns >= (int64_t)ASLEEP_MS * 1000000;
  if (sleeps && !each->is_restarted) {
    /* Who has taken its connection does so again. */
    shared[each->port] = each->is_restarted = true;
    each->awaited_ns = now; /* also when we were stopped ourselves meanwhile */
    thread_restart_call(tid);
  }
  int64_t patience_ms = where == UNKNOWN || !each->ran_ns ? WAIT_MS : PATIENCE_MS;
  return now - each->awaited_ns >= patience_ms * 1000000 ||
         (where == RUNS && each->ran_ns && ran_ns(tid) - each->ran_ns >= (int64_t)RAN_MS * 1000000);
}

bool accepts_hold(uint16_t port) {
  bool are_over = true;
  pthread_mutex_lock(&mutex);
  holding[port]++;
  for (int i = 0; i < RUNNING && __atomic_load_n(&count, __ATOMIC_SEQ_CST); i++) {
    struct running *each = &running[i];
    if (!each->tid || each->port != port || !each->is_native) continue;
    if (is_over_locked(each)) end_locked(each);
    else are_over = false;
  }
  if (!are_over) held_until_ns[port] = now_ns() + (int64_t)HOLD_MS * 1000000;
  pthread_mutex_unlock(&mutex);
  return are_over;
}

void accepts_release(uint16_t port) {
  pthread_mutex_lock(&mutex);
  holding[port]--;
  pthread_mutex_unlock(&mutex);
}
