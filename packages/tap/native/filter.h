/*
 * The seccomp filter: which calls of the user's process stop and wait for inpod (seccomp(2), seccomp_unotify(2)).
 * Only control-plane calls are here; reading, writing and polling never stop. What cannot concern
 * inpod by its arguments alone is let through in BPF, because a stop costs some 8 microseconds.
 */
#pragma once
#include "filter-groups.h"
#include "newer-calls.h"
#include "udp-numbers.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include "compat-calls.h"

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#else
#error "inpod's tap knows x86-64 and arm64"
#endif

enum { FILTER_MAX = 512, FILTER_AT_EMPTY_PATH = 0x1000, FILTER_ENOSYS = 38, FILTER_EAFNOSUPPORT = 97, FILTER_EALREADY = 114 };

/* prctl(FILTER_ASK) is EALREADY in a process that has this filter, and EINVAL in every other one. */
enum { FILTER_ASK = 0x494e504f /* "INPO" */ };

struct filter {
  struct sock_filter code[FILTER_MAX];
  unsigned short length;
};

static void filter_add(struct filter *f, uint16_t code, uint8_t jump_true, uint8_t jump_false, uint32_t k) {
  if (f->length < FILTER_MAX) f->code[f->length++] = (struct sock_filter){code, jump_true, jump_false, k};
}

