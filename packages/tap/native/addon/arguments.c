#include "tap.h"
#include <sys/syscall.h>

unsigned call_arguments(int nr) {
  switch (nr) {
    case __NR_chdir:
    case __NR_uname:
      return 1;
    case __NR_listen:
    case __NR_statfs:
    case __NR_getcwd:
#if defined(__x86_64__)
    case __NR_stat:
    case __NR_lstat:
    case __NR_access:
    case __NR_mkdir:
    case __NR_rename:
#endif
      return 2;
    case __NR_connect:
    case __NR_bind:
    case __NR_socket:
    case __NR_getsockname:
    case __NR_getpeername:
    case __NR_sendmsg:
    case __NR_recvmsg:
    case __NR_faccessat:
    case __NR_mkdirat:
    case __NR_unlinkat:
#if defined(__x86_64__)
    case __NR_accept:
    case __NR_open:
    case __NR_readlink:
#endif
      return 3;
    case __NR_accept4:
    case __NR_sendmmsg:
    case __NR_openat:
    case __NR_newfstatat:
    case __NR_readlinkat:
      return 4;
    case __NR_recvmmsg:
    case __NR_getsockopt:
    case __NR_statx:
      return 5;
    default:
      return 6;
  }
}
