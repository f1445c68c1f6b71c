/*
 * inpod-keeper remove MARK PATH… (fd 4: the lifeline)
 * inpod-keeper MODE MARK [FOLDER] (fd 3: the seccomp listener, fd 4: the lifeline, fd 5: held calls, kept.h)
 *
 * Without anybody who holds the listener, every trapped call of the user's tree would fail with ENOSYS
 * for ever. The keeper holds it too and sleeps while inpod lives. When the lifeline (a pipe whose other end
 * only inpod holds) closes:
 *   MODE continue: each trapped call goes on natively, for as long as any process of the tree lives;
 *   MODE stop:     the same, while all processes that have MARK (INPOD_SESSION=…, mark.c) are ended: SIGTERM, and
 *                  SIGKILL three seconds later.
 * In both, the calls that inpod had received and not answered are answered first (held.c), and FOLDER, with all that
 * is in it, is removed.
 * "remove" holds no listener and only removes: what is a session's own, whichever trees it has or has not.
 * If inpod writes one byte to the lifeline before its end, the mode is "continue": a clean end that
 * leaves daemons behind on purpose.
 */
#define _GNU_SOURCE
#include "folder.h"
#include "held.h"
#include "listener.h"
#include "mark.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LISTENER = 3, LIFELINE = 4, HELD_CALLS = 5, GRACE_MS = 3000, TICK_MS = 200 };

static long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* How many there were. */
static int end_tree(const char *mark, int signal) { /* signal 0: only counts */
  DIR *processes = opendir("/proc");
  if (!processes) return 1;
  int count = 0;
  struct dirent *entry;
  while ((entry = readdir(processes))) {
    int pid = atoi(entry->d_name);
    if (pid > 1 && pid != getpid() && has_mark(entry->d_name, mark)) {
      count++;
      kill(pid, signal);
      if (signal == SIGTERM) kill(pid, SIGCONT); /* a stopped process cannot end itself */
    }
  }
  closedir(processes);
  return count;
}

/* Threads that have made calls since we are in charge: they may have cleared their environment. */
enum { SEEN = 1024 };
static int seen[SEEN];

static void remember(int tid) { seen[(unsigned)tid % SEEN] = tid; }

static int is_running(int tid) {
  char path[64], stat[512];
  snprintf(path, sizeof path, "/proc/%d/stat", tid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t got = read(fd, stat, sizeof stat - 1);
  close(fd);
  if (got <= 0) return 0;
  stat[got] = 0;
  const char *state = strrchr(stat, ')');
  return state && state[1] && state[2] != 'Z' && state[2] != 'X';
}

static int has_running_seen(void) {
  for (int i = 0; i < SEEN; i++)
    if (seen[i] && is_running(seen[i])) return 1;
  return 0;
}

static void continue_one(void) {
  struct seccomp_notif notif;
  memset(&notif, 0, sizeof notif);
  if (ioctl(LISTENER, SECCOMP_IOCTL_NOTIF_RECV, &notif) != 0) return;
  struct seccomp_notif_resp answer = held_answer(&notif);
  remember((int)notif.pid);
  listener_ask(LISTENER, SECCOMP_IOCTL_NOTIF_SEND, &answer); /* ENOENT: interrupted meanwhile */
}

/* Until inpod has ended. False: nothing can be known of it. `*told`: it has written to us. */
static int wait_for_end(int *told) {
  char byte;
  ssize_t got;
  while ((got = read(LIFELINE, &byte, 1)) != 0) {
    if (got > 0) *told = 1; /* what inpod holds is its own until its end */
    else if (errno != EINTR) return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  int told = 0;
  if (argc > 3 && strcmp(argv[1], "remove") == 0) {
    if (!wait_for_end(&told)) return 1;
    for (int i = 3; i < argc; i++) folder_remove(argv[i]);
    return 0;
  }
  if (argc != 3 && argc != 4) return 2;
  held_open(HELD_CALLS);
  if (!wait_for_end(&told)) return 1;
  int stopping = strcmp(argv[1], "stop") == 0 && !told;
  held_answer_all(LISTENER, remember);
  if (stopping) end_tree(argv[2], SIGTERM);
  if (argc == 4) folder_remove(argv[3]);
  long look_at = now_ms() + GRACE_MS;
  for (;;) {
    struct pollfd listener = {LISTENER, POLLIN, 0};
    int events = poll(&listener, 1, TICK_MS);
    if (events < 0 && errno != EINTR) return 1;
    if (listener.revents & POLLIN) continue_one();
    else if (listener_is_over(listener.revents)) return 0;
    if (now_ms() < look_at) continue;
    look_at = now_ms() + GRACE_MS;
    /*
     * The kernel tells the end of the tree only when its last zombie is reaped, and in a container whose first
     * process reaps nothing that is never.
     */
    if (end_tree(argv[2], stopping ? SIGKILL : 0) == 0 && !has_running_seen()) return 0;
  }
}
