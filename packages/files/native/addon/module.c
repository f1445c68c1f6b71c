/* The addon's surface: what TypeScript calls, by name. Types: ../../src/native.ts. */
#include "addon.h"
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* write(fd, head, headBytes, data, at, bytes) -> 0 or a negative errno. One message: head, then that part of data. */
static napi_value write_js(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  uint8_t *head, *data;
  size_t head_length, length;
  bytes_of(&call, 1, &head, &head_length);
  struct iovec io[2] = {{head, (size_t)int_of(&call, 2)}, {NULL, 0}};
  if (io[0].iov_len > head_length) return number(env, -EINVAL);
  if (call.count > 3) {
    bytes_of(&call, 3, &data, &length);
    size_t at = (size_t)int_of(&call, 4), bytes = (size_t)int_of(&call, 5);
    if (at > length || bytes > length - at) return number(env, -EINVAL);
    io[1] = (struct iovec){data + at, bytes};
  }
  return number(env, writev(int_of(&call, 0), io, io[1].iov_len ? 2 : 1) < 0 ? -errno : 0);
}

/* dieWithParent(pid) -> 0, or -ESRCH: that parent has ended already */
static napi_value die_with_parent(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return number(env, -errno);
  return number(env, getppid() == int_of(&call, 0) ? 0 : -ESRCH);
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback function;
  } functions[] = {
      {"receive", receive},
      {"stopReceiving", stop_receiving},
      {"startNotifier", start_notifier},
      {"notify", notify},
      {"socketPair", socket_pair},
      {"sendDescriptors", send_descriptors},
      {"receiveDescriptors", receive_descriptors},
      {"cloneDevice", clone_device},
      {"write", write_js},
      {"dieWithParent", die_with_parent},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value made;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &made);
    napi_set_named_property(env, exports, functions[i].name, made);
  }
  return exports;
}
