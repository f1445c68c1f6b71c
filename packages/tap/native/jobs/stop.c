#define _GNU_SOURCE
#include "stop.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 20, SETTLE_MS = 200, STOP_MS = 2000 };

/* proc_pid_stat(5) */
struct stat_line {
  char state; /* 0: there is no such process */
  int parent, group, session, terminal, foreground;
};

static struct stat_line look(int pid) {
  struct stat_line stat = {0};
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return stat;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  if (got <= 0) return stat;
  text[got] = 0;
  const char *end = strrchr(text, ')');
  if (!end || sscanf(end + 1, " %c %d %d %d %d %d", &stat.state, &stat.parent, &stat.group, &stat.session,
                     &stat.terminal, &stat.foreground) != 6)
    stat.state = 0;
  if (stat.state == 'Z' || stat.state == 'X') stat.state = 0;
  return stat;
}

static void wait_a_little(void) {
  struct timespec time = {0, LOOK_MS * 1000000L};
  nanosleep(&time, NULL);
}

static void continue_command(int pid, int had_terminal) {
  struct stat_line command = look(pid), own = look(getpid());
  /* The signal that has continued inpod may have gone to the group, whose processes get it one after the other. */
  if (command.state == 'T') {
    wait_a_little();
    command = look(pid);
  }
  if (command.state != 'T') return;
  if (had_terminal && own.foreground == own.group) {
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (terminal >= 0) tcsetpgrp(terminal, command.group);
  }
  kill(command.group == own.group ? pid : -command.group, SIGCONT);
}

void stop_with(int inpod, int command) {
  for (int waited = 0; look(command).state != 'T'; waited += LOOK_MS) {
    if (waited >= SETTLE_MS) return; /* continued meanwhile */
    wait_a_little();
  }
  struct stat_line stat = look(command);
  int had_terminal = stat.terminal != 0 && stat.foreground == stat.group && stat.group != getpgrp();
  kill(inpod, SIGSTOP);
  for (int waited = 0; look(inpod).state != 'T' && waited < STOP_MS; waited += LOOK_MS) wait_a_little();
  for (;;) {
    char state = look(inpod).state;
    if (!state) return;
    if (state != 'T') break;
    if (look(command).state != 'T') {
      kill(inpod, SIGCONT);
      return;
    }
    wait_a_little();
  }
  continue_command(command, had_terminal);
}
