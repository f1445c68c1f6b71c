#include "compat.h"
#include "paths.h"
#include "programs.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_DEADLINE_MS = 15000 };

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

struct tap_statistics statistics;

/* More bring nothing; what they wait for does not make them more either: see crew_step_in(). */
enum { MAX_THREADS = 256, IDLE_SECONDS = 10 };

/* The threads of one listener. */
struct crew {
  int listener; /* its own duplicate, closed with the last thread */
  int name;     /* by which TypeScript knows it */
  int wanted;  /* so many receive, if nothing keeps them */
  int waiting; /* atomic: threads in RECV */
  pthread_mutex_t mutex;
  pthread_cond_t step_in;
  int threads, resting, called;
  bool is_over;
};
static __thread struct crew *my_crew;
static __thread bool is_replaced;

static void *receive(void *argument);

/* True: answered or handed on. False: the tables do not know it, so it goes on natively. */
static bool handle(struct op *op) {
  switch (op->nr) {
    case __NR_connect:
      return handle_connect(op);
    case __NR_bind:
      return handle_bind(op);
    case __NR_listen:
      return handle_listen(op);
#if defined(__NR_accept)
    case __NR_accept:
#endif
    case __NR_accept4:
      return handle_accept(op);
    case __NR_getsockname:
    case __NR_getpeername:
      return handle_names(op);
    case __NR_sendto:
      return handle_sendto(op);
    case __NR_recvfrom:
      return handle_recvfrom(op);
    case __NR_socket:
      return handle_socket(op);
    case __NR_sendmsg:
    case __NR_sendmmsg:
      return handle_sendmsg(op);
    case __NR_recvmsg:
    case __NR_recvmmsg:
      return handle_recvmsg(op);
    case __NR_getsockopt:
      return handle_socket_error(op);
    case __NR_seccomp:
      return handle_seccomp(op);
    case __NR_uname:
      handle_uname(op);
      return true;
    default:
      return false;
  }
}

static bool handle_path(int listener, const struct seccomp_notif *notif, pid_t tgid, const struct path_call *call) {
  struct path_work work = {
      .listener = listener, .tid = (pid_t)notif->pid, .tgid = tgid, .nr = notif->data.nr, .call = call,
      .compat = !compat_is_native(notif)};
  memcpy(work.args, notif->data.args, sizeof work.args);
  places_decide(&work);
  /* Also a page of a remote file that could not be had: the kernel would wait for it once more. */
  bool handled = work.is_unreadable || serve_begin(notif, &work);
  if (work.is_unreadable) notification_reply(listener, notif->id, 0, EFAULT);
  places_free(&work);
  return handled;
}

/* A skipped program that works in a directory of the pod has its files from there: the kernel takes it there anyway. */
static bool is_concerned(pid_t tid, pid_t tgid, const struct path_call *call) {
  if (process_is_skipped(tid, tgid)) return call && places_work_in_remote(tid);
  return !call || !root_is_other(tid, tgid);
}

static bool moves_root(int nr) {
  return nr == __NR_chroot || nr == __NR_pivot_root || nr == __NR_setns;
}

static void dispatch(int listener, const struct seccomp_notif *notif) {
  pid_t tid = (pid_t)notif->pid;
  statistics_count(&statistics.received);
  bool executes = notif->data.nr == __NR_execve || notif->data.nr == __NR_execveat;
  if (executes && remote_get().fd < 0) {
    process_executes(tid);
    notification_continue(listener, notif->id);
    return;
  }
  pid_t tgid = process_of(tid);
  const struct path_call *call = call_of_number(notif->data.nr);
  bool handled = false;
  if (moves_root(notif->data.nr)) root_changes(tgid);
  if (tgid && is_concerned(tid, tgid, call)) {
    if (executes) process_executes(tid); /* whether the program before was skipped has been asked */
    if (call) {
      handled = handle_path(listener, notif, tgid, call);
    } else {
      bool joined;
      struct op *op = op_new(listener, notif, tgid, NULL, NULL, &joined);
      if (joined) return;
      if (op) {
        if (handle(op)) return;
        statistics_count(&statistics.continued);
        op_continue(op);
        return;
      }
    }
  } else if (executes) {
    process_executes(tid);
  }
  if (handled) return;
  statistics_count(&statistics.continued);
  notification_continue(listener, notif->id);
}

