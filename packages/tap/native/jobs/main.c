/*
 * inpod-jobs: what inpod asks of its process group, in a process of its own that no signal stops or ends but SIGKILL and
 * SIGSTOP. It runs before the command does: who forks while a terminal stops the group may wait for a child that is stopped
 * before it executes anything. Of its questions the first byte is a number:
 *   of a signal:          one byte, whether that has arrived since it was asked last. Nothing else tells inpod whether the
 *                         command has got a signal already, from who ends a group (timeout, kill %1, a closed terminal).
 *   0, then a process id: one byte when stop_with() that command is over. The id has four bytes of this machine's order.
 */
#include "stop.h"
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static bool read_all(void *into, size_t length) {
  for (size_t at = 0; at < length;) {
    ssize_t got = read(0, (char *)into + at, length - at);
    if (got == 0 || (got < 0 && errno != EINTR)) return false;
    if (got > 0) at += (size_t)got;
  }
  return true;
}

static unsigned char has_arrived(int signal) {
  sigset_t set;
  const struct timespec at_once = {0, 0};
  sigemptyset(&set);
  if (sigaddset(&set, signal) != 0) return 0;
  return sigtimedwait(&set, NULL, &at_once) == signal;
}

int main(void) {
  sigset_t all;
  sigfillset(&all); /* and so it may give the terminal away from the background, too */
  sigprocmask(SIG_SETMASK, &all, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  unsigned char question;
  while (read_all(&question, 1)) {
    unsigned char answer = 1;
    int32_t command;
    if (question) answer = has_arrived(question);
    else if (!read_all(&command, sizeof command)) break;
    else stop_with(getppid(), command);
    if (write(1, &answer, 1) != 1) break;
  }
  return 0;
}
