#include "tap.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_DEADLINE_MS = 15000 };

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

struct tap_statistics statistics;

struct receiver {
  int listener;
  int *running; /* threads of this listener that have not ended */
};

/* True: answered or handed on. False: the tables do not know it, so it goes on natively. */
static bool handle(struct op *op) {
  switch (op->nr) {
    case __NR_connect:
      return handle_connect(op);
    case __NR_bind:
      return handle_bind(op);
    case __NR_listen:
      return handle_listen(op);
#if defined(__NR_accept)
    case __NR_accept:
#endif
    case __NR_accept4:
      return handle_accept(op);
    case __NR_getsockname:
    case __NR_getpeername:
      return handle_names(op);
    case __NR_sendto:
      return handle_sendto(op);
    case __NR_recvfrom:
      return handle_recvfrom(op);
    case __NR_getsockopt:
      return handle_socket_error(op);
    case __NR_uname:
      handle_uname(op);
      return true;
    default:
      return false;
  }
}

static bool handle_path(int listener, const struct seccomp_notif *notif, pid_t tgid) {
  struct op probe = {.tid = (pid_t)notif->pid, .tgid = tgid, .nr = notif->data.nr, .socket = -1};
  memcpy(probe.args, notif->data.args, sizeof probe.args);
  enum path_verdict verdict = paths_decide(&probe);
  if (verdict == VERDICT_LOCAL) return false;
  if (verdict == VERDICT_NOT_FOUND) {
    notification_reply(listener, notif->id, 0, ENOENT);
    return true;
  }
  bool joined;
  struct op *op = op_new(listener, notif, tgid, probe.path, &joined);
  if (!op) {
    free(probe.path);
    return joined;
  }
  op->path = probe.path;
  op->flags = probe.flags;
  op->operation = probe.operation;
  op->rule = probe.rule;
  op->kind = OP_PATH;
  op_set_deadline(op, PATH_DEADLINE_MS, EIO);
  emit_op(op);
  return true;
}

static void dispatch(int listener, const struct seccomp_notif *notif) {
  pid_t tid = (pid_t)notif->pid;
  statistics.received++;
  if (notif->data.nr == __NR_execve || notif->data.nr == __NR_execveat) {
    process_executes(tid);
    notification_continue(listener, notif->id);
    return;
  }
  pid_t tgid = process_of(tid);
  bool handled = false;
  if (tgid && !process_is_skipped(tid, tgid)) {
    if (paths_is_path_call(notif->data.nr)) {
      handled = handle_path(listener, notif, tgid);
    } else {
      bool joined;
      struct op *op = op_new(listener, notif, tgid, NULL, &joined);
      if (joined) return;
      if (op) {
        if (handle(op)) return;
        statistics.continued++;
        op_continue(op);
        return;
      }
    }
  }
  if (handled) return;
  statistics.continued++;
  notification_continue(listener, notif->id);
}

static bool is_over(int listener) {
  struct pollfd state = {listener, POLLIN, 0};
  return poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLNVAL));
}

static void *receive(void *argument) {
  struct receiver *receiver = argument;
  struct seccomp_notif *notif = kept_hand();
  if (!notif) abort();
  for (;;) {
    /* Older kernels leave RECV asleep when the last process ends; poll tells on all of them. */
    struct pollfd state = {receiver->listener, POLLIN, 0};
    if (poll(&state, 1, -1) < 0 && errno != EINTR) break;
    if (!(state.revents & POLLIN)) {
      if (state.revents & (POLLHUP | POLLNVAL | POLLERR)) break;
      continue;
    }
    for (;;) {
      kept_hand_empty(notif); /* what it had has been answered, or has an op */
      if (ioctl(receiver->listener, SECCOMP_IOCTL_NOTIF_RECV, notif) == 0) {
        dispatch(receiver->listener, notif);
        continue;
      }
      if (errno == ENOENT && is_over(receiver->listener)) goto over; /* else: interrupted before we read it */
      if (errno != EINTR && errno != ENOENT) goto over;
    }
  }
over:
  kept_hand_back(notif);
  if (__atomic_sub_fetch(receiver->running, 1, __ATOMIC_SEQ_CST) == 0) {
    free(receiver->running);
    emit_end();
  }
  free(receiver);
  return NULL;
}

int receive_start(int listener, int threads) {
  int *running = malloc(sizeof *running);
  if (!running) return -ENOMEM;
  *running = threads;
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, (uint64_t)1 /* SYNC_WAKE_UP, since 6.6 */);
  for (int i = 0; i < threads; i++) {
    struct receiver *receiver = malloc(sizeof *receiver);
    if (!receiver) return -ENOMEM;
    *receiver = (struct receiver){listener, running};
    int failed = thread_start(receive, receiver);
    if (failed) return failed;
  }
  return 0;
}
