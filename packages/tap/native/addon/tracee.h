/*
 * A thread that is held in a trapped call makes other calls in its place: what seccomp alone cannot do, because it cannot
 * change a call's arguments. By ptrace(2), for some fifty microseconds; afterwards the thread is let go.
 */
#pragma once
#include "tap.h"
#include "registers.h"

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif

struct tracee {
  struct op *op;
  pid_t tid; /* the process's after an exec */
  int number; /* of the descriptor that was given to it; -1: none */
  registers saved; /* as they were in the call */
  uint64_t signals_blocked;
  bool has_executed, is_gone;
};

/*
 * Gives the program a copy of `fd` (-1: none; CLOEXEC), stops the thread in its call, lets `act` do calls, and has the call return what `act` returns (a value or -errno, or
 * nothing after an exec). The op is claimed, and gone when this is 0. Else nothing was done, and it is still there:
 * -EPERM: refused, -EBUSY: somebody else traces it, -EAGAIN: it is not in the call just now, or what the program may not
 * be given (-EMFILE).
 */
int tracee_run(struct op *op, int fd, int64_t (*act)(struct tracee *, void *), void *argument);

/* For `act`: a call by the thread itself, and its result. */
int64_t tracee_call(struct tracee *tracee, long nr, const uint64_t args[6]);

/* Runs what traces that thread, in this one or a process of its own, and waits for its end. */
void tracer_run(pid_t tid, int (*run)(void *), void *argument);
