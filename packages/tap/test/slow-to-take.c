/*
 * slow-to-take FILE COUNT: opens FILE and makes UDP sockets, COUNT of each, in a thread that gets a processor only when nobody
 * else wants it, and somebody does: whoever answers its calls waits long for it. Prints how many were not what was asked for.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile int is_over;

static void *want(void *unused) {
  while (!is_over) continue;
  return unused;
}

static int is_file(int fd) {
  char text[16] = "";
  return fd > 2 && read(fd, text, sizeof text - 1) > 0 && strcmp(text, "the pod's") == 0;
}

static int is_udp(int fd) {
  int type = 0;
  socklen_t length = sizeof type;
  return fd > 2 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_DGRAM;
}

int main(int argc, char **argv) {
  if (argc < 3) return 1;
  pthread_t other;
  cpu_set_t one;
  struct sched_param none = {0};
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  if (sched_setaffinity(0, sizeof one, &one) || pthread_create(&other, NULL, want, NULL)) return 1;
  if (sched_setscheduler(0, SCHED_IDLE, &none)) return 1;
  int count = atoi(argv[2]), files = 0, sockets = 0;
  for (int i = 0; i < count; i++) {
    int file = open(argv[1], O_RDONLY), udp = socket(AF_INET, SOCK_DGRAM, 0);
    files += !is_file(file);
    sockets += !is_udp(udp);
    if (file > 2) close(file);
    if (udp > 2) close(udp);
  }
  is_over = 1;
  printf("of %d: %d other files, %d other sockets\n", count, files, sockets);
  return 0;
}