static void filter_load(struct filter *f, size_t offset) {
  filter_add(f, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}
static void filter_return(struct filter *f, uint32_t action) { filter_add(f, BPF_RET | BPF_K, 0, 0, action); }
static void filter_if_equal(struct filter *f, uint32_t value, uint8_t skip_true, uint8_t skip_false) {
  filter_add(f, BPF_JMP | BPF_JEQ | BPF_K, skip_true, skip_false, value);
}

/* Both supported architectures are little-endian: the low half of an argument comes first. */
static size_t filter_low(int argument) { return offsetof(struct seccomp_data, args) + 8 * (size_t)argument; }
static size_t filter_high(int argument) { return filter_low(argument) + 4; }

static void filter_trap(struct filter *f, long nr) {
  filter_if_equal(f, (uint32_t)nr, 0, 1);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
}

/* Traps `nr` only when its pointer argument is not NULL. */
static void filter_trap_pointer(struct filter *f, long nr, int argument) {
  filter_if_equal(f, (uint32_t)nr, 0, 6);
  filter_load(f, filter_low(argument));
  filter_if_equal(f, 0, 0, 2);
  filter_load(f, filter_high(argument));
  filter_if_equal(f, 0, 1, 0);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
  filter_return(f, SECCOMP_RET_ALLOW);
}

static void filter_tell_presence(struct filter *f) {
  filter_if_equal(f, (uint32_t)__NR_prctl, 0, 4);
  filter_load(f, filter_low(0));
  filter_if_equal(f, FILTER_ASK, 0, 1);
  filter_return(f, SECCOMP_RET_ERRNO | FILTER_EALREADY);
  filter_return(f, SECCOMP_RET_ALLOW);
}

/* glibc's fstat(fd) is newfstatat(fd, "", …, AT_EMPTY_PATH): no path, so nothing to decide. */
static void filter_trap_unless_empty_path(struct filter *f, long nr, int flags_argument) {
  filter_if_equal(f, (uint32_t)nr, 0, 4);
  filter_load(f, filter_low(flags_argument));
  filter_add(f, BPF_JMP | BPF_JSET | BPF_K, 0, 1, FILTER_AT_EMPTY_PATH);
  filter_return(f, SECCOMP_RET_ALLOW);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
}

/* getsockopt(fd, SOL_SOCKET, SO_ERROR, …): how programs ask for the verdict of a non-blocking connect. */
static void filter_trap_socket_error(struct filter *f, long nr) {
  filter_if_equal(f, (uint32_t)nr, 0, 6);
  filter_load(f, filter_low(1));
  filter_if_equal(f, 1 /* SOL_SOCKET */, 0, 3);
  filter_load(f, filter_low(2));
  filter_if_equal(f, 4 /* SO_ERROR */, 0, 1);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
  filter_return(f, SECCOMP_RET_ALLOW);
}

static void filter_refuse_ipv6(struct filter *f) {
  filter_if_equal(f, (uint32_t)__NR_socket, 0, 4);
  filter_load(f, filter_low(0));
  filter_if_equal(f, 10 /* AF_INET6 */, 0, 1);
  filter_return(f, SECCOMP_RET_ERRNO | FILTER_EAFNOSUPPORT);
  filter_load(f, offsetof(struct seccomp_data, nr));
}

/* socket(2) of UDP, over IPv4 or IPv6. */
static void filter_trap_udp_socket(struct filter *f) {
  filter_if_equal(f, (uint32_t)__NR_socket, 0, 11);
  filter_load(f, filter_low(0));
  filter_if_equal(f, 2 /* AF_INET */, 1, 0);
  filter_if_equal(f, 10 /* AF_INET6 */, 0, 7);
  filter_load(f, filter_low(1));
  filter_add(f, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf /* SOCK_TYPE_MASK */);
  filter_if_equal(f, 2 /* SOCK_DGRAM */, 0, 4);
  filter_load(f, filter_low(2));
  filter_if_equal(f, 0, 1, 0);
  filter_if_equal(f, 17 /* IPPROTO_UDP */, 0, 1);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
  filter_return(f, SECCOMP_RET_ALLOW);
}

/* Calls with a message, on descriptors that only UDP sockets have, as a rule: addon/messages.c gives them out. */
static void filter_trap_messages(struct filter *f) {
  filter_if_equal(f, (uint32_t)__NR_sendmsg, 3, 0);
  filter_if_equal(f, (uint32_t)__NR_recvmsg, 2, 0);
  filter_if_equal(f, (uint32_t)__NR_sendmmsg, 1, 0);
  filter_if_equal(f, (uint32_t)__NR_recvmmsg, 0, 5);
  filter_load(f, filter_low(0));
  filter_add(f, BPF_JMP | BPF_JGE | BPF_K, 0, 2, FIRST_UDP);
  filter_add(f, BPF_JMP | BPF_JGT | BPF_K, 1, 0, LAST_UDP);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
  filter_return(f, SECCOMP_RET_ALLOW);
}

/* Copies of such a descriptor: they are to be at such numbers, too. */
static void filter_trap_udp_copies(struct filter *f) {
  enum { DUPFD = 0, DUPFD_CLOEXEC = 1030 };
  filter_if_equal(f, (uint32_t)__NR_dup, 0, 5);
  filter_load(f, filter_low(0));
  filter_add(f, BPF_JMP | BPF_JGE | BPF_K, 0, 2, FIRST_UDP);
  filter_add(f, BPF_JMP | BPF_JGT | BPF_K, 1, 0, LAST_UDP);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
  filter_return(f, SECCOMP_RET_ALLOW);
  filter_if_equal(f, (uint32_t)__NR_fcntl, 0, 8);
  filter_load(f, filter_low(1));
  filter_if_equal(f, DUPFD, 1, 0);
  filter_if_equal(f, DUPFD_CLOEXEC, 0, 4);
  filter_load(f, filter_low(0));
  filter_add(f, BPF_JMP | BPF_JGE | BPF_K, 0, 2, FIRST_UDP);
  filter_add(f, BPF_JMP | BPF_JGT | BPF_K, 1, 0, LAST_UDP);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
  filter_return(f, SECCOMP_RET_ALLOW);
}

/* To a number of the program's choice, where calls with messages are not seen: a person is told. */
static void filter_trap_udp_moved(struct filter *f, long nr) {
  filter_if_equal(f, (uint32_t)nr, 0, 8);
  filter_load(f, filter_low(0));
  filter_add(f, BPF_JMP | BPF_JGE | BPF_K, 0, 5, FIRST_UDP);
  filter_add(f, BPF_JMP | BPF_JGT | BPF_K, 4, 0, LAST_UDP);
  filter_load(f, filter_low(1));
  filter_add(f, BPF_JMP | BPF_JGE | BPF_K, 0, 1, FIRST_UDP);
  filter_add(f, BPF_JMP | BPF_JGT | BPF_K, 0, 1, LAST_UDP);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
  filter_return(f, SECCOMP_RET_ALLOW);
}

/* TCP Fast Open with an address in a message, which connects; sendto's is an argument, so it is trapped anyway. */
static void filter_trap_fast_open(struct filter *f, long nr, int flags_argument) {
  filter_if_equal(f, (uint32_t)nr, 0, 4);
  filter_load(f, filter_low(flags_argument));
  filter_add(f, BPF_JMP | BPF_JSET | BPF_K, 0, 1, 0x20000000 /* MSG_FASTOPEN */);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
  filter_load(f, offsetof(struct seccomp_data, nr));
}

static void filter_trap_all(struct filter *f, const long *numbers, size_t count) {
  for (size_t i = 0; i < count; i++) filter_trap(f, numbers[i]);
}

/* All that look up a path: addon/calls.c has their arguments. Those that only have a descriptor are not among them. */
static void filter_files(struct filter *f) {
  static const long numbers[] = {
      __NR_openat, __NR_openat2, __NR_faccessat, __NR_faccessat2, __NR_readlinkat, __NR_statfs, __NR_getcwd, __NR_chdir,
      __NR_inotify_add_watch, __NR_name_to_handle_at, __NR_mkdirat, __NR_unlinkat, __NR_renameat2, __NR_linkat,
      __NR_symlinkat, __NR_mknodat, __NR_fchmodat, NEWER_FCHMODAT2, __NR_truncate, __NR_getxattr, __NR_lgetxattr,
      __NR_listxattr, __NR_llistxattr, __NR_setxattr, __NR_lsetxattr, __NR_removexattr, __NR_lremovexattr,
      NEWER_SETXATTRAT, NEWER_GETXATTRAT, NEWER_LISTXATTRAT, NEWER_REMOVEXATTRAT,
#if defined(__NR_renameat)
      __NR_renameat,
#endif
#if defined(__x86_64__)
      __NR_open, __NR_creat, __NR_stat, __NR_lstat, __NR_access, __NR_readlink, __NR_mkdir, __NR_rmdir, __NR_unlink,
      __NR_rename, __NR_link, __NR_symlink, __NR_mknod, __NR_chmod, __NR_chown, __NR_lchown, __NR_utime, __NR_utimes,
#endif
  };
  filter_trap_all(f, numbers, sizeof numbers / sizeof *numbers);
  /* They may change what absolute names mean. */
  filter_trap(f, __NR_chroot);
  filter_trap(f, __NR_pivot_root);
  filter_trap(f, __NR_setns);
  filter_trap_unless_empty_path(f, __NR_newfstatat, 3);
  filter_trap_unless_empty_path(f, __NR_statx, 2);
  filter_trap_unless_empty_path(f, __NR_fchownat, 4);
  filter_trap_pointer(f, __NR_utimensat, 1); /* NULL: of the descriptor itself */
#if defined(__x86_64__)
  filter_trap_pointer(f, __NR_futimesat, 1);
#endif
}

/* A filter with a listener of its own: refused with EBUSY, so a person is told by whom (addon/programs.c). */
static void filter_trap_new_listener(struct filter *f, long nr) {
  filter_if_equal(f, (uint32_t)nr, 0, 6);
  filter_load(f, filter_low(0));
  filter_if_equal(f, SECCOMP_SET_MODE_FILTER, 0, 3);
  filter_load(f, filter_low(1));
  filter_add(f, BPF_JMP | BPF_JSET | BPF_K, 0, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  filter_return(f, SECCOMP_RET_USER_NOTIF);
  filter_return(f, SECCOMP_RET_ALLOW);
}

#if defined(__x86_64__)

static void filter_trap_compat(struct filter *f, const struct compat_call *calls, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (calls[i].when == COMPAT_POINTER) filter_trap_pointer(f, calls[i].nr, calls[i].argument);
    else if (calls[i].when == COMPAT_NAMED) filter_trap_unless_empty_path(f, calls[i].nr, calls[i].argument);
    else if (calls[i].when == COMPAT_SOCKET_ERROR) filter_trap_socket_error(f, calls[i].nr);
    else filter_trap(f, calls[i].nr);
  }
}

/* Which call it is stands in a register, so sending and receiving without a name need no stop here either. */
static void filter_trap_socketcall(struct filter *f) {
  enum { COUNT = sizeof compat_socketcalls / sizeof *compat_socketcalls };
  filter_if_equal(f, COMPAT_SOCKETCALL, 0, 2 * COUNT + 2);
  filter_load(f, filter_low(0));
  for (int i = 0; i < COUNT; i++) filter_trap(f, compat_socketcalls[i].nr);
  filter_return(f, SECCOMP_RET_ALLOW);
}

static void filter_compat_groups(struct filter *f, unsigned groups) {
  if (groups & FILTER_HOSTNAME) filter_trap(f, COMPAT_UNAME);
  if (groups & FILTER_FILES) filter_trap_compat(f, compat_files, sizeof compat_files / sizeof *compat_files);
  if (!(groups & FILTER_NETWORK)) return;
  filter_trap_compat(f, compat_network, sizeof compat_network / sizeof *compat_network);
  filter_trap_socketcall(f);
  filter_if_equal(f, (uint32_t)__NR_io_uring_setup, 0, 1); /* one number on all architectures */
  filter_return(f, SECCOMP_RET_ERRNO | FILTER_ENOSYS);
}

#else

static void filter_compat_groups(struct filter *f, unsigned groups) {
  if (!(groups & (FILTER_NETWORK | FILTER_FILES))) return;
  for (size_t i = 0; i < sizeof compat_noticed / sizeof *compat_noticed; i++) filter_trap(f, compat_noticed[i]);
}

#endif

/* For calls of another architecture than the machine's own; ends in a verdict. */
static void filter_compat(struct filter *f, unsigned groups) {
  filter_if_equal(f, COMPAT_ARCH, 1, 0);
  filter_return(f, SECCOMP_RET_ALLOW);
  filter_load(f, offsetof(struct seccomp_data, nr));
  filter_trap(f, COMPAT_EXECVE);
  filter_trap(f, COMPAT_EXECVEAT);
  filter_trap_new_listener(f, COMPAT_SECCOMP);
  filter_compat_groups(f, groups);
  filter_return(f, SECCOMP_RET_ALLOW);
}

static void filter_build(struct filter *f, unsigned groups) {
  f->length = 0;
  filter_load(f, offsetof(struct seccomp_data, arch));
  filter_if_equal(f, FILTER_ARCH, 0, 1);
  unsigned short over = f->length;
  filter_add(f, BPF_JMP | BPF_JA, 0, 0, 0);
  filter_compat(f, groups);
  f->code[over].k = (uint32_t)(f->length - over - 1); /* a conditional jump would not reach so far */
  filter_load(f, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
  /* The x32 table shares the architecture number; nobody uses it, and it would be a way past the tap. */
  filter_add(f, BPF_JMP | BPF_JGE | BPF_K, 0, 1, 0x40000000);
  filter_return(f, SECCOMP_RET_ERRNO | FILTER_ENOSYS);
#endif
  /* Marks the process as changed: who is tapped is decided anew for each program. */
  filter_trap(f, __NR_execve);
  filter_trap(f, __NR_execveat);
  filter_trap_new_listener(f, __NR_seccomp);
  filter_tell_presence(f);
  if (groups & FILTER_FILES) filter_files(f);
  if (groups & FILTER_HOSTNAME) filter_trap(f, __NR_uname);
  if (groups & FILTER_NO_IPV6) filter_refuse_ipv6(f);
  if (groups & FILTER_NETWORK) {
    filter_trap(f, __NR_connect);
    filter_trap(f, __NR_bind);
    filter_trap(f, __NR_listen);
    filter_trap_pointer(f, __NR_accept, 1);
    filter_trap_pointer(f, __NR_accept4, 1);
    filter_trap(f, __NR_getsockname);
    filter_trap(f, __NR_getpeername);
    filter_trap_pointer(f, __NR_sendto, 4);
    filter_trap_pointer(f, __NR_recvfrom, 4);
    filter_trap_socket_error(f, __NR_getsockopt);
    filter_trap_udp_socket(f);
    filter_trap_fast_open(f, __NR_sendmsg, 2);
    filter_trap_fast_open(f, __NR_sendmmsg, 3);
    filter_trap_messages(f);
    filter_trap_udp_copies(f);
    filter_trap_udp_moved(f, __NR_dup3);
#if defined(__x86_64__)
    filter_trap_udp_moved(f, __NR_dup2);
#endif
    /* Rings would connect and accept past the tap; every user of them falls back. */
    filter_if_equal(f, (uint32_t)__NR_io_uring_setup, 0, 1);
    filter_return(f, SECCOMP_RET_ERRNO | FILTER_ENOSYS);
  }
  filter_return(f, SECCOMP_RET_ALLOW);
}
