/*
 * Load for the benchmark, of which it is sure to be the fastest part. It prints one line of numbers:
 *
 *   serve PORT                        the far end, see net.h; says "ready"
 *   accept|accept-epoll PORT          a server of one request a connection, see accept.c; says "ready"
 *   up|down HOST PORT N MS            N connections: bytes per second (PORT: the one given to serve)
 *   echo HOST PORT N MS               N connections: round trips of 64 bytes a second, p50 and p99 in microseconds
 *   connect HOST PORT N MS            N at a time: connections with one echoed byte a second, p50, p99
 *   requests HOST PORT N MS           N at a time: connections with one request a second, p50, p99
 *   http HOST PORT N MS               N kept-alive connections: requests a second, p50, p99
 *   paced HOST PORT N MS              N connections, together 20,000 small segments a second: bytes sent, and those a second
 *   gigabit HOST PORT N MS            the same with segments that make a gigabit a second
 *   watch HOST PORT 1 MS              one request a new connection every 2 ms; prints the body when it changes
 *   stat|open|list|append N PATH      so often: microseconds each (open: 4 KiB are read; append: one line)
 *   read N PATH                       the whole file so often: megabytes per second
 *
 * HOST is an IPv4 address. BENCH_SOCKS=PORT in the environment: by way of a SOCKS5 proxy at that port of 127.0.0.1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

enum {
  MESSAGE_BYTES = 64,
  MAX_WORKERS = 256,
  MAX_SAMPLES = 200000,
  /*
   * Of all workers. Each leaves its port in TIME_WAIT for a minute, there are 28,000 of them, and with most of them
   * taken the kernel's search for a free one is all that is measured.
   */
  MAX_CONNECTS = 500,
  ANSWER_MS = 10000,
  PACED_PER_SECOND = 20000,
  GIGABIT_BYTES = 1000000000 / 8 / PACED_PER_SECOND,
  PACED_SLEEP_MS = 1,
  WATCH_MS = 2,
};

static struct sockaddr_in target;
/* 0: none. */
static uint16_t socks_port;
static int64_t deadline_us;
static int workers_count;

struct worker {
  const char *mode;
  pthread_t thread;
  int64_t bytes;
  int count;
  uint32_t *samples_us;
};

static int64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void die(const char *what) {
  fprintf(stderr, "bench-load: %s: %s\n", what, strerror(errno));
  exit(1);
}

int send_all(int fd, const void *bytes, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return -1;
    bytes = (const char *)bytes + sent;
    length -= (size_t)sent;
  }
  return 0;
}

int receive_all(int fd, void *bytes, size_t length) {
  while (length > 0) {
    ssize_t got = recv(fd, bytes, length, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = ECONNRESET;
    if (got <= 0) return -1;
    bytes = (char *)bytes + got;
    length -= (size_t)got;
  }
  return 0;
}

/* RFC 1928: no authentication, CONNECT. */
static int ask_socks(int fd) {
  unsigned char hello[] = {5, 1, 0}, answer[10], request[10] = {5, 1, 0, 1};
  memcpy(request + 4, &target.sin_addr, 4);
  memcpy(request + 8, &target.sin_port, 2);
  if (send_all(fd, hello, sizeof hello) || receive_all(fd, answer, 2)) return -1;
  if (send_all(fd, request, sizeof request) || receive_all(fd, answer, sizeof answer)) return -1;
  if (answer[1]) errno = ECONNREFUSED;
  return answer[1] ? -1 : 0;
}

/* As event loops do: non-blocking connect, wait until it is writable, ask for the error. Blocking afterwards. */
static int dial(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, error = 0;
  if (fd < 0) return -1;
  struct sockaddr_in to = target;
  if (socks_port) {
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(socks_port);
  }
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    socklen_t length = sizeof error;
    if (errno != EINPROGRESS) error = errno;
    else if (poll(&wait, 1, ANSWER_MS) != 1) error = ETIMEDOUT;
    else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length)) error = errno;
  }
  if (error) {
    close(fd);
    errno = error;
    return -1;
  }
  struct timeval limit = {.tv_sec = ANSWER_MS / 1000};
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (!socks_port || !ask_socks(fd)) return fd;
  close(fd);
  return -1;
}

static int dial_or_die(void) {
  int fd = dial();
  if (fd < 0) die("connect");
  return fd;
}

