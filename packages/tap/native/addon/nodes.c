/* Two calls on paths of our own that Node has not: entries that are no file, and times to the nanosecond. */
#include "surface.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static bool path_of(const struct call *call, char into[PATH_MAX]) {
  void *data;
  size_t length;
  bytes_of(call, 0, &data, &length);
  if (length == 0 || length >= PATH_MAX) return false;
  memcpy(into, data, length);
  into[length] = 0;
  return true;
}

static struct timespec time_of(const struct call *call, int index) {
  enum { BILLION = 1000000000 };
  int64_t ns = 0;
  bool lossless;
  napi_get_value_bigint_int64(call->env, call->arguments[index], &ns, &lossless);
  int64_t seconds = ns / BILLION, rest = ns % BILLION;
  if (rest < 0) {
    rest += BILLION;
    seconds--;
  }
  return (struct timespec){seconds, rest};
}

/* makeNode(path, mode) -> 0 or -errno. A device is made with the number 0: whoever opens it gets ENXIO. */
napi_value make_node(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  char path[PATH_MAX];
  if (!path_of(&call, path)) return number(env, -ENAMETOOLONG);
  return number(env, mknod(path, (mode_t)int_of(&call, 1), 0) ? -errno : 0);
}

/* setTimes(path, atime ns as BigInt, mtime ns as BigInt) -> 0 or -errno; of a symbolic link: its own. */
napi_value set_times(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  char path[PATH_MAX];
  if (!path_of(&call, path)) return number(env, -ENAMETOOLONG);
  struct timespec times[2] = {time_of(&call, 1), time_of(&call, 2)};
  return number(env, utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) ? -errno : 0);
}
