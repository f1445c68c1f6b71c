/*
 * held PEER MODE: its second thread waits in recvfrom for what PEER:53 sends to it, after it has sent one itself. SIGUSR1 is
 * for that thread alone. MODE: restart (SA_RESTART), plain (without), timeout (SA_RESTART, and SO_RCVTIMEO).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in peer;
static int fd;

static void say(const char *text) { (void)!write(1, text, strlen(text)); }
static void on_signal(int signal) {
  (void)signal;
  say("handled\n");
}

static void *receive(void *unused) {
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
  for (;;) {
    char got[64] = "", line[160];
    struct sockaddr_in from = {0};
    socklen_t length = sizeof from;
    ssize_t count = recvfrom(fd, got, sizeof got - 1, 0, (struct sockaddr *)&from, &length);
    int error = errno;
    snprintf(line, sizeof line, "%s from %s\n", count < 0 ? strerrorname_np(error) : got, inet_ntoa(from.sin_addr));
    say(line);
    if (count >= 0) return unused;
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 1;
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = strcmp(argv[2], "plain") ? SA_RESTART : 0};
  struct timeval timeout = {600, 0};
  sigset_t usr1;
  pthread_t thread;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &usr1, NULL);
  sigaction(SIGUSR1, &action, NULL);
  peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(53)};
  inet_pton(AF_INET, argv[1], &peer.sin_addr);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (connect(fd, (struct sockaddr *)&peer, sizeof peer) || send(fd, "hello", 5, 0) != 5) return 1;
  if (strcmp(argv[2], "timeout") == 0) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  if (pthread_create(&thread, NULL, receive, NULL)) return 1;
  pthread_join(thread, NULL);
  return 0;
}