static void sample(struct worker *worker, int64_t began_us) {
  if (worker->count < MAX_SAMPLES) worker->samples_us[worker->count] = (uint32_t)(now_us() - began_us);
  worker->count++;
}

static void upload(struct worker *worker) {
  char *chunk = calloc(1, CHUNK_BYTES), ack;
  int fd = dial_or_die();
  while (now_us() < deadline_us) {
    for (int sent = 0; sent < ACK_BYTES; sent += CHUNK_BYTES)
      if (send_all(fd, chunk, CHUNK_BYTES)) die("send");
    worker->bytes += ACK_BYTES;
  }
  for (int64_t left = worker->bytes; left > 0; left -= ACK_BYTES)
    if (receive_all(fd, &ack, 1)) die("acknowledgement");
  close(fd);
  free(chunk);
}

static void download(struct worker *worker) {
  char *chunk = malloc(CHUNK_BYTES);
  int fd = dial_or_die();
  while (now_us() < deadline_us) {
    ssize_t got = recv(fd, chunk, CHUNK_BYTES, 0);
    if (got <= 0) die("receive");
    worker->bytes += got;
  }
  close(fd);
  free(chunk);
}

static void echo(struct worker *worker) {
  char message[MESSAGE_BYTES] = {0};
  int fd = dial_or_die();
  while (now_us() < deadline_us) {
    int64_t began = now_us();
    if (send_all(fd, message, sizeof message) || receive_all(fd, message, sizeof message)) die("echo");
    sample(worker, began);
  }
  close(fd);
}

static void connects(struct worker *worker) {
  char byte = 0;
  while (now_us() < deadline_us && worker->count < MAX_CONNECTS / workers_count) {
    int64_t began = now_us();
    int fd = dial_or_die();
    if (send_all(fd, &byte, 1) || receive_all(fd, &byte, 1)) die("echo");
    sample(worker, began);
    close(fd);
  }
}

/* Body of one answer with a Content-Length; NULL with errno. */
static char *get(int fd, char *answer, size_t size) {
  static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
  size_t length = 0;
  if (send_all(fd, request, sizeof request - 1)) return NULL;
  for (;;) {
    ssize_t got = recv(fd, answer + length, size - 1 - length, 0);
    if (got == 0) errno = ECONNRESET;
    if (got <= 0) return NULL;
    length += (size_t)got;
    answer[length] = 0;
    char *end = strstr(answer, "\r\n\r\n"), *field = strcasestr(answer, "\r\ncontent-length:");
    if (end && field && field < end) {
      size_t body = strtoul(field + 17, NULL, 10);
      if ((size_t)(answer + length - (end + 4)) >= body) return end + 4;
    } else if (length == size - 1 || end) {
      errno = EPROTO;
      return NULL;
    }
  }
}

static void http(struct worker *worker) {
  char answer[4096];
  int fd = dial_or_die();
  while (now_us() < deadline_us) {
    int64_t began = now_us();
    if (!get(fd, answer, sizeof answer)) die("request");
    sample(worker, began);
  }
  close(fd);
}

/* The server closes; the reset that answers its FIN keeps no port in TIME_WAIT. */
static void requests(struct worker *worker) {
  char answer[4096];
  struct linger reset = {1, 0};
  while (now_us() < deadline_us) {
    int64_t began = now_us();
    int fd = dial_or_die();
    if (!get(fd, answer, sizeof answer)) die("request");
    if (recv(fd, answer, sizeof answer, 0) != 0) die("end of the connection");
    sample(worker, began);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
  }
}

/* As many as are due, each in a segment of its own; the sink's few answers stay in the socket. */
static void paced(struct worker *worker, size_t length) {
  char message[GIGABIT_BYTES] = {0};
  int fd = dial_or_die();
  int64_t began = now_us(), sent = 0;
  while (now_us() < deadline_us) {
    int64_t due = (now_us() - began) * PACED_PER_SECOND / workers_count / 1000000;
    for (; sent < due; sent++)
      if (send_all(fd, message, length)) die("paced");
    poll(NULL, 0, PACED_SLEEP_MS);
  }
  worker->bytes = sent * (int64_t)length;
  close(fd);
}

