#define _GNU_SOURCE
#include "connecting.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "below.h"
#include "seqpacket.h"

// A listener that accepts nobody keeps its clients waiting for ever; ours has other clients.
enum { CONNECT_SECONDS = 10 };

static int channel = -1;
static pthread_mutex_t sending = PTHREAD_MUTEX_INITIALIZER;

void connecting_begin(int fd) { channel = fd; }

// Links in it are followed as the target would; none leads out of its root.
static int open_name(const char *path) {
  int root = below_root();
  if (root < 0) return -errno;
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  int fd = syscall(SYS_openat2, root, path, &how, sizeof how), error = errno;
  close(root);
  if (fd >= 0) return fd;
  return error == ENOSYS || error == EPERM ? below_open(path) : -error;
}

static int connect_path(int fd, const char *path) {
  int name = open_name(path);
  if (name < 0) return name;
  // By its descriptor: what the path names may be another one meanwhile, and paths are longer than sun_path.
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", name);
  int error = connect(fd, (struct sockaddr *)&address, sizeof address) ? -errno : 0;
  close(name);
  return error;
}

static int connect_abstract(int fd, const uint8_t *name, size_t length) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (length >= sizeof address.sun_path) return -EINVAL;
  memcpy(address.sun_path + 1, name, length);
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + length;
  return connect(fd, (struct sockaddr *)&address, size) ? -errno : 0;
}

// As a parent of Node's own kind would (lib/internal/child_process.js): a line of JSON, with the descriptor beside it.
static int hand_over(int fd, uint32_t id) {
  char text[120], heard[4096], control[CMSG_SPACE(sizeof fd)] = {0};
  int length = snprintf(text, sizeof text, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":{\"id\":%u}}\n", id);
  struct iovec part = {text, (size_t)length};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(head), &fd, sizeof fd);
  pthread_mutex_lock(&sending);
  // Node acknowledges each; nothing of it is of use.
  while (recv(channel, heard, sizeof heard, MSG_DONTWAIT) > 0) continue;
  ssize_t sent = sendmsg(channel, &message, MSG_NOSIGNAL);
  int error = sent == length ? 0 : sent < 0 ? errno : EIO;
  pthread_mutex_unlock(&sending);
  return -error;
}

int connect_unix(struct request *request, struct in *in, struct out *out) {
  uint8_t flags = in_u8(in);
  size_t length = in_u16(in);
  if (in->is_bad || (size_t)(in->end - in->at) != length || length >= PATH_ROOM) return -EINVAL;
  if (channel < 0) return -EOPNOTSUPP;
  int type = flags & CONNECT_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | (flags & CONNECT_DONT_WAIT ? SOCK_NONBLOCK : 0), 0);
  if (fd < 0) return -errno;
  struct timeval patience = {.tv_sec = CONNECT_SECONDS};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int error;
  if (flags & CONNECT_ABSTRACT) {
    error = connect_abstract(fd, in->at, length);
  } else {
    char path[PATH_ROOM];
    memcpy(path, in->at, length);
    path[length] = 0;
    error = *path != '/' || strlen(path) != length ? -EINVAL : connect_path(fd, path);
  }
  // Of a path that fills sun_path the kernel tells its NUL as well, which is beyond it.
  struct sockaddr_storage peer;
  socklen_t size = sizeof peer;
  if (!error && getpeername(fd, (struct sockaddr *)&peer, &size)) error = -errno;
  if (!error && type == SOCK_SEQPACKET) {
    fd = seqpacket_to_stream(fd);
    if (fd < 0) return fd;
  }
  if (!error) error = hand_over(fd, request->header.id);
  size_t family = offsetof(struct sockaddr_un, sun_path);
  if (!error && size > family) out_bytes(out, (uint8_t *)&peer + family, size - family);
  close(fd);
  return error;
}
