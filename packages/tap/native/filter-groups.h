/* What a filter is made of, and how it is installed. */
#pragma once
#include <linux/seccomp.h>

/* What the launcher is asked to trap. Kept in step with FilterGroup in src/launch.ts. */
enum filter_group {
  FILTER_NETWORK = 1,
  FILTER_FILES = 2,
  FILTER_HOSTNAME = 4,
  FILTER_NO_IPV6 = 8, /* as on a machine without it, also for programs that are left alone */
  FILTER_INTERRUPTIBLE = 16, /* see filter_flags() */
};

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* since 5.19 */
#endif

/*
 * Of a call that inpod has received the kernel, left to itself, drops the answer when a signal comes in the same instant: what
 * was done for it was done for nobody, and is done again. So only what ends the thread takes it out of its call, and for
 * signals, stops and debuggers inpod lets it go itself (addon/interrupt.c). EINVAL, before 5.19: the filter goes without.
 *
 * Who is tapped is not confined, so it does not pay for a confined program's mitigations (before 5.16, or by the kernel's command
 * line: no speculative stores, and the branch predictors emptied at each change of processes, of which each stop has two).
 */
static inline unsigned long filter_flags(unsigned groups) {
  return SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW |
         (groups & FILTER_INTERRUPTIBLE ? 0 : SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
}