/* Of a 32-bit program. What it executes itself is this machine's: the pod's would take its registers (tracee.h). */
static void dispatch_compat(int listener, const struct seccomp_notif *notif) {
  struct seccomp_notif translated;
  switch (compat_translate(notif, &translated)) {
    case COMPAT_TRANSLATED:
      dispatch(listener, &translated);
      return;
    case COMPAT_EXECUTES:
      process_executes((pid_t)notif->pid);
      break;
    case COMPAT_UNTOUCHED:
      break;
  }
  notification_continue(listener, notif->id);
}

static bool is_over(int listener) {
  struct pollfd state = {listener, POLLIN, 0};
  return poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLNVAL));
}

/* False: there are too many already. */
static bool crew_call(struct crew *crew) {
  pthread_mutex_lock(&crew->mutex);
  bool called = true, starts = false;
  if (crew->resting > crew->called) crew->called++;
  else if (crew->threads < MAX_THREADS) starts = true;
  else called = false;
  if (starts) crew->threads++;
  else if (called) pthread_cond_signal(&crew->step_in);
  pthread_mutex_unlock(&crew->mutex);
  if (!starts || thread_start(receive, crew) == 0) return called;
  pthread_mutex_lock(&crew->mutex);
  crew->threads--;
  pthread_mutex_unlock(&crew->mutex);
  return false;
}

/*
 * The calling thread has a call. Reading a path may already wait, for a page of a file of the pod's; and serving one
 * does. So where files are the pod's, the last one that received is replaced first.
 */
static void crew_step_out(struct crew *crew) {
  int left = __atomic_sub_fetch(&crew->waiting, 1, __ATOMIC_SEQ_CST);
  is_replaced = left > 0 || (remote_get().fd >= 0 && crew_call(crew));
}

bool receive_may_block(void) {
  if (my_crew && !is_replaced) is_replaced = crew_call(my_crew);
  return my_crew && is_replaced;
}

/* Never counts a thread that then does not receive: the others would rest for it. */
static bool crew_needs(struct crew *crew) {
  int waiting = __atomic_load_n(&crew->waiting, __ATOMIC_SEQ_CST);
  while (waiting < crew->wanted)
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
    if (!(state.revents & POLLIN) && state.revents & (POLLHUP | POLLNVAL | POLLERR)) return false;
  }
}

static void crew_leave(struct crew *crew, bool is_over) {
  pthread_mutex_lock(&crew->mutex);
  /* The tree's end is told by whoever sees it first: others may still wait for what nobody needs any more. */
  bool tells = is_over && !crew->is_over;
  crew->is_over |= is_over;
  pthread_cond_broadcast(&crew->step_in);
  bool last = --crew->threads == 0;
  pthread_mutex_unlock(&crew->mutex);
  if (tells) emit_end(crew->name);
  if (!last) return;
  close(crew->listener);
  pthread_mutex_destroy(&crew->mutex);
  pthread_cond_destroy(&crew->step_in);
  free(crew);
}

static void *receive(void *argument) {
  struct crew *crew = my_crew = argument;
  struct seccomp_notif *notif = kept_hand();
  if (!notif) abort();
  bool receives;
  while ((receives = crew_step_in(crew)) && receive_one(crew, notif)) {
    crew_step_out(crew);
    if (compat_is_native(notif)) dispatch(crew->listener, notif);
    else dispatch_compat(crew->listener, notif);
  }
  kept_hand_back(notif);
  crew_leave(crew, receives);
  return NULL;
}

int receive_start(int listener, int threads) {
  struct crew *crew = calloc(1, sizeof *crew);
  if (!crew) return -ENOMEM;
  crew->name = listener;
  crew->listener = fcntl(listener, F_DUPFD_CLOEXEC, 0);
  if (crew->listener < 0) {
    int error = errno;
    free(crew);
    return -error;
  }
  crew->wanted = crew->threads = threads;
  pthread_mutex_init(&crew->mutex, NULL);
  pthread_cond_init(&crew->step_in, NULL);
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, (uint64_t)1 /* SYNC_WAKE_UP, since 6.6 */);
  for (int i = 0; i < threads; i++) {
    int failed = thread_start(receive, crew);
    if (failed) return failed;
  }
  return 0;
}
