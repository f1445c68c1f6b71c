#include "tracee.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SYSCALL_STOP = SIGTRAP | 0x80, STACK_BYTES = 64 * 1024 };

struct tracing {
  struct op *op;
  int fd;
  int64_t (*act)(struct tracee *, void *);
  void *argument;
  int result;
};

/* The next stop of it; 0: it has ended. Only of what this thread traces: inpod's own children are not ours to wait for. */
static int next_stop(struct tracee *tracee) {
  int status;
  pid_t pid;
  do pid = waitpid(-1, &status, __WALL | __WNOTHREAD);
  while (pid < 0 && errno == EINTR);
  if (pid <= 0 || !WIFSTOPPED(status)) {
    tracee->is_gone = true;
    return 0;
  }
  tracee->tid = pid;
  return status >> 8;
}

/*
 * Until the thread enters or leaves a call, or has executed a program. Its signals are blocked meanwhile; what cannot be
 * blocked is passed on.
 */
static bool run_to_call(struct tracee *tracee) {
  int signal = 0;
  for (;;) {
    if (ptrace(PTRACE_SYSCALL, tracee->tid, 0, signal) != 0) return false;
    int stop = next_stop(tracee);
    if (!stop) return false;
    if (stop == SYSCALL_STOP) return true;
    if (stop >> 8 == PTRACE_EVENT_EXEC) return tracee->has_executed = true;
    signal = stop >> 8 ? 0 : stop; /* an event of ptrace's own is no signal */
  }
}

int64_t tracee_call(struct tracee *tracee, long nr, const uint64_t args[6]) {
  registers now = tracee->saved;
  registers_call(&now, nr, args);
  if (!registers_set(tracee->tid, &now) || !run_to_call(tracee)) return -ESRCH; /* entered */
  if (tracee->has_executed) return 0;
  if (!run_to_call(tracee)) return -ESRCH; /* left */
  if (tracee->has_executed) return 0;
  return registers_get(tracee->tid, &now) ? registers_result(&now) : -ESRCH;
}

static bool block_signals(struct tracee *tracee) {
  uint64_t all = ~(uint64_t)0;
  return ptrace(PTRACE_GETSIGMASK, tracee->tid, sizeof all, &tracee->signals_blocked) == 0 &&
         ptrace(PTRACE_SETSIGMASK, tracee->tid, sizeof all, &all) == 0;
}

static void let_go(struct tracee *tracee) {
  if (!tracee->is_gone) ptrace(PTRACE_DETACH, tracee->tid, 0, 0);
}

/* The thread waits for the answer of its notification; being interrupted, and let go, it stops on its way back. */
static bool stop(struct tracee *tracee) {
  if (ptrace(PTRACE_INTERRUPT, tracee->tid, 0, 0) != 0) return false;
  op_let_go(tracee->op); /* else it would wait on, with the interruption before it */
  for (;;) {
    int stopped = next_stop(tracee);
    if (!stopped) return false;
    if (stopped >> 8 == PTRACE_EVENT_STOP) return true;
    /* A signal was faster: it is delivered, and the interruption comes behind it. */
    if (ptrace(PTRACE_CONT, tracee->tid, 0, stopped >> 8 ? 0 : stopped) != 0) return false;
  }
}

/* The beginning of a file of /proc/TID as a string; empty where it cannot be read. */
static void read_proc(pid_t tid, const char *name, char *text, size_t size) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/%s", tid, name);
  FILE *file = fopen(path, "re");
  size_t length = file ? fread(text, 1, size - 1, file) : 0;
  if (file) fclose(file);
  text[length] = 0;
}

static bool is_traced(pid_t tid) {
  char status[1024];
  read_proc(tid, "status", status, sizeof status);
  const char *at = strstr(status, "\nTracerPid:");
  return at && atoi(at + strlen("\nTracerPid:")) != 0;
}

/* Stopped where it can do calls for us; else it has been let go. */
static int take_hold(struct tracee *tracee, int fd) {
  struct op *op = tracee->op;
  long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC;
  if (ptrace(PTRACE_SEIZE, op->tid, 0, options) != 0) {
    if (errno == ESRCH) return -EAGAIN;
    return is_traced(op->tid) ? -EBUSY : -EPERM;
  }
  /* As long as it waits for the answer it can take a descriptor; once it has been interrupted it cannot. */
  tracee->number = fd < 0 ? -1 : op_give(op, fd);
  bool is_stopped = stop(tracee) && registers_get(tracee->tid, &tracee->saved);
  int failed = fd >= 0 && tracee->number < 0 && tracee->number != -ENOENT ? tracee->number : 0;
  if (!failed && is_stopped && tracee->number != -ENOENT && registers_are_in(&tracee->saved, op->nr, op->args) &&
      block_signals(tracee))
    return 0;
  let_go(tracee);
  return failed ? failed : -EAGAIN;
}

static int trace(struct tracing *tracing) {
  struct tracee tracee = {.op = tracing->op, .tid = tracing->op->tid};
  int failed = take_hold(&tracee, tracing->fd);
  if (failed) return failed;
  int64_t result = tracing->act(&tracee, tracing->argument);
  if (!tracee.has_executed && !tracee.is_gone) {
    registers_return(&tracee.saved, result);
    registers_set(tracee.tid, &tracee.saved);
  }
  if (!tracee.is_gone)
    ptrace(PTRACE_SETSIGMASK, tracee.tid, sizeof tracee.signals_blocked, &tracee.signals_blocked);
  statistics_count(&statistics.cancelled);
  op_drop(tracing->op); /* before the thread can make the same call again */
  let_go(&tracee);
  return 0;
}

static int trace_to_act(void *argument) {
  struct tracing *tracing = argument;
  tracing->result = trace(tracing);
  return 0;
}

static bool is_child_of_ours(pid_t tid) {
  char stat[256];
  read_proc(tid, "stat", stat, sizeof stat);
  const char *end = strrchr(stat, ')');
  return end && strlen(end) > 4 && atoi(end + 4) == getpid();
}

/*
 * A process of its own, in our memory. The command is a child of ours for whose end libuv waits, and any wait of this
 * process for that child would see the stops of ptrace as well, and libuv takes them for its end.
 */
void tracer_run(pid_t tid, int (*run)(void *), void *argument) {
  if (!is_child_of_ours(tid)) {
    run(argument);
    return;
  }
  char *stack = malloc(STACK_BYTES);
  if (!stack) return;
  pid_t child = clone(run, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS, argument);
  if (child > 0) waitpid(child, NULL, __WALL);
  free(stack);
}

int tracee_run(struct op *op, int fd, int64_t (*act)(struct tracee *, void *), void *argument) {
  struct tracing tracing = {op, fd, act, argument, -EAGAIN};
  tracer_run(op->tid, trace_to_act, &tracing);
  return tracing.result;
}
