#include "compat.h"
#include "paths.h"
#include "programs.h"
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct tap_statistics statistics;

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
    case __NR_socket:
      return handle_socket(op);
    case __NR_dup:
    case __NR_fcntl:
      return handle_udp_copy(op);
#if defined(__NR_dup2)
    case __NR_dup2:
#endif
    case __NR_dup3:
      return handle_udp_moved(op);
    case __NR_sendmsg:
    case __NR_sendmmsg:
      return handle_sendmsg(op);
    case __NR_recvmsg:
    case __NR_recvmmsg:
      return handle_recvmsg(op);
    case __NR_getsockopt:
      return handle_socket_error(op);
    case __NR_seccomp:
      return handle_seccomp(op);
    case __NR_uname:
      handle_uname(op);
      return true;
    default:
      return false;
  }
}

/* What a call points at beside its path, which the kernel looks at before: it knows which error is the first. */
static bool has_more_to_read(int nr) {
  switch (nr) {
    case __NR_openat2:
    case __NR_symlinkat:
    case __NR_linkat:
    case __NR_renameat2:
#if defined(__NR_renameat)
    case __NR_renameat:
#endif
#if defined(__x86_64__)
    case __NR_symlink:
    case __NR_link:
    case __NR_rename:
#endif
      return true;
    default:
      return false;
  }
}

static bool handle_path(int listener, const struct seccomp_notif *notif, pid_t tgid, const struct path_call *call) {
  struct path_work work = {
      .listener = listener, .tid = (pid_t)notif->pid, .tgid = tgid, .nr = notif->data.nr, .call = call,
      .compat = !compat_is_native(notif)};
  memcpy(work.args, notif->data.args, sizeof work.args);
  places_decide(&work);
  /* Also a page of a remote file that could not be had: the kernel would wait for it once more. */
  if (work.is_unreadable && has_more_to_read(notif->data.nr)) {
    places_free(&work);
    return false;
  }
  bool handled = work.is_unreadable || serve_begin(notif, &work);
  if (work.is_unreadable) notification_reply(listener, notif->id, 0, EFAULT);
  places_free(&work);
  return handled;
}

/* A skipped program that works in a directory of the pod has its files from there: the kernel takes it there anyway. */
static bool is_concerned(pid_t tid, pid_t tgid, const struct path_call *call, bool executes) {
  if (process_is_skipped(tid, tgid, executes)) return call && places_work_in_remote(tid);
  return !call || !root_is_other(tid, tgid);
}

static bool moves_root(int nr) {
  return nr == __NR_chroot || nr == __NR_pivot_root || nr == __NR_setns;
}

/* What is most often decided without holding the call. */
static bool is_begun(int listener, const struct seccomp_notif *notif, pid_t tgid, int *socket) {
  switch (notif->data.nr) {
    case __NR_getsockname:
    case __NR_getpeername:
      return names_begin(listener, notif, tgid, socket);
#if defined(__NR_accept)
    case __NR_accept:
#endif
    case __NR_accept4:
      return accept_begin(listener, notif, tgid, socket);
    case __NR_getsockopt:
      return socket_error_begin(listener, notif, tgid, socket);
    default:
      return false;
  }
}

static void dispatch(int listener, const struct seccomp_notif *notif) {
  pid_t tid = (pid_t)notif->pid;
  statistics_count(&statistics.received);
  accepts_saw(tid);
  bool executes = notif->data.nr == __NR_execve || notif->data.nr == __NR_execveat;
  struct process_look look = executes ? process_look(tid) : (struct process_look){process_of(tid), false};
  if (executes && remote_get().fd < 0) {
    process_executes(tid, look);
    notification_continue(listener, notif->id);
    return;
  }
  pid_t tgid = look.tgid;
  const struct path_call *call = call_of_number(notif->data.nr);
  bool handled = false;
  if (moves_root(notif->data.nr)) root_changes(tgid);
  if (tgid && is_concerned(tid, tgid, call, executes)) {
    if (executes) process_executes(tid, look); /* whether the program before was skipped has been asked */
    if (call) {
      handled = handle_path(listener, notif, tgid, call);
    } else {
      bool joined;
      int socket = -1;
      if (is_begun(listener, notif, tgid, &socket)) return;
      struct op *op = op_new(listener, notif, tgid, NULL, NULL, &joined);
      if (socket >= 0 && !op) close(socket);
      if (joined) return;
      if (op) {
        op->socket = socket;
        if (handle(op)) return;
        statistics_count(&statistics.continued);
        op_continue(op);
        return;
      }
    }
  } else if (executes) {
    process_executes(tid, look);
  }
  if (handled) return;
  notification_let_go(listener, notif->id);
}

/* Of a 32-bit program. What it executes itself is this machine's: the pod's would take its registers (tracee.h). */
static void dispatch_compat(int listener, const struct seccomp_notif *notif) {
  struct seccomp_notif translated;
  switch (compat_translate(notif, &translated)) {
    case COMPAT_TRANSLATED:
      dispatch(listener, &translated);
      return;
    case COMPAT_EXECUTES:
      process_executes((pid_t)notif->pid, process_look((pid_t)notif->pid));
      break;
    case COMPAT_UNTOUCHED:
      break;
  }
  notification_continue(listener, notif->id);
}

void receive_dispatch(int listener, const struct seccomp_notif *notif) {
  if (compat_is_native(notif)) dispatch(listener, notif);
  else dispatch_compat(listener, notif);
}
