/* The calls with a path, and where their arguments are. */
#include "paths.h"
#include <fcntl.h>
#include <sys/syscall.h>

/* clang-format off */
static const struct path_call calls[] = {
#if defined(__x86_64__)
  [__NR_open] = {"open", CALL_OPEN, -1, 0, 1, 0, 0},
  [__NR_stat] = {"stat", CALL_STAT, -1, 0, -1, PATH_LOOKUP, 0},
  [__NR_lstat] = {"stat", CALL_STAT, -1, 0, -1, PATH_LOOKUP, AT_SYMLINK_NOFOLLOW},
  [__NR_access] = {"access", CALL_ACCESS, -1, 0, -1, PATH_LOOKUP, 0},
  [__NR_readlink] = {"readlink", CALL_READLINK, -1, 0, -1, PATH_LOOKUP, AT_SYMLINK_NOFOLLOW},
#endif
  [__NR_openat] = {"open", CALL_OPEN, 0, 1, 2, 0, 0},
  [__NR_openat2] = {"open", CALL_OPEN, 0, 1, -1, 0, 0},
  [__NR_newfstatat] = {"stat", CALL_STAT, 0, 1, 3, PATH_LOOKUP, 0},
  [__NR_statx] = {"stat", CALL_STAT, 0, 1, 2, PATH_LOOKUP, 0},
  [__NR_faccessat] = {"access", CALL_ACCESS, 0, 1, -1, PATH_LOOKUP, 0},
  [__NR_faccessat2] = {"access", CALL_ACCESS, 0, 1, 3, PATH_LOOKUP, 0},
  [__NR_readlinkat] = {"readlink", CALL_READLINK, 0, 1, -1, PATH_LOOKUP, AT_SYMLINK_NOFOLLOW},
};
/* clang-format on */

const struct path_call *call_of_number(int nr) {
  if (nr < 0 || (size_t)nr >= sizeof calls / sizeof *calls || !calls[nr].name) return NULL;
  return &calls[nr];
}
