/* The threads that receive the calls of one listener. */
#include "tap.h"
#include "listener.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

/*
 * One of them waits in RECV, as a rule: the kernel wakes all that wait there for each call,
 * so a second one costs a change of threads for every call and has nothing to do. While that one is at work with a call
 * nobody receives, and so
 *  - what is sure to wait has it replaced before (receive_may_block), and has two receive from then on, for a while;
 *  - what may wait by bad luck, for a page of the program's memory, is seen by the watcher, which has it replaced.
 */
struct crew {
  int listener;  /* its own duplicate, closed with the last thread */
  int name;      /* by which TypeScript knows it */
  int wanted;    /* atomic: so many receive, if nothing keeps them */
  int waiting;   /* atomic: threads in RECV */
  uint32_t taken; /* atomic: calls */
  bool has_called, watcher_sleeps; /* atomic */
  pthread_mutex_t mutex;
  pthread_cond_t step_in, watch;
  int threads, resting, called;
  bool is_over;
};
static __thread struct crew *my_crew;
static __thread bool is_replaced;

/* What receives does not make them more: see crew_step_in(). */
enum { MAX_THREADS = 256, IDLE_SECONDS = 10 };
/* So long nobody receives behind the back of a call that waits by bad luck; so many looks without news, and it is quiet. */
enum { LOOK_MS = 2, QUIET_LOOKS = 50 };

static void *receive(void *argument);

static bool is_over(int listener) {
  struct pollfd state = {listener, POLLIN, 0};
  return poll(&state, 1, 0) > 0 && listener_is_over(state.revents);
}

/* False: there are too many already, or none is needed any more. */
static bool crew_call(struct crew *crew) {
  pthread_mutex_lock(&crew->mutex);
  bool called = !crew->is_over && crew->resting > crew->called;
  bool starts = !crew->is_over && !called && crew->threads < MAX_THREADS;
  if (called) {
    crew->called++;
    pthread_cond_signal(&crew->step_in);
  }
  if (starts) crew->threads++;
  pthread_mutex_unlock(&crew->mutex);
  if (!starts || thread_start(receive, crew) == 0) return called || starts;
  pthread_mutex_lock(&crew->mutex);
  crew->threads--;
  pthread_mutex_unlock(&crew->mutex);
  return false;
}

/* The calling thread has a call. */
static void crew_step_out(struct crew *crew) {
  is_replaced = __atomic_sub_fetch(&crew->waiting, 1, __ATOMIC_SEQ_CST) > 0;
  __atomic_add_fetch(&crew->taken, 1, __ATOMIC_SEQ_CST);
  if (!__atomic_load_n(&crew->watcher_sleeps, __ATOMIC_SEQ_CST)) return;
  pthread_mutex_lock(&crew->mutex);
  crew->watcher_sleeps = false;
  pthread_cond_signal(&crew->watch);
  pthread_mutex_unlock(&crew->mutex);
}

bool receive_may_block(void) {
  if (!my_crew) return false;
  __atomic_store_n(&my_crew->has_called, true, __ATOMIC_RELAXED);
  if (is_replaced) return true;
  __atomic_store_n(&my_crew->wanted, 2, __ATOMIC_RELAXED);
  return is_replaced = crew_call(my_crew);
}

void receive_run(void (*run)(void *), void *argument) {
  if (my_crew) run(argument);
  else pool_run(run, argument);
}

