/*
 * Threads that wait for our answer are taken out of their call by nothing but their end (filter_flags() in ../filter.h). A
 * handler that is to run, a stop, a debugger that attaches: all of them mark the thread and wake it, and it goes on waiting,
 * uninterruptibly now. That shows in /proc, and so those that wait for long are looked at, and let go as the kernel would.
 */
#include "tap.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* Looks take some microseconds each: however many wait, they do not fill a processor. */
enum { LOOK_MS = 10, LOOKS = 32 };

static char state_of(pid_t tgid, pid_t tid) {
  char path[64], stat[128];
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", tgid, tid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
  if (fd >= 0) close(fd);
  stat[got > 0 ? got : 0] = 0;
  const char *end = strrchr(stat, ')'); /* a name is at most 15 bytes */
  return end && end[1] ? end[2] : 0;
}

/*
 * TASK_KILLABLE shows as D. It begins to wait interruptibly (S), and is not woken but by the answer, by a signal, or to take a
 * descriptor, after which one cannot tell.
 */
static bool is_signalled(pid_t tgid, pid_t tid) { return state_of(tgid, tid) == 'D'; }

bool thread_is_signalled(const struct op *op) { return !op->was_given && is_signalled(op->tgid, op->tid); }

bool thread_is_stopped(const struct op *op) {
  char state = state_of(op->tgid, op->tid);
  return state == 'T' || state == 't';
}

bool op_gives_way(struct op *op) {
  if (!thread_is_signalled(op)) return false;
  op_let_go(op);
  return op_drop_unawaited(op);
}

/*
 * Up to 6.17 a thread that a signal has just woken may miss an answer that is there before it waits uninterruptibly. It does
 * that from the next time on that it waits: so it is woken for a descriptor at a number that no process can have.
 */
static bool misses_answers(void) {
  enum { UNKNOWN, NO, YES };
  static int known;
  int now = __atomic_load_n(&known, __ATOMIC_RELAXED), major = 0, minor = 0;
  if (now != UNKNOWN) return now == YES;
  struct utsname machine;
  if (uname(&machine) != 0 || sscanf(machine.release, "%d.%d", &major, &minor) != 2) major = 0;
  now = major < 6 || (major == 6 && minor < 18) ? YES : NO;
  __atomic_store_n(&known, now, __ATOMIC_RELAXED);
  return now == YES;
}

void op_settle(struct op *op) {
  if (misses_answers()) op_give_at(op, op->socket, INT_MAX);
}

void op_settle_to_receive(struct op *op) {
  if (misses_answers() && socket_is_readable(op->socket)) op_settle(op);
}

static void *look(void *unused) {
  (void)unused;
  struct timespec tick = {0, LOOK_MS * 1000000L};
  for (int from = 0;;) {
    struct held_call calls[LOOKS];
    op_await_held();
    nanosleep(&tick, NULL);
    size_t count = op_list_interruptible(calls, LOOKS, &from);
    for (size_t i = 0; i < count; i++)
      if (is_signalled(calls[i].tgid, calls[i].tid)) op_interrupt(&calls[i]);
  }
  return NULL;
}

void interrupt_start(void) { thread_start(look, NULL); }
