/* The socket by which programs that inpod has not started come into the session (../preload/preload.c). */
#include "surface.h"
#include <errno.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { WAITING = 64, REST_MS = 100 };

static void *attend(void *argument) {
  int door = (int)(intptr_t)argument;
  for (;;) {
    int fd = accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EINVAL || errno == EBADF)) break; /* shut: close_door() */
    if (fd < 0) {
      struct timespec rest = {0, REST_MS * 1000000L}; /* EMFILE: until somebody has gone */
      if (errno != EINTR && errno != ECONNABORTED) nanosleep(&rest, NULL);
      continue;
    }
    struct ucred peer = {0};
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) close(fd);
    else emit_visitor(fd, peer.pid, peer.uid);
  }
  close(door);
  return NULL;
}

/* openDoor(path) -> fd or -errno. "visitor" tells of each connection, whose descriptor is TypeScript's then. */
napi_value open_door(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  void *path;
  size_t length;
  bytes_of(&call, 0, &path, &length);
  if (length == 0 || length >= sizeof at.sun_path) return number(env, -ENAMETOOLONG);
  memcpy(at.sun_path, path, length);
  int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (door < 0) return number(env, -errno);
  int failed = bind(door, (struct sockaddr *)&at, sizeof at) || chmod(at.sun_path, 0600) || listen(door, WAITING) ? -errno : 0;
  if (!failed) failed = thread_start(attend, (void *)(intptr_t)door);
  if (!failed) return number(env, door);
  close(door);
  return number(env, failed);
}

/* closeDoor(fd): nobody comes any more. Once; the descriptor is closed by its thread. */
napi_value close_door(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, shutdown(int_of(&call, 0), SHUT_RDWR) ? -errno : 0);
}

/* tell(fd, bytes) -> 0 or -errno: all of it or nothing, without waiting. */
napi_value tell(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  void *data;
  size_t length;
  bytes_of(&call, 1, &data, &length);
  ssize_t sent = send(int_of(&call, 0), data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return number(env, sent < 0 ? -errno : sent == (ssize_t)length ? 0 : -EMSGSIZE);
}
