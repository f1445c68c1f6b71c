/* Where a program works. The thread itself must go there: nobody can do it for another process. */
#include "paths.h"
#include "tracee.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How often a thread that a signal has taken out of its call is looked for again. */
enum { TRIES = 200, PAUSE_MS = 5 };

/* The kernel's own answer would be "(unreachable)/…", which libraries take for an error. */
void serve_getcwd(const struct path_work *work, struct outcome *outcome) {
  size_t length = strlen(work->place.path) + 1;
  int fd = serve_path(work); /* is it there still? */
  if (fd < 0 || length > (size_t)work->args[1]) outcome->error = fd < 0 ? -fd : ERANGE;
  if (fd >= 0) close(fd);
  if (outcome->error) return;
  outcome->answer = work->place.path;
  outcome->length = length;
  outcome->to = work->args[0];
  outcome->value = (int64_t)length;
}

void serve_chdir(const struct path_work *work, struct outcome *outcome) {
  /* Not O_PATH: such a descriptor cannot be given to the program. */
  outcome->fd = remote_open(work, &work->place, work->place.walk, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);
  if (outcome->fd < 0) outcome->error = -outcome->fd;
}

static int64_t chdir_act(struct tracee *tracee) {
  const uint64_t directory[6] = {(uint64_t)tracee->number};
  int64_t result = tracee_call(tracee, __NR_fchdir, directory);
  tracee_call(tracee, __NR_close, directory);
  return result;
}

/* What we hold by O_PATH, by its name in /proc. */
static int64_t open_act(struct tracee *tracee, const struct path_work *work, int fd) {
  char name[64];
  int length = snprintf(name, sizeof name, "/proc/%d/fd/%d", getpid(), fd) + 1;
  const uint64_t memory[6] = {0, sizeof name, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0};
  int64_t at = tracee_call(tracee, __NR_mmap, memory);
  if (at < 0 && at > -4096) return at;
  int flags = O_PATH | (work->flags & O_CLOEXEC);
  int64_t result = memory_write(tracee->tid, (uint64_t)at, name, (size_t)length);
  if (!result)
    result = tracee_call(tracee, __NR_openat, (const uint64_t[6]){(uint64_t)AT_FDCWD, (uint64_t)at, (uint64_t)flags});
  tracee_call(tracee, __NR_munmap, (const uint64_t[6]){(uint64_t)at, sizeof name});
  return result;
}

struct acting {
  const struct path_work *work;
  const struct outcome *outcome;
};

static int64_t act(struct tracee *tracee, void *argument) {
  const struct acting *acting = argument;
  if (acting->work->call->kind == CALL_CHDIR) return chdir_act(tracee);
  if (acting->work->call->kind == CALL_OPEN) return open_act(tracee, acting->work, acting->outcome->fd);
  return exec_act(tracee, acting->work, acting->outcome);
}

/* NULL: its deadline has passed. */
static struct op *wait_for_call(struct op *op) {
  uint64_t token = op_unclaim(op);
  nanosleep(&(struct timespec){0, PAUSE_MS * 1000000L}, NULL);
  return op_claim(token);
}

void serve_by_itself(struct op *op, const struct path_work *work, const struct outcome *outcome) {
  struct acting acting = {work, outcome};
  remote_enter();
  int failed = -EAGAIN;
  op->keep_result = true; /* an error may be told to the restarted call */
  for (int i = 0; i < TRIES && op && failed == -EAGAIN; i++) {
    /* A signal's handler runs, and the call is made again behind it. */
    if (op_is_valid(op)) failed = tracee_run(op, work->call->kind == CALL_OPEN ? -1 : outcome->fd, act, &acting);
    if (failed == -EAGAIN) op = wait_for_call(op);
  }
  if (failed == 0 || !op) return;
  if (failed == -EPERM || failed == -EBUSY) {
    if (work->call->kind != CALL_OPEN)
      emit_refused(op->tgid, work->call->name, work->place.path, failed == -EBUSY ? "traced" : "ptrace");
    failed = -EOPNOTSUPP;
  }
  op_reply(op, 0, failed == -EAGAIN ? EINTR : -failed);
}
