// PORT [recvfrom|recvmsg|recvmmsg|connect] [4]. Answers each datagram "local c sees ADDRESS:PORT: TEXT".
// connect: a socket of its own for each client, as DTLS servers have. 4: a socket of IPv4.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int bound(int port, int is_ipv4) {
  int fd = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (is_ipv4 ? bind(fd, (void *)&v4, sizeof v4) : bind(fd, (void *)&v6, sizeof v6)) fail("bind");
  return fd;
}

static int answer(char *into, size_t size, const struct sockaddr_storage *from, const char *text, int length) {
  char address[INET6_ADDRSTRLEN];
  const struct sockaddr_in6 *v6 = (const void *)from;
  const struct sockaddr_in *v4 = (const void *)from;
  int port = ntohs(v4->sin_port);
  if (from->ss_family == AF_INET) inet_ntop(AF_INET, &v4->sin_addr, address, sizeof address);
  else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, address, sizeof address);
  else inet_ntop(AF_INET6, &v6->sin6_addr, address, sizeof address);
  return snprintf(into, size, "local c sees %s:%d: %.*s", address, port, length, text);
}

// The first datagram of a client comes to the bound socket, the others to its own.
static void serve_connected(int port, int is_ipv4, int fd) {
  struct pollfd all[16] = {{fd, POLLIN, 0}};
  for (int count = 1;;) {
    if (poll(all, count, -1) < 0) fail("poll");
    for (int i = count - 1; i >= 0; i--) {
      char text[2048], out[2200];
      struct sockaddr_storage peer;
      socklen_t length = sizeof peer;
      if (!all[i].revents) continue;
      ssize_t got = i ? recv(all[i].fd, text, sizeof text, 0) : recvfrom(fd, text, sizeof text, 0, (void *)&peer, &length);
      if (got < 0) fail("recv");
      int own = all[i].fd;
      if (i == 0) {
        own = bound(port, is_ipv4);
        if (connect(own, (void *)&peer, length)) fail("connect");
        if (count == 16) exit(1);
        all[count++] = (struct pollfd){own, POLLIN, 0};
      }
      length = sizeof peer;
      if (getpeername(own, (void *)&peer, &length)) fail("getpeername");
      int size = answer(out, sizeof out, &peer, text, (int)got);
      if (i) size += snprintf(out + size, sizeof out - size, " again");
      if (send(own, out, size, 0) < 0) fail("send");
    }
  }
}

int main(int argc, char **argv) {
  const char *mode = argc > 2 ? argv[2] : "recvfrom";
  int fd = bound(atoi(argv[1]), argc > 3);
  struct sockaddr_storage local;
  socklen_t local_length = sizeof local;
  getsockname(fd, (void *)&local, &local_length);
  printf("bound %d\n", ntohs(((struct sockaddr_in *)&local)->sin_port));
  fflush(stdout);
  if (!strcmp(mode, "connect")) serve_connected(atoi(argv[1]), argc > 3, fd);
  for (;;) {
    char text[2][2048], out[2][2200];
    struct sockaddr_storage from[2];
    struct iovec in[2] = {{text[0], sizeof *text}, {text[1], sizeof *text}}, to[2];
    struct mmsghdr messages[2];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < 2; i++)
      messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof *from, .msg_iov = &in[i], .msg_iovlen = 1};
    int count = 1;
    if (!strcmp(mode, "recvmsg")) {
      ssize_t got = recvmsg(fd, &messages[0].msg_hdr, 0);
      if (got < 0) fail("recvmsg");
      messages[0].msg_len = got;
    } else if (!strcmp(mode, "recvmmsg")) {
      count = recvmmsg(fd, messages, 2, MSG_WAITFORONE, NULL);
      if (count < 0) fail("recvmmsg");
    } else {
      messages[0].msg_hdr.msg_namelen = sizeof *from;
      ssize_t got = recvfrom(fd, text[0], sizeof *text, 0, (void *)&from[0], &messages[0].msg_hdr.msg_namelen);
      if (got < 0) fail("recvfrom");
      messages[0].msg_len = got;
    }
    for (int i = 0; i < count; i++) {
      to[i].iov_base = out[i];
      to[i].iov_len = answer(out[i], sizeof *out, &from[i], text[i], messages[i].msg_len);
      messages[i].msg_hdr.msg_iov = &to[i];
      messages[i].msg_hdr.msg_flags = 0;
    }
    socklen_t length = messages[0].msg_hdr.msg_namelen;
    if (!strcmp(mode, "recvmsg")) {
      if (sendmsg(fd, &messages[0].msg_hdr, 0) < 0) fail("sendmsg");
    } else if (!strcmp(mode, "recvmmsg")) {
      for (int sent = 0, more; sent < count; sent += more)
        if ((more = sendmmsg(fd, messages + sent, count - sent, 0)) < 1) fail("sendmmsg");
    } else if (sendto(fd, out[0], to[0].iov_len, 0, (void *)&from[0], length) < 0) {
      fail("sendto");
    }
  }
}
