/*
 * A thread sleeps in a call that was let go, and is to come to us with it after all: ptrace(2) interrupts it, and the kernel
 * makes the call again from its beginning, through the filter. Where the call has a timeout of its own (SO_RCVTIMEO) it ends
 * with EINTR instead.
 */
#include "tracee.h"
#include <errno.h>
#include <sys/wait.h>
#include <time.h>

enum { PATIENCE_MS = 100, TICK_US = 50 };

/* Of this thread's tracee: whether it stops soon; not, when it waits for an answer of ours. */
static bool stops(int *status) {
  struct timespec tick = {0, TICK_US * 1000};
  for (int64_t until = now_ns() + (int64_t)PATIENCE_MS * 1000000; now_ns() < until; nanosleep(&tick, NULL)) {
    pid_t pid = waitpid(-1, status, __WALL | __WNOTHREAD | WNOHANG);
    if (pid > 0) return WIFSTOPPED(*status);
    if (pid < 0 && errno != EINTR) return false;
  }
  return false;
}

/* What has not stopped is let go by the end of who traces it. */
static int restart(void *argument) {
  pid_t tid = (pid_t)(intptr_t)argument;
  int status;
  if (ptrace(PTRACE_SEIZE, tid, 0, 0) != 0 || ptrace(PTRACE_INTERRUPT, tid, 0, 0) != 0) return 0;
  while (stops(&status)) {
    int stopped = status >> 8;
    if (stopped >> 8 == PTRACE_EVENT_STOP) return (int)ptrace(PTRACE_DETACH, tid, 0, 0);
    /* A signal was faster: it is delivered, and the interruption comes behind it. */
    if (ptrace(PTRACE_CONT, tid, 0, stopped >> 8 ? 0 : stopped) != 0) return 0;
  }
  return 0;
}

static void *restart_apart(void *argument) {
  tracer_run((pid_t)(intptr_t)argument, restart, argument);
  return NULL;
}

void thread_restart_call(pid_t tid) { thread_start(restart_apart, (void *)(intptr_t)tid); }
