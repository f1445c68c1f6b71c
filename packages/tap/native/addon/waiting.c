/* Calls that wait for their socket, without a thread: one epoll for all of them. */
#include "tap.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

static int waiter_epoll = -1;

int64_t wait_timeout_ms(int fd, int option) {
  struct timeval timeout = {0};
  socklen_t length = sizeof timeout;
  getsockopt(fd, SOL_SOCKET, option, &timeout, &length);
  return (int64_t)timeout.tv_sec * 1000 + timeout.tv_usec / 1000;
}

void wait_for(struct op *op, uint32_t events) {
  struct epoll_event event = {.events = events | EPOLLONESHOT};
  int fd = op->socket;
  op->waiting = op->watched = true;
  event.data.u64 = op_unclaim(op);
  if (epoll_ctl(waiter_epoll, EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST)
    epoll_ctl(waiter_epoll, EPOLL_CTL_MOD, fd, &event);
}

static void (*deliver_of(int nr))(void *) {
  switch (nr) {
    case __NR_connect:
      return verdict_deliver;
    case __NR_recvfrom:
      return datagram_deliver;
    case __NR_recvmsg:
    case __NR_recvmmsg:
      return message_deliver;
    default:
      return accept_deliver;
  }
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
      pool_run(deliver_of(op->nr), op);
    }
  }
  return NULL;
}

void wait_forget(int fd) { epoll_ctl(waiter_epoll, EPOLL_CTL_DEL, fd, NULL); }

void wait_start(void) {
  waiter_epoll = epoll_create1(EPOLL_CLOEXEC);
  thread_start(waiter, NULL);
}
