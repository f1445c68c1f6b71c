/*
 * How a descriptor comes into the program, and is the answer of its call.
 *
 * The kernel can do both at once (SECCOMP_ADDFD_FLAG_SEND), and has a hole there. Who gives waits until the thread has taken it;
 * if he is stopped meanwhile (Ctrl-Z, a debugger, a machine that goes to sleep) or has a signal to handle, the descriptor is
 * withdrawn and the answer stays, with the value that nobody has set: 0. The program then reads, writes and closes its standard
 * input for what it has opened (seccomp_notify_addfd() in Linux' seccomp.c, 6.18 and before). So a descriptor is given first,
 * once more when it was withdrawn, and its number is an answer like any other. The thread is woken twice for that.
 *
 * Where signals take threads out of their calls at any time, one may come in between. The process has the descriptor then, and
 * the call that is made again is told its number.
 */
#include "tap.h"
#include "listener.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The number it has in the process, or -errno; -ENOENT: nobody waits any more. `at`: the number that it is to have; 0: any. */
static int notification_give(int listener, uint64_t id, int fd, bool cloexec, int at) {
  struct seccomp_notif_addfd add = {.id = id,
                                    .srcfd = (uint32_t)fd,
                                    .newfd = (uint32_t)at,
                                    .newfd_flags = cloexec ? O_CLOEXEC : 0,
                                    .flags = at ? SECCOMP_ADDFD_FLAG_SETFD : 0};
  int result = listener_ask(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
  if (result >= 0) return result;
  return errno == ESRCH ? -ENOENT : -errno; /* ESRCH: interrupted before it took the fd */
}

int op_give(struct op *op, int fd) { return op_give_at(op, fd, 0); }

int op_give_at(struct op *op, int fd, int number) {
  op->was_given = true;
  return notification_give(op->listener, __atomic_load_n(&op->id, __ATOMIC_SEQ_CST), fd, true, number);
}

/* Which file it is, without asking the file server of the pod's. */
static bool file_of(int fd, struct file_id *file) {
  struct statx is;
  if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &is) != 0) return false;
  *file = (struct file_id){is.stx_ino, is.stx_dev_major, is.stx_dev_minor};
  return true;
}

int given_as_answer(struct op *op, uint64_t id, int fd, bool cloexec) {
  int number = notification_give(op->listener, id, fd, cloexec, op->inject_at);
  if (number == -ENOENT) statistics_count(&statistics.cancelled);
  if (number < 0) return number; /* the caller answers with the error */
  op->value = number;
  op->error = 0;
  if (op->finished) kept_unheard(op);
  else kept_acting(op, number, 0);
  int result = notification_reply(op->listener, id, number, 0);
  op->is_given = result == -ENOENT && file_of(fd, &op->given);
  return result;
}

bool given_is_there(const struct op *op) {
  struct file_id file;
  int copy = process_get_fd(op->tgid, (int)op->value);
  bool is_there = copy >= 0 && file_of(copy, &file) && file.inode == op->given.inode &&
                  file.major == op->given.major && file.minor == op->given.minor;
  if (copy >= 0) close(copy);
  return is_there;
}
