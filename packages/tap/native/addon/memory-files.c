/* Files that are only in memory: what a program opens as the pod's, and the environment it is started with. */
#include "surface.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int sealed_file(const char *name, const char *content, size_t length, mode_t mode, int64_t mtime_ns) {
  int writable = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), fd = -1;
  if (writable < 0) return -errno;
  for (size_t done = 0; done < length;) {
    ssize_t put_now = write(writable, content + done, length - done);
    if (put_now > 0) {
      done += (size_t)put_now;
    } else if (errno != EINTR) {
      int error = errno;
      close(writable);
      return -error;
    }
  }
  struct timespec times[2] = {{mtime_ns / 1000000000, mtime_ns % 1000000000},
                              {mtime_ns / 1000000000, mtime_ns % 1000000000}};
  futimens(writable, times);
  fchmod(writable, mode & 07777);
  fcntl(writable, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  /* Opened anew: read-only, with an offset of its own. */
  char self[64];
  snprintf(self, sizeof self, "/proc/self/fd/%d", writable);
  fd = open(self, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return writable; /* a mode without read permission, and we are not root */
  close(writable);
  return fd;
}

/* environmentFile(content) -> fd, or -errno */
napi_value environment_file(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  void *content;
  size_t length;
  bytes_of(&call, 0, &content, &length);
  return number(env, sealed_file("inpod-environment", content, length, 0600, 0));
}
