/*
 * flight BLACK-HOLE ECHO ECHO-PORT FILE PORT EACH: EACH threads of every kind make calls of that kind until the process has
 * another parent, and one more then, whose end each tells in a line. Ends when all have.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* There is always one under way; the machine is not ours alone. */
enum { PACE_US = 2000 };
static char **arguments;
static pid_t parent;
static int listener;
static pthread_barrier_t all_there;

static int is_left(void) { return getppid() != parent; }

static struct sockaddr_in to(const char *address, int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, address, &at.sin_addr);
  return at;
}

/* One write(2) for each line. */
static void tell(const char *kind, int error) {
  char line[64];
  int length = snprintf(line, sizeof line, "%s %s\n", kind, error ? strerrorname_np(error) : "ok");
  if (write(1, line, (size_t)length) != length) abort();
}

static int connected(const char *address, int port) {
  struct sockaddr_in at = to(address, port);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(s, (void *)&at, sizeof at) == 0) return s;
  int error = errno;
  close(s);
  return -error;
}

/* Is under way when the other end of everything is gone. */
static void *connecting(void *x) {
  pthread_barrier_wait(&all_there);
  int s = connected(arguments[1], 80);
  tell("connecting", s < 0 ? -s : 0);
  return x;
}

static void *transferring(void *x) {
  char bytes[1000] = {0};
  int s = connected(arguments[2], atoi(arguments[3]));
  if (s < 0) tell("before", -s);
  pthread_barrier_wait(&all_there);
  ssize_t got = 1;
  while (got > 0 && send(s, bytes, sizeof bytes, MSG_NOSIGNAL) > 0) got = recv(s, bytes, sizeof bytes, 0);
  tell("transferring", got == 0 || errno == EPIPE ? ECONNRESET : errno); /* its end, one way or the other */
  return x;
}

static void *accepting(void *x) {
  pthread_barrier_wait(&all_there);
  for (;;) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int s = accept(listener, (void *)&from, &length);
    int error = s < 0 ? errno : 0;
    if (!error && send(s, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nlocal", 62, MSG_NOSIGNAL) > 0) {
      char request[4000];
      shutdown(s, SHUT_WR);
      while (recv(s, request, sizeof request, 0) > 0) continue;
    }
    if (s >= 0) close(s);
    if (!error && !is_left()) continue;
    tell("accepting", error);
    return x;
  }
}

static void *opening(void *x) {
  pthread_barrier_wait(&all_there);
  for (;;) {
    int left = is_left(), fd = open(arguments[4], O_RDONLY | O_CLOEXEC), error = fd < 0 ? errno : 0;
    if (fd >= 0) close(fd);
    if (left || (error && !is_left())) {
      tell("opening", error);
      return x;
    }
    usleep(PACE_US);
  }
}

static void *naming(void *x) {
  int s = connected(arguments[2], atoi(arguments[3]));
  if (s < 0) tell("before", -s);
  pthread_barrier_wait(&all_there);
  for (;;) {
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    int left = is_left(), error = getsockname(s, (void *)&name, &length) ? errno : 0;
    if (left || error) {
      tell("naming", error);
      return x;
    }
    usleep(PACE_US);
  }
}

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  arguments = argv;
  parent = getppid();
  alarm(100);
  int each = atoi(argv[6]);
  listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[5]))};
  if (bind(listener, (void *)&any, sizeof any) || listen(listener, 100)) return 1;
  void *(*kinds[])(void *) = {connecting, transferring, accepting, opening, naming};
  enum { KINDS = sizeof kinds / sizeof *kinds };
  pthread_t *threads = calloc((size_t)each * KINDS, sizeof *threads);
  pthread_barrier_init(&all_there, NULL, (unsigned)each * KINDS + 1);
  for (int i = 0; i < each * KINDS; i++)
    if (pthread_create(&threads[i], NULL, kinds[i % KINDS], NULL)) return 1;
  pthread_barrier_wait(&all_there);
  puts("under way");
  fflush(stdout);
  for (int i = 0; i < each * KINDS; i++) pthread_join(threads[i], NULL);
  /* New ones are the machine's own. */
  int s = connected(argv[2], atoi(argv[3]));
  tell("later", s < 0 ? -s : 0);
  return 0;
}
