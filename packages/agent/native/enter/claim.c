#define _GNU_SOURCE
#include "claim.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// An abstract name (unix(7)) belongs to the network namespace, and goes with its last descriptor: whatever ends us.
int claim_port(uint16_t port, const char *suffix) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "inpod/stolen/%u%s", port, suffix);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
  if (!bind(fd, (struct sockaddr *)&name, size)) return fd;
  int error = errno;
  close(fd);
  return -error;
}
