/* The calls with a path, and where their arguments are. ../filter.h traps them. */
#include "paths.h"
#include "newer-calls.h"
#include <fcntl.h>
#include <sys/syscall.h>

#define NOFOLLOW AT_SYMLINK_NOFOLLOW
#define READ PATH_READ
#define WRITE PATH_WRITE
#define LOOKUP PATH_LOOKUP

/* clang-format off */
static const struct path_call calls[] = {
#if defined(__x86_64__)
  [__NR_open] = {"open", CALL_OPEN, -1, 0, 1, 0, 0, 0, 0},
  [__NR_creat] = {"open", CALL_OPEN, -1, 0, -1, WRITE, O_CREAT | O_WRONLY | O_TRUNC, 0, 0},
  [__NR_stat] = {"stat", CALL_STAT, -1, 0, -1, LOOKUP, 0, 0, 0},
  [__NR_lstat] = {"stat", CALL_STAT, -1, 0, -1, LOOKUP, NOFOLLOW, 0, 0},
  [__NR_access] = {"access", CALL_ACCESS, -1, 0, -1, LOOKUP, 0, 0, 0},
  [__NR_readlink] = {"readlink", CALL_READLINK, -1, 0, -1, LOOKUP, NOFOLLOW, 0, 0},
  [__NR_mkdir] = {"mkdir", CALL_MKDIR, -1, 0, -1, WRITE, 0, 0, 0},
  [__NR_rmdir] = {"rmdir", CALL_UNLINK, -1, 0, -1, WRITE, AT_REMOVEDIR, 0, 0},
  [__NR_unlink] = {"unlink", CALL_UNLINK, -1, 0, -1, WRITE, 0, 0, 0},
  [__NR_rename] = {"rename", CALL_RENAME, -1, 0, -1, WRITE, 0, -1, 1},
  [__NR_link] = {"link", CALL_LINK, -1, 0, -1, WRITE, 0, -1, 1},
  [__NR_symlink] = {"symlink", CALL_SYMLINK, -1, 1, -1, WRITE, 0, 0, 0},
  [__NR_mknod] = {"mknod", CALL_MKNOD, -1, 0, -1, WRITE, 0, 0, 0},
  [__NR_chmod] = {"chmod", CALL_CHMOD, -1, 0, -1, WRITE, 0, 0, 0},
  [__NR_chown] = {"chown", CALL_CHOWN, -1, 0, -1, WRITE, 0, 0, 0},
  [__NR_lchown] = {"chown", CALL_CHOWN, -1, 0, -1, WRITE, NOFOLLOW, 0, 0},
  [__NR_utime] = {"utime", CALL_UTIMES, -1, 0, -1, WRITE, 0, 0, 0},
  [__NR_utimes] = {"utime", CALL_UTIMES, -1, 0, -1, WRITE, 0, 0, 0},
  [__NR_futimesat] = {"utime", CALL_UTIMES, 0, 1, -1, WRITE, 0, 0, 0},
#endif
  [__NR_openat] = {"open", CALL_OPEN, 0, 1, 2, 0, 0, 0, 0},
  [__NR_openat2] = {"open", CALL_OPEN, 0, 1, -1, 0, 0, 0, 0},
  [__NR_newfstatat] = {"stat", CALL_STAT, 0, 1, 3, LOOKUP, 0, 0, 0},
  [__NR_statx] = {"stat", CALL_STAT, 0, 1, 2, LOOKUP, 0, 0, 0},
  [__NR_faccessat] = {"access", CALL_ACCESS, 0, 1, -1, LOOKUP, 0, 0, 0},
  [__NR_faccessat2] = {"access", CALL_ACCESS, 0, 1, 3, LOOKUP, 0, 0, 0},
  [__NR_readlinkat] = {"readlink", CALL_READLINK, 0, 1, -1, LOOKUP, NOFOLLOW, 0, 0},
  [__NR_statfs] = {"statfs", CALL_STATFS, -1, 0, -1, LOOKUP, 0, 0, 0},
  [__NR_inotify_add_watch] = {"inotify", CALL_INOTIFY, -1, 1, -1, LOOKUP, 0, 0, 0},
  [__NR_name_to_handle_at] = {"handle", CALL_HANDLE, 0, 1, -1, LOOKUP, 0, 0, 0},
  [__NR_getcwd] = {"getcwd", CALL_GETCWD, -1, -1, -1, LOOKUP, 0, 0, 0},
  [__NR_chdir] = {"chdir", CALL_CHDIR, -1, 0, -1, LOOKUP, 0, 0, 0},
  [__NR_execve] = {"exec", CALL_EXEC, -1, 0, -1, READ, 0, 0, 0},
  [__NR_execveat] = {"exec", CALL_EXEC, 0, 1, 4, READ, 0, 0, 0},
  [__NR_mkdirat] = {"mkdir", CALL_MKDIR, 0, 1, -1, WRITE, 0, 0, 0},
  [__NR_unlinkat] = {"unlink", CALL_UNLINK, 0, 1, 2, WRITE, 0, 0, 0},
#if defined(__NR_renameat)
  [__NR_renameat] = {"rename", CALL_RENAME, 0, 1, -1, WRITE, 0, 2, 3},
#endif
  [__NR_renameat2] = {"rename", CALL_RENAME, 0, 1, 4, WRITE, 0, 2, 3},
  [__NR_linkat] = {"link", CALL_LINK, 0, 1, 4, WRITE, 0, 2, 3},
  [__NR_symlinkat] = {"symlink", CALL_SYMLINK, 1, 2, -1, WRITE, 0, 0, 0},
  [__NR_mknodat] = {"mknod", CALL_MKNOD, 0, 1, -1, WRITE, 0, 0, 0},
  [__NR_fchmodat] = {"chmod", CALL_CHMOD, 0, 1, -1, WRITE, 0, 0, 0},
  [NEWER_FCHMODAT2] = {"chmod", CALL_CHMOD, 0, 1, 3, WRITE, 0, 0, 0},
  [__NR_fchownat] = {"chown", CALL_CHOWN, 0, 1, 4, WRITE, 0, 0, 0},
  [__NR_utimensat] = {"utime", CALL_UTIMES, 0, 1, 3, WRITE, 0, 0, 0},
  [__NR_truncate] = {"truncate", CALL_TRUNCATE, -1, 0, -1, WRITE, 0, 0, 0},
  [__NR_getxattr] = {"getxattr", CALL_GETXATTR, -1, 0, -1, LOOKUP, 0, 0, 0},
  [__NR_lgetxattr] = {"getxattr", CALL_GETXATTR, -1, 0, -1, LOOKUP, NOFOLLOW, 0, 0},
  [__NR_listxattr] = {"listxattr", CALL_LISTXATTR, -1, 0, -1, LOOKUP, 0, 0, 0},
  [__NR_llistxattr] = {"listxattr", CALL_LISTXATTR, -1, 0, -1, LOOKUP, NOFOLLOW, 0, 0},
  [__NR_setxattr] = {"setxattr", CALL_SETXATTR, -1, 0, -1, WRITE, 0, 0, 0},
  [__NR_lsetxattr] = {"setxattr", CALL_SETXATTR, -1, 0, -1, WRITE, NOFOLLOW, 0, 0},
  [__NR_removexattr] = {"removexattr", CALL_REMOVEXATTR, -1, 0, -1, WRITE, 0, 0, 0},
  [__NR_lremovexattr] = {"removexattr", CALL_REMOVEXATTR, -1, 0, -1, WRITE, NOFOLLOW, 0, 0},
  [NEWER_SETXATTRAT] = {"setxattr", CALL_UNKNOWN, 0, 1, -1, WRITE, 0, 0, 0},
  [NEWER_GETXATTRAT] = {"getxattr", CALL_UNKNOWN, 0, 1, -1, LOOKUP, 0, 0, 0},
  [NEWER_LISTXATTRAT] = {"listxattr", CALL_UNKNOWN, 0, 1, -1, LOOKUP, 0, 0, 0},
  [NEWER_REMOVEXATTRAT] = {"removexattr", CALL_UNKNOWN, 0, 1, -1, WRITE, 0, 0, 0},
};
/* clang-format on */

const struct path_call *call_of_number(int nr) {
  if (nr < 0 || (size_t)nr >= sizeof calls / sizeof *calls || !calls[nr].name) return NULL;
  return &calls[nr];
}
