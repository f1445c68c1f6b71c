/*
 * uninterrupted PEER THREADS ROUNDS: each thread asks a datagram echo at PEER:53, one number after the other, while a timer
 * of its own sends it a signal without SA_RESTART all the time. Prints how many numbers were lost, came twice or late, and
 * what the calls said that natively cannot say so.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000 };

static struct sockaddr_in peer;
static int rounds;
static unsigned lost, twice, strangers, interrupted, signals, unsent;

static void on_signal(int signal) {
  (void)signal;
  __atomic_add_fetch(&signals, 1, __ATOMIC_RELAXED);
}
#define COUNT(what) __atomic_add_fetch(&(what), 1, __ATOMIC_RELAXED)
#define AGAIN(call) ({ long result_; do { result_ = (call); if (result_ < 0 && errno == EINTR) COUNT(interrupted); } \
  while (result_ < 0 && errno == EINTR); result_; })

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}
static int is_ready(int fd, int timeout_ms) {
  int64_t until = now_ms() + timeout_ms, left = timeout_ms;
  struct pollfd waiting = {fd, POLLIN, 0};
  int count;
  do count = poll(&waiting, 1, (int)left), left = until - now_ms();
  while (count < 0 && errno == EINTR && left > 0);
  return count == 1;
}

static long put(int fd, int kind, const void *bytes, size_t length) {
  struct iovec vector = {(void *)(uintptr_t)bytes, length};
  struct msghdr head = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &vector, .msg_iovlen = 1};
  struct mmsghdr many = {.msg_hdr = head};
  if (kind == 0) return sendto(fd, bytes, length, 0, (struct sockaddr *)&peer, sizeof peer);
  if (kind == 1) return sendmsg(fd, &head, 0);
  long count = sendmmsg(fd, &many, 1, 0);
  return count < 0 ? count : (long)many.msg_len;
}
static long get(int fd, int kind, int flags, void *bytes, size_t length, struct sockaddr_in *from) {
  socklen_t from_length = sizeof *from;
  struct iovec vector = {bytes, length};
  struct msghdr head = {.msg_name = from, .msg_namelen = sizeof *from, .msg_iov = &vector, .msg_iovlen = 1};
  struct mmsghdr many = {.msg_hdr = head};
  if (kind == 0) return recvfrom(fd, bytes, length, flags, (struct sockaddr *)from, &from_length);
  if (kind == 1) return recvmsg(fd, &head, flags);
  long count = recvmmsg(fd, &many, 1, flags, NULL);
  return count < 0 ? count : (long)many.msg_len;
}

static void *ask(void *argument) {
  uint32_t id = (uint32_t)(uintptr_t)argument;
  struct sigevent to = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
  to._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  timer_t timer;
  long us = 150 + 130 * (id % 7);
  struct itimerspec every = {{0, us * 1000}, {0, us * 1000}}, never = {{0, 0}, {0, 0}};
  int kind = (int)id % 3, waits = id / 3 % 2;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || timer_create(CLOCK_MONOTONIC, &to, &timer)) exit(2);
  timer_settime(timer, 0, &every, NULL);
  for (uint32_t i = 0; i < (uint32_t)rounds; i++) {
    uint32_t sent[2] = {id, i}, got[4];
    struct sockaddr_in from;
    long sends = AGAIN(put(fd, kind, sent, sizeof sent));
    if (sends != sizeof sent) COUNT(unsent);
    for (;;) {
      if (!is_ready(fd, PATIENCE_MS)) {
        COUNT(lost);
        break;
      }
      int64_t before = now_ms();
      long came = AGAIN(get(fd, kind, waits ? 0 : MSG_DONTWAIT, got, sizeof got, &from));
      if (came < 0 && errno == EAGAIN) continue;
      if (now_ms() - before > PATIENCE_MS) COUNT(lost);
      if (came != sizeof sent || got[0] != id || got[1] > i || from.sin_addr.s_addr != peer.sin_addr.s_addr ||
          from.sin_port != peer.sin_port) COUNT(strangers);
      if (got[1] == i) break;
      COUNT(twice);
    }
  }
  timer_settime(timer, 0, &never, NULL);
  close(fd);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 4) return 1;
  peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(53)};
  inet_pton(AF_INET, argv[1], &peer.sin_addr);
  int count = atoi(argv[2]);
  rounds = atoi(argv[3]);
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, NULL);
  pthread_t threads[64];
  for (int i = 0; i < count; i++)
    if (pthread_create(&threads[i], NULL, ask, (void *)(uintptr_t)i)) return 1;
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  fprintf(stderr, "%d datagrams, %u signals, %u EINTR\n", count * rounds, signals, interrupted);
  printf("%u unsent, %u lost, %u twice, %u strange, %s\n", unsent, lost, twice, strangers, signals ? "signals" : "no signal");
}
