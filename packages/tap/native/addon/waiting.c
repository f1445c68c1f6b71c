/* Calls that wait for their socket, without a thread each: one epoll for all of them. */
#include "tap.h"
#include <sys/epoll.h>
#include <sys/syscall.h>

enum { WAITERS = 2 };

static int waiter_epoll = -1;
static int waiters; /* atomic: threads in epoll_wait */

int64_t wait_timeout_ms(int fd, int option) {
  struct timeval timeout = {0};
  socklen_t length = sizeof timeout;
  getsockopt(fd, SOL_SOCKET, option, &timeout, &length);
  return (int64_t)timeout.tv_sec * 1000 + timeout.tv_usec / 1000;
}

void wait_for(struct op *op, uint32_t events) {
  op->waiting = op->watched = true;
  op_unclaim_to(op, waiter_epoll, events | EPOLLONESHOT);
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

/* The thread that takes an event delivers it, which may block, where another one waits meanwhile. */
static void *waiter(void *unused) {
  (void)unused;
  for (;;) {
    struct epoll_event event;
    __atomic_add_fetch(&waiters, 1, __ATOMIC_SEQ_CST);
    int count = epoll_wait(waiter_epoll, &event, 1, -1);
    bool waits_another = __atomic_sub_fetch(&waiters, 1, __ATOMIC_SEQ_CST) > 0;
    struct op *op = count == 1 ? op_claim(event.data.u64) : NULL;
    if (!op) continue;
    op->waiting = false;
    if (waits_another) deliver_of(op->nr)(op);
    else pool_run(deliver_of(op->nr), op);
  }
  return NULL;
}

void wait_forget(int fd) { epoll_ctl(waiter_epoll, EPOLL_CTL_DEL, fd, NULL); }

void wait_start(void) {
  waiter_epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < WAITERS; i++) thread_start(waiter, NULL);
}
