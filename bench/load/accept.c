/*
 * Servers of one request a connection, each with an accept(2) that asks who the client is: the answer's body is the client's
 * port. `accept`: blocking, one connection after the other. `accept-epoll`: non-blocking, as event loops do it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

enum { BACKLOG = 4096, REQUEST_BYTES = 4096, EVENTS = 64, LISTENER = -1 };

static uint16_t client_ports[65536]; /* by descriptor */

static int listen_at(int port, int flags) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG)) {
    perror("bench-load: listen");
    return -1;
  }
  puts("ready");
  fflush(stdout);
  return fd;
}

/* -1: with errno of accept4. */
static int next_client(int listener, int flags) {
  struct sockaddr_in client;
  socklen_t length = sizeof client;
  int fd = accept4(listener, (struct sockaddr *)&client, &length, SOCK_CLOEXEC | flags);
  if (fd >= 0) client_ports[fd & 0xffff] = ntohs(client.sin_port);
  return fd;
}

static void answer(int fd) {
  char request[REQUEST_BYTES], text[128], body[8];
  if (read(fd, request, sizeof request) > 0) {
    int length = snprintf(body, sizeof body, "%d", client_ports[fd & 0xffff]);
    length = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", length, body);
    send_all(fd, text, (size_t)length);
  }
  close(fd);
}

int accept_blocking(int port) {
  int listener = listen_at(port, 0);
  if (listener < 0) return 1;
  for (;;) {
    int fd = next_client(listener, 0);
    if (fd >= 0) answer(fd);
    else if (errno != EINTR && errno != ECONNABORTED) return 1;
  }
}

int accept_epoll(int port) {
  int listener = listen_at(port, SOCK_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = LISTENER}, events[EVENTS];
  if (listener < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) return 1;
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd != LISTENER) {
        answer(events[i].data.fd); /* which takes it out of the epoll, too */
        continue;
      }
      int fd;
      while ((fd = next_client(listener, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event readable = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &readable);
      }
    }
  }
}