/* Never counts a thread that then does not receive: the others would rest for it. */
static bool crew_needs(struct crew *crew) {
  int waiting = __atomic_load_n(&crew->waiting, __ATOMIC_SEQ_CST);
  while (waiting < __atomic_load_n(&crew->wanted, __ATOMIC_RELAXED))
    if (__atomic_compare_exchange_n(&crew->waiting, &waiting, waiting + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      return true;
  return false;
}

/* True: it receives (again). False: it was not needed for long. */
static bool crew_step_in(struct crew *crew) {
  if (crew_needs(crew)) return true;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += IDLE_SECONDS;
  pthread_mutex_lock(&crew->mutex);
  crew->resting++;
  bool in_time = true;
  while (!crew->called && !crew->is_over && in_time)
    in_time = pthread_cond_timedwait(&crew->step_in, &crew->mutex, &until) == 0;
  crew->resting--;
  bool is_called = crew->called > 0 && !crew->is_over;
  if (crew->called > 0) crew->called--;
  if (is_called) __atomic_add_fetch(&crew->waiting, 1, __ATOMIC_SEQ_CST);
  pthread_mutex_unlock(&crew->mutex);
  return is_called;
}

/* Receives one call; false: there will be none any more. */
static bool receive_one(const struct crew *crew, struct seccomp_notif *notif) {
  for (;;) {
    kept_hand_empty(notif); /* what it had has been answered, or has an op */
    if (ioctl(crew->listener, SECCOMP_IOCTL_NOTIF_RECV, notif) == 0) return true;
    if (errno == ENOENT && is_over(crew->listener)) return false; /* else: interrupted before we read it */
    if (errno != EINTR && errno != ENOENT) return false;
    /* Older kernels leave RECV asleep when the last process ends; poll tells on all of them. */
    struct pollfd state = {crew->listener, POLLIN, 0};
    if (poll(&state, 1, -1) < 0 && errno != EINTR) return false;
    if (!(state.revents & POLLIN) && listener_is_over(state.revents)) return false;
  }
}

static void crew_leave(struct crew *crew, bool is_over) {
  pthread_mutex_lock(&crew->mutex);
  /* The tree's end is told by whoever sees it first: others may still wait for what nobody needs any more. */
  bool tells = is_over && !crew->is_over;
  crew->is_over |= is_over;
  pthread_cond_broadcast(&crew->step_in);
  pthread_cond_broadcast(&crew->watch);
  bool last = --crew->threads == 0;
  int name = crew->name; /* once it is unlocked whoever is the last may free it */
  pthread_mutex_unlock(&crew->mutex);
  if (tells) emit_end(name);
  if (!last) return;
  close(crew->listener);
  pthread_mutex_destroy(&crew->mutex);
  pthread_cond_destroy(&crew->step_in);
  pthread_cond_destroy(&crew->watch);
  free(crew);
}

static void *receive(void *argument) {
  struct crew *crew = my_crew = argument;
  struct seccomp_notif *notif = kept_hand();
  if (!notif) abort();
  bool receives;
  while ((receives = crew_step_in(crew)) && receive_one(crew, notif)) {
    crew_step_out(crew);
    receive_dispatch(crew->listener, notif);
  }
  kept_hand_back(notif);
  crew_leave(crew, receives);
  return NULL;
}

/* Until somebody has a call. False: there will be none any more. */
static bool watcher_sleep(struct crew *crew) {
  pthread_mutex_lock(&crew->mutex);
  __atomic_store_n(&crew->watcher_sleeps, !crew->is_over, __ATOMIC_SEQ_CST);
  /* Else somebody stepped out before he could see that nobody watches. */
  if (__atomic_load_n(&crew->waiting, __ATOMIC_SEQ_CST) == 0) crew->watcher_sleeps = false;
  while (crew->watcher_sleeps && !crew->is_over) pthread_cond_wait(&crew->watch, &crew->mutex);
  crew->watcher_sleeps = false;
  bool goes_on = !crew->is_over;
  pthread_mutex_unlock(&crew->mutex);
  return goes_on;
}

static void *watch(void *argument) {
  struct crew *crew = argument;
  uint32_t before = __atomic_load_n(&crew->taken, __ATOMIC_SEQ_CST);
  int same = 0, uncalled = 0;
  while (!__atomic_load_n(&crew->is_over, __ATOMIC_RELAXED)) {
    struct timespec look = {0, LOOK_MS * 1000000L};
    nanosleep(&look, NULL);
    uint32_t taken = __atomic_load_n(&crew->taken, __ATOMIC_SEQ_CST);
    same = taken == before ? same + 1 : 0;
    before = taken;
    bool nobody = __atomic_load_n(&crew->waiting, __ATOMIC_SEQ_CST) == 0;
    if (nobody && same > 0) crew_call(crew);
    uncalled = __atomic_exchange_n(&crew->has_called, false, __ATOMIC_RELAXED) ? 0 : uncalled + 1;
    if (uncalled == QUIET_LOOKS) __atomic_store_n(&crew->wanted, 1, __ATOMIC_RELAXED);
    if (same < QUIET_LOOKS) continue;
    same = 0;
    if (!watcher_sleep(crew)) break;
  }
  crew_leave(crew, false);
  return NULL;
}

int receive_start(int listener) {
  struct crew *crew = calloc(1, sizeof *crew);
  if (!crew) return -ENOMEM;
  crew->name = listener;
  crew->listener = fcntl(listener, F_DUPFD_CLOEXEC, 0);
  if (crew->listener < 0) {
    int error = errno;
    free(crew);
    return -error;
  }
  crew->wanted = 1;
  crew->threads = 2;
  pthread_mutex_init(&crew->mutex, NULL);
  pthread_cond_init(&crew->step_in, NULL);
  pthread_cond_init(&crew->watch, NULL);
  listener_ask(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, (void *)1 /* SYNC_WAKE_UP, since 6.6 */);
  int failed = thread_start(watch, crew), started = !failed;
  if (!failed) failed = thread_start(receive, crew);
  if (!failed) return 0;
  pthread_mutex_lock(&crew->mutex);
  crew->is_over = true; /* what has not begun has no end that is told */
  crew->threads = started + 1;
  pthread_mutex_unlock(&crew->mutex);
  crew_leave(crew, false); /* the watcher, if there is one, follows */
  return failed;
}