static int watch(void) {
  char answer[4096], last[4096] = "";
  while (now_us() < deadline_us) {
    int fd = dial();
    char *body = fd < 0 ? NULL : get(fd, answer, sizeof answer);
    if (body && strcmp(body, last)) {
      strcpy(last, body);
      puts(body);
      fflush(stdout);
    }
    if (fd >= 0) close(fd);
    poll(NULL, 0, WATCH_MS);
  }
  return 0;
}

static void *work(void *argument) {
  struct worker *worker = argument;
  worker->samples_us = malloc(MAX_SAMPLES * sizeof *worker->samples_us);
  if (!worker->samples_us) die("memory");
  if (!strcmp(worker->mode, "up")) upload(worker);
  else if (!strcmp(worker->mode, "down")) download(worker);
  else if (!strcmp(worker->mode, "echo")) echo(worker);
  else if (!strcmp(worker->mode, "connect")) connects(worker);
  else if (!strcmp(worker->mode, "requests")) requests(worker);
  else if (!strcmp(worker->mode, "paced")) paced(worker, MESSAGE_BYTES);
  else if (!strcmp(worker->mode, "gigabit")) paced(worker, GIGABIT_BYTES);
  else http(worker);
  return NULL;
}

static int ascending(const void *a, const void *b) {
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return left < right ? -1 : left > right;
}

static void report(struct worker *workers, int n, double seconds) {
  if (!strcmp(workers[0].mode, "paced") || !strcmp(workers[0].mode, "gigabit")) {
    int64_t all = 0;
    for (int i = 0; i < n; i++) all += workers[i].bytes;
    printf("%lld %.1f\n", (long long)all, (double)all / seconds);
    return;
  }
  int64_t bytes = 0;
  size_t count = 0, kept = 0;
  for (int i = 0; i < n; i++) {
    bytes += workers[i].bytes;
    count += (size_t)workers[i].count;
  }
  if (bytes > 0) {
    printf("%.0f\n", (double)bytes / seconds);
    return;
  }
  uint32_t *all = malloc((count + 1) * sizeof *all);
  if (!all) die("memory");
  for (int i = 0; i < n; i++)
    for (int k = 0; k < workers[i].count && k < MAX_SAMPLES; k++) all[kept++] = workers[i].samples_us[k];
  qsort(all, kept, sizeof *all, ascending);
  printf("%.1f %u %u\n", (double)count / seconds, kept ? all[kept / 2] : 0, kept ? all[kept * 99 / 100] : 0);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 3 && !strcmp(argv[1], "serve")) return serve(atoi(argv[2]));
  if (argc == 3 && !strcmp(argv[1], "accept")) return accept_blocking(atoi(argv[2]));
  if (argc == 3 && !strcmp(argv[1], "accept-epoll")) return accept_epoll(atoi(argv[2]));
  if (argc == 4) return files(argv[1], atoi(argv[2]), argv[3]);
  int n = argc == 6 ? atoi(argv[4]) : 0;
  if (n < 1 || n > MAX_WORKERS || inet_pton(AF_INET, argv[2], &target.sin_addr) != 1) {
    fputs("usage: bench-load serve|accept|accept-epoll PORT | up|down|echo|connect|requests|http|paced|gigabit|watch HOST PORT N MS |\n"
          "       stat|open|list|append|read N PATH\n", stderr);
    return 2;
  }
  int port = atoi(argv[3]);
  if (!strcmp(argv[1], "up") || !strcmp(argv[1], "paced") || !strcmp(argv[1], "gigabit")) port += PORT_SINK;
  if (!strcmp(argv[1], "down")) port += PORT_SOURCE;
  target.sin_family = AF_INET;
  target.sin_port = htons((uint16_t)port);
  const char *socks = getenv("BENCH_SOCKS");
  if (socks) socks_port = (uint16_t)atoi(socks);
  static struct worker workers[MAX_WORKERS];
  workers_count = n;
  int64_t began = now_us();
  deadline_us = began + (int64_t)atoi(argv[5]) * 1000;
  if (!strcmp(argv[1], "watch")) return watch();
  for (int i = 0; i < n; i++) {
    workers[i].mode = argv[1];
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) die("thread");
  }
  for (int i = 0; i < n; i++) pthread_join(workers[i].thread, NULL);
  report(workers, n, (double)(now_us() - began) / 1e6);
  return 0;
}
