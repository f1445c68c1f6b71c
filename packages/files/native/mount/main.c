/*
 * inpod-mount: makes a FUSE mount that has no mount point, hands its descriptors over, and ends.
 *
 *   inpod-mount detached|userns SOCKET OPTION...
 *
 * Descriptors 1: the device · 2: a clone of it · 3: the mount, in one message of SOCKET. A refusal is one line on
 * stdout, "ERRNO step", and exit code 1.
 *
 * With `userns` the mount is made in a user namespace of its own, in which an ordinary user may. That is why this
 * is a process: the namespace is entered for good. It lives on in the mount; the descriptors are used from outside.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/mount.h, whose names clash with those of older libcs. */
enum { SET_FLAG = 0, SET_STRING = 1, CMD_CREATE = 6, OPEN_CLOEXEC = 1, NOSUID = 2, NODEV = 4 };
#define DEVICE_CLONE _IOR(229, 0, uint32_t)

static int refuse(const char *step) {
  printf("%d %s\n", errno, step);
  return 1;
}

static int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t wrote = write(fd, text, strlen(text));
  int error = errno;
  close(fd);
  errno = error;
  return wrote == (ssize_t)strlen(text) ? 0 : -1;
}

static int map_self(const char *path, unsigned id) {
  char line[32];
  snprintf(line, sizeof line, "%u %u 1", id, id);
  return write_file(path, line);
}

/* Its one user is ours, under the same number: what is injected into the user's processes is used with that. */
static const char *enter_namespaces(unsigned uid, unsigned gid) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return "unshare";
  write_file("/proc/self/setgroups", "deny"); /* else no group may be mapped */
  if (map_self("/proc/self/uid_map", uid) != 0) return "uid_map";
  if (map_self("/proc/self/gid_map", gid) != 0) return "gid_map";
  return NULL;
}

static int set(int context, const char *key, const char *value) {
  return (int)syscall(SYS_fsconfig, context, value ? SET_STRING : SET_FLAG, key, value, 0);
}

static const char *make_mount(int device, unsigned uid, unsigned gid, char **options, int *mount) {
  int context = (int)syscall(SYS_fsopen, "fuse", OPEN_CLOEXEC);
  if (context < 0) return "fsopen";
  char number[16];
  snprintf(number, sizeof number, "%d", device);
  if (set(context, "fd", number) != 0 || set(context, "rootmode", "40000") != 0) return "fsconfig";
  snprintf(number, sizeof number, "%u", uid);
  if (set(context, "user_id", number) != 0) return "fsconfig";
  snprintf(number, sizeof number, "%u", gid);
  if (set(context, "group_id", number) != 0) return "fsconfig";
  for (; *options; options++) {
    char *value = strchr(*options, '=');
    if (value) *value++ = '\0';
    if (set(context, *options, value) != 0) return "fsconfig";
  }
  if (syscall(SYS_fsconfig, context, CMD_CREATE, NULL, NULL, 0) != 0) return "fsconfig create";
  *mount = (int)syscall(SYS_fsmount, context, OPEN_CLOEXEC, NOSUID | NODEV);
  return *mount < 0 ? "fsmount" : NULL;
}

static int hand_over(int socket, const int *fds, size_t bytes) {
  union {
    struct cmsghdr head;
    char space[CMSG_SPACE(3 * sizeof(int))];
  } control = {0};
  char byte = 'm';
  struct iovec io = {&byte, 1};
  struct msghdr message = {.msg_iov = &io,
                           .msg_iovlen = 1,
                           .msg_control = control.space,
                           .msg_controllen = CMSG_SPACE(bytes)};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(bytes);
  memcpy(CMSG_DATA(head), fds, bytes);
  return sendmsg(socket, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  unsigned uid = geteuid(), gid = getegid();
  if (strcmp(arguments[1], "userns") == 0) {
    const char *step = enter_namespaces(uid, gid);
    if (step) return refuse(step);
  }
  int fds[3] = {-1, -1, -1};
  fds[0] = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fds[0] < 0) return refuse("/dev/fuse");
  const char *step = make_mount(fds[0], uid, gid, arguments + 3, &fds[2]);
  if (step) return refuse(step);
  /* Cloned here: the kernel asks that both were opened in the same user namespace. */
  uint32_t source = (uint32_t)fds[0];
  fds[1] = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fds[1] < 0 || ioctl(fds[1], DEVICE_CLONE, &source) != 0) return refuse("FUSE_DEV_IOC_CLONE");
  if (hand_over(atoi(arguments[2]), fds, sizeof fds) != 0) return refuse("sendmsg");
  return 0;
}
