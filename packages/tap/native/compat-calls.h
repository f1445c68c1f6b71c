/*
 * Programs of the machine's older 32-bit kind, which have a table of calls of their own. i386's calls that matter here are
 * translated to x86-64's, and then are the same to everybody (addon/compat.c). What the thread would have to do itself is
 * refused (chdir to the pod) or stays this machine's (what it executes). Not among them: calls with a struct that is laid
 * out otherwise, but for stat64. 32-bit Arm's are only told apart.
 */
#pragma once
#include <sys/syscall.h>

enum compat_when {
  COMPAT_ALWAYS,
  COMPAT_POINTER,    /* only if argument `argument` is not NULL */
  COMPAT_NAMED,      /* unless argument `argument`, its flags, has AT_EMPTY_PATH */
  COMPAT_SOCKET_ERROR, /* getsockopt of SO_ERROR */
};

struct compat_call {
  int nr, native;
  unsigned char when, argument;
};

#if defined(__x86_64__)

#define COMPAT_ARCH AUDIT_ARCH_I386
enum { COMPAT_EXECVE = 11, COMPAT_EXECVEAT = 358, COMPAT_SECCOMP = 354, COMPAT_SOCKETCALL = 102, COMPAT_TRUNCATE64 = 193,
       COMPAT_UNAME = 122 };

static const struct compat_call compat_network[] = {
    {362, __NR_connect, 0, 0},
    {361, __NR_bind, 0, 0},
    {363, __NR_listen, 0, 0},
    {364, __NR_accept4, COMPAT_POINTER, 1},
    {367, __NR_getsockname, 0, 0},
    {368, __NR_getpeername, 0, 0},
    {369, __NR_sendto, COMPAT_POINTER, 4},
    {371, __NR_recvfrom, COMPAT_POINTER, 4},
    {365, __NR_getsockopt, COMPAT_SOCKET_ERROR, 0},
};

/* socketcall(2): `nr` is its first argument, the others are in memory; how many there are. */
struct compat_socketcall {
  int nr, native;
  unsigned char arguments, when, argument;
};
static const struct compat_socketcall compat_socketcalls[] = {
    {2, __NR_bind, 3, 0, 0},
    {3, __NR_connect, 3, 0, 0},
    {4, __NR_listen, 2, 0, 0},
    {5, __NR_accept, 3, COMPAT_POINTER, 1},
    {6, __NR_getsockname, 3, 0, 0},
    {7, __NR_getpeername, 3, 0, 0},
    {11, __NR_sendto, 6, COMPAT_POINTER, 4},
    {12, __NR_recvfrom, 6, COMPAT_POINTER, 4},
    {15, __NR_getsockopt, 5, COMPAT_SOCKET_ERROR, 0},
    {18, __NR_accept4, 4, COMPAT_POINTER, 1},
};

static const struct compat_call compat_files[] = {
    {5, __NR_open, 0, 0},
    {8, __NR_creat, 0, 0},
    {9, __NR_link, 0, 0},
    {10, __NR_unlink, 0, 0},
    {12, __NR_chdir, 0, 0},
    {14, __NR_mknod, 0, 0},
    {15, __NR_chmod, 0, 0},
    {33, __NR_access, 0, 0},
    {38, __NR_rename, 0, 0},
    {39, __NR_mkdir, 0, 0},
    {40, __NR_rmdir, 0, 0},
    {83, __NR_symlink, 0, 0},
    {85, __NR_readlink, 0, 0},
    {92, __NR_truncate, 0, 0},
    {COMPAT_TRUNCATE64, __NR_truncate, 0, 0},
    {183, __NR_getcwd, 0, 0},
    {195, __NR_stat, 0, 0},
    {196, __NR_lstat, 0, 0},
    {198, __NR_lchown, 0, 0},
    {212, __NR_chown, 0, 0},
    {226, __NR_setxattr, 0, 0},
    {227, __NR_lsetxattr, 0, 0},
    {229, __NR_getxattr, 0, 0},
    {230, __NR_lgetxattr, 0, 0},
    {232, __NR_listxattr, 0, 0},
    {233, __NR_llistxattr, 0, 0},
    {235, __NR_removexattr, 0, 0},
    {236, __NR_lremovexattr, 0, 0},
    {292, __NR_inotify_add_watch, 0, 0},
    {295, __NR_openat, 0, 0},
    {296, __NR_mkdirat, 0, 0},
    {297, __NR_mknodat, 0, 0},
    {298, __NR_fchownat, COMPAT_NAMED, 4},
    {300, __NR_newfstatat, COMPAT_NAMED, 3},
    {301, __NR_unlinkat, 0, 0},
    {302, __NR_renameat, 0, 0},
    {303, __NR_linkat, 0, 0},
    {304, __NR_symlinkat, 0, 0},
    {305, __NR_readlinkat, 0, 0},
    {306, __NR_fchmodat, 0, 0},
    {307, __NR_faccessat, 0, 0},
    {353, __NR_renameat2, 0, 0},
    {383, __NR_statx, COMPAT_NAMED, 2},
    {412, __NR_utimensat, COMPAT_POINTER, 1},
    {437, __NR_openat2, 0, 0},
    {439, __NR_faccessat2, 0, 0},
    {NEWER_FCHMODAT2, NEWER_FCHMODAT2, 0, 0},
};

#elif defined(__aarch64__)

#define COMPAT_ARCH AUDIT_ARCH_ARM
enum { COMPAT_EXECVE = 11, COMPAT_EXECVEAT = 387, COMPAT_SECCOMP = 383 };
/* Told, and let go on: bind, connect, open, openat. */
static const int compat_noticed[] = {282, 283, 5, 322};

#endif
