/* What client and server of the load generator share. */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <stddef.h>
#include <stdint.h>

/* The server's ports, from the one it is given. */
enum { PORT_ECHO = 0, PORT_SINK = 1, PORT_SOURCE = 2, PORT_HTTP = 3, PORTS = 4 };
/* The sink answers each so many bytes with one: the end needs no half-close, which kubectl's port-forward lacks. */
enum { ACK_BYTES = 1 << 20, CHUNK_BYTES = 64 << 10 };

int serve(int port);
/* accept.c: servers of one request a connection. */
int accept_blocking(int port);
int accept_epoll(int port);
/* files.c: an operation on a path, `count` times; prints one number. */
int files(const char *mode, int count, const char *path);

/* All of it, or -1 with errno. */
int send_all(int fd, const void *bytes, size_t length);
int receive_all(int fd, void *bytes, size_t length);

#endif
