/* The registers of a stopped thread, as far as system calls are concerned. */
#pragma once
#include <linux/elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

enum { ERESTARTSYS_KERNEL = 512 }; /* never seen by programs: the call was interrupted, and is made again */

typedef struct user_regs_struct registers;

static inline bool registers_get(pid_t tid, registers *into) {
  struct iovec io = {into, sizeof *into};
  return ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &io) == 0;
}
static inline bool registers_set(pid_t tid, const registers *from) {
  struct iovec io = {(void *)(uintptr_t)from, sizeof *from};
  return ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &io) == 0;
}

#if defined(__x86_64__)

enum { SYSCALL_BYTES = 2 };

/* Whether the thread was interrupted in just this call, and would make it again. */
static inline bool registers_are_in(const registers *r, int nr, const uint64_t args[6]) {
  return (int)r->orig_rax == nr && (int64_t)r->rax == -ERESTARTSYS_KERNEL && r->rdi == args[0] && r->rsi == args[1];
}
/* Makes another call by the same instruction. */
static inline void registers_call(registers *r, long nr, const uint64_t args[6]) {
  r->rip -= SYSCALL_BYTES;
  r->rax = (uint64_t)nr;
  r->orig_rax = (uint64_t)-1; /* no call any more that the kernel would restart */
  r->rdi = args[0];
  r->rsi = args[1];
  r->rdx = args[2];
  r->r10 = args[3];
  r->r8 = args[4];
  r->r9 = args[5];
}
static inline int64_t registers_result(const registers *r) { return (int64_t)r->rax; }
/* As if the interrupted call had returned with it. */
static inline void registers_return(registers *r, int64_t result) {
  r->rax = (uint64_t)result;
  r->orig_rax = (uint64_t)-1;
}

#elif defined(__aarch64__)

enum { SYSCALL_BYTES = 4 };

/* arm64 winds the program counter back to the instruction before it stops (do_signal() in Linux' signal.c). */
static inline bool registers_are_in(const registers *r, int nr, const uint64_t args[6]) {
  return (int)r->regs[8] == nr && r->regs[0] == args[0] && r->regs[1] == args[1];
}
static inline void registers_call(registers *r, long nr, const uint64_t args[6]) {
  r->regs[8] = (uint64_t)nr;
  for (int i = 0; i < 6; i++) r->regs[i] = args[i];
}
static inline int64_t registers_result(const registers *r) { return (int64_t)r->regs[0]; }
static inline void registers_return(registers *r, int64_t result) {
  r->regs[0] = (uint64_t)result;
  r->pc += SYSCALL_BYTES;
}

#endif
