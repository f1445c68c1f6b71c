/*
 * inpod-jobs witness: a process of inpod's group that does nothing but get the signals that the whole group gets. At each
 * byte that it reads, the number of a signal, it writes one: whether that has arrived since it was asked last. Nothing else
 * tells inpod whether the command has got a signal already, from who ends a group (timeout, kill %1, a closed terminal).
 */
#include "witness.h"
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static unsigned char has_arrived(int signal) {
  sigset_t set;
  const struct timespec at_once = {0, 0};
  sigemptyset(&set);
  if (sigaddset(&set, signal) != 0) return 0;
  return sigtimedwait(&set, NULL, &at_once) == signal;
}

int witness(void) {
  sigset_t all;
  sigfillset(&all); /* and so it is never stopped with the group */
  sigprocmask(SIG_SETMASK, &all, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  unsigned char question;
  ssize_t got;
  while ((got = read(0, &question, 1)) == 1 || (got < 0 && errno == EINTR)) {
    if (got < 0) continue;
    unsigned char answer = has_arrived(question);
    if (write(1, &answer, 1) != 1) break;
  }
  return 0;
}
