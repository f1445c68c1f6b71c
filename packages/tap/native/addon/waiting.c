/* Calls that wait for their socket, without a thread: one epoll for all of them. */
#include "tap.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

static int waiter_epoll = -1;

int64_t wait_timeout_ms(int fd) {
  struct timeval timeout = {0};
  socklen_t length = sizeof timeout;
  getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, &length);
  return (int64_t)timeout.tv_sec * 1000 + timeout.tv_usec / 1000;
}

void wait_readable(struct op *op) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
  int fd = op->socket;
  op->waiting = op->watched = true;
  event.data.u64 = op_unclaim(op);
  if (epoll_ctl(waiter_epoll, EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST)
    epoll_ctl(waiter_epoll, EPOLL_CTL_MOD, fd, &event);
}

static void *waiter(void *unused) {
  (void)unused;
  for (;;) {
    struct epoll_event events[64];
    int count = epoll_wait(waiter_epoll, events, 64, -1);
    for (int i = 0; i < count; i++) {
      struct op *op = op_claim(events[i].data.u64);
      if (!op) continue;
      op->waiting = false;
      bool accepts = op->nr == __NR_accept4;
#if defined(__NR_accept)
      accepts = accepts || op->nr == __NR_accept;
#endif
      pool_run(accepts ? accept_deliver : datagram_deliver, op);
    }
  }
  return NULL;
}

void wait_forget(int fd) { epoll_ctl(waiter_epoll, EPOLL_CTL_DEL, fd, NULL); }

void wait_start(void) {
  waiter_epoll = epoll_create1(EPOLL_CLOEXEC);
  thread_start(waiter, NULL);
}
