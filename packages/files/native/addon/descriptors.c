/* Sockets, and descriptors that are passed through them. */
#include "addon.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_DESCRIPTORS = 4 };
#define DEVICE_CLONE _IOR(229, 0, uint32_t)

union control {
  struct cmsghdr head;
  char space[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
};

static napi_value array_of(napi_env env, const int *values, size_t count) {
  napi_value result;
  napi_create_array(env, &result);
  for (size_t i = 0; i < count; i++) napi_set_element(env, result, (uint32_t)i, number(env, values[i]));
  return result;
}

/* socketPair(keepsMessages) -> [fd, fd], both CLOEXEC, or a negative errno */
napi_value socket_pair(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  bool keeps_messages = false;
  napi_get_value_bool(env, call.arguments[0], &keeps_messages);
  int fds[2];
  if (socketpair(AF_UNIX, (keeps_messages ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0, fds) != 0)
    return number(env, -errno);
  return array_of(env, fds, 2);
}

/* sendDescriptors(socket, fds) -> 0 or a negative errno; one byte goes with them */
napi_value send_descriptors(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  int fds[MAX_DESCRIPTORS];
  uint32_t count = 0;
  napi_get_array_length(env, call.arguments[1], &count);
  if (count == 0 || count > MAX_DESCRIPTORS) return number(env, -EINVAL);
  for (uint32_t i = 0; i < count; i++) {
    napi_value entry;
    napi_get_element(env, call.arguments[1], i, &entry);
    napi_get_value_int32(env, entry, &fds[i]);
  }
  union control control = {0};
  char byte = 'd';
  struct iovec io = {&byte, 1};
  struct msghdr message = {.msg_iov = &io,
                           .msg_iovlen = 1,
                           .msg_control = control.space,
                           .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(head), fds, count * sizeof(int));
  return number(env, sendmsg(int_of(&call, 0), &message, MSG_NOSIGNAL) == 1 ? 0 : -errno);
}

/* receiveDescriptors(socket) -> fds of the next message, CLOEXEC, or a negative errno. Does not wait: -EAGAIN. */
napi_value receive_descriptors(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  union control control;
  char byte;
  struct iovec io = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  ssize_t got = recvmsg(int_of(&call, 0), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) return number(env, -errno);
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  if (got == 0 || !head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
    return number(env, -EPIPE);
  int fds[MAX_DESCRIPTORS];
  size_t bytes = head->cmsg_len - CMSG_LEN(0);
  memcpy(fds, CMSG_DATA(head), bytes);
  return array_of(env, fds, bytes / sizeof(int));
}

/* cloneDevice(device) -> another descriptor of the same FUSE connection, or a negative errno */
napi_value clone_device(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd < 0) return number(env, -errno);
  uint32_t source = (uint32_t)int_of(&call, 0);
  if (ioctl(fd, DEVICE_CLONE, &source) == 0) return number(env, fd);
  int error = errno;
  close(fd);
  return number(env, -error);
}
