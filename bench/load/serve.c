/* The far end: echo, sink, source and an HTTP server on four ports, a thread a connection. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

struct connection {
  int fd;
  int kind;
};

static void echo(int fd, char *buffer) {
  ssize_t got;
  while ((got = read(fd, buffer, CHUNK_BYTES)) > 0)
    if (send_all(fd, buffer, (size_t)got)) return;
}

static void sink(int fd, char *buffer) {
  size_t unacknowledged = 0;
  ssize_t got;
  while ((got = read(fd, buffer, CHUNK_BYTES)) > 0)
    for (unacknowledged += (size_t)got; unacknowledged >= ACK_BYTES; unacknowledged -= ACK_BYTES)
      if (send_all(fd, "a", 1)) return;
}

/* "pod" to each request; the client sends a request, which has no body, in one piece and waits for its answer. */
static void http(int fd, char *buffer) {
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\npod";
  size_t length = 0;
  ssize_t got;
  while (length < CHUNK_BYTES && (got = read(fd, buffer + length, CHUNK_BYTES - length)) > 0) {
    length += (size_t)got;
    if (length < 4 || memcmp(buffer + length - 4, "\r\n\r\n", 4)) continue;
    if (send_all(fd, answer, sizeof answer - 1)) return;
    length = 0;
  }
}

static void *talk(void *argument) {
  struct connection *connection = argument;
  int fd = connection->fd, on = 1;
  char *buffer = calloc(1, CHUNK_BYTES);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (buffer && connection->kind == PORT_ECHO) echo(fd, buffer);
  else if (buffer && connection->kind == PORT_SINK) sink(fd, buffer);
  else if (buffer && connection->kind == PORT_HTTP) http(fd, buffer);
  else if (buffer) while (!send_all(fd, buffer, CHUNK_BYTES)) continue;
  free(buffer);
  free(connection);
  close(fd);
  return NULL;
}

static void *listen_on(void *argument) {
  struct connection *listener = argument;
  for (;;) {
    int fd = accept(listener->fd, NULL, NULL);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    struct connection *connection = fd < 0 ? NULL : malloc(sizeof *connection);
    if (!connection) exit(1);
    *connection = (struct connection){fd, listener->kind};
    pthread_t thread;
    if (pthread_create(&thread, NULL, talk, connection)) exit(1);
    pthread_detach(thread);
  }
}

/* Says "ready" and serves until it is ended. Returns on failure only. */
int serve(int port) {
  static struct connection listeners[PORTS];
  for (int kind = 0; kind < PORTS; kind++) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(port + kind))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
      perror("bench-load: listen");
      return 1;
    }
    listeners[kind] = (struct connection){fd, kind};
  }
  puts("ready");
  fflush(stdout);
  for (int kind = 1; kind < PORTS; kind++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, listen_on, &listeners[kind])) return 1;
  }
  listen_on(&listeners[0]);
  return 1;
}
