/*
 * Accepts that the kernel does by itself, for half the time of ours: a descriptor's way into the program wakes both sides.
 *
 * While none of the pod's connections waits at a listener (names.c counts them), what waits there is this machine's, and the
 * kernel tells its peer as it is. One of the pod's may come at any time; but a listener's queue has an order, and so the accept
 * that was let go gets the connection that was the first one then, if nobody else takes that away. Who else accepts is stopped,
 * too (but for an accept that asks for no address): he has to wait until the other one is over.
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

static struct running {
  pid_t tid; /* 0: none */
  uint16_t port; /* of the listener, really */
  bool is_native;
  uint64_t number;
} running[RUNNING];
static int count; /* atomic, for a look without the lock */
/* Ports at which several accept, and one had to wait for long for another: it would again and again. */
static bool shared[65536];
static uint64_t numbers;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* It waits in another call, or nowhere, or is no more. Of one that runs nothing is known. */
static bool is_elsewhere(pid_t tid) {
  char path[32], text[32] = "";
  snprintf(path, sizeof path, "/proc/%d", tid);
  if (access(path, F_OK) != 0) return errno == ENOENT;
  snprintf(path, sizeof path, "/proc/%d/syscall", tid);
  FILE *file = fopen(path, "re");
  if (!file) return false;
  bool is_read = fgets(text, sizeof text, file) != NULL, is_gone = !is_read && errno == ESRCH;
  fclose(file);
  if (!is_read) return is_gone;
  if (strncmp(text, "running", 7) == 0) return false;
  long nr = strtol(text, NULL, 10);
#if defined(__NR_accept)
  if (nr == __NR_accept) return false;
#endif
  return nr != __NR_accept4;
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
  *each = (struct running){tid, port, is_native, ++numbers};
  __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
  return numbers;
}

/* Also of this very thread: an accept of its that a signal took away, and that has come again. */
static struct running *at_locked(uint16_t port, bool only_native) {
  for (int i = 0; i < RUNNING; i++) {
    struct running *each = &running[i];
    if (each->tid && each->port == port && (each->is_native || !only_native)) return each;
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
    bool is_over = is_elsewhere(seen.tid) || waited_ms >= WAIT_MS;
    if (!is_over) {
      receive_may_block();
      nanosleep(&tick, NULL);
    }
    pthread_mutex_lock(&mutex);
    if (waited_ms >= LONG_MS) shared[port] = true;
    if (!is_over) continue;
    if (other->number == seen.number && other->tid) end_locked(other);
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
