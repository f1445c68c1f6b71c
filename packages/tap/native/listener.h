/*
 * What is asked of a seccomp listener. Where the kernel has to wait for the listener's lock it says EINTR to whoever has a signal,
 * a stop or a debugger coming, and unlike other calls' this one is not made again by itself after SIGCONT. Nothing has been done
 * then, and nothing is known of whether a thread waits. poll(2) says POLLERR for it.
 */
#pragma once
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>

/* But for RECV, of which EINTR says that there may be no notification any more. 0, a number, or -1 and errno. */
static inline int listener_ask(int listener, unsigned long request, void *argument) {
  int result;
  do result = ioctl(listener, request, argument);
  while (result < 0 && errno == EINTR);
  return result;
}

/* Of what poll(2) says of it: no process of the tree is left. */
static inline int listener_is_over(short revents) { return (revents & (POLLHUP | POLLNVAL)) != 0; }
