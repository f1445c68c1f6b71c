/*
 * What the tap needs of this machine, each thing tried on a process of no consequence: a security module, a seccomp
 * profile or an old kernel shows in what happens, not in what can be read about it. Nothing of it stays.
 */
#include "surface.h"
#include "../filter-groups.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

enum { STACK_BYTES = 64 * 1024, TRIAL_MS = 2000 };

/* Of each door: 0, or -errno. */
struct trial {
  int ready[2];
  int seccomp, addfd_send, wake_up, wait_killable;
  uint64_t word;
};

static int result(long value) { return value < 0 ? -errno : 0; }

/* Of a notification that is not there: a kernel that knows the flag says so, one that does not says EINVAL. */
static int try_addfd_send(int listener) {
  struct seccomp_notif_addfd add = {.id = 1, .srcfd = (uint32_t)listener, .flags = SECCOMP_ADDFD_FLAG_SEND};
  int failed = result(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add));
  return failed == -ENOENT || failed == -EINPROGRESS ? 0 : failed;
}

/* In a process of its own, because a filter cannot be taken off. In our memory. */
static int try_filter(void *argument) {
  struct trial *trial = argument;
  struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {1, &allow};
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int listener = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, filter_flags(0), &program);
  trial->wait_killable = result(listener);
  if (trial->wait_killable == -EINVAL)
    listener = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, filter_flags(FILTER_INTERRUPTIBLE), &program);
  trial->seccomp = result(listener);
  if (listener >= 0) {
    trial->addfd_send = try_addfd_send(listener);
    trial->wake_up = result(ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, (uint64_t)1));
  }
  if (write(trial->ready[1], "r", 1) != 1) return 1;
  for (;;) pause(); /* the others are tried on this process, until it is ended */
}

static int try_get_fd(pid_t pid, int fd) {
  int pidfd = (int)syscall(__NR_pidfd_open, pid, 0);
  if (pidfd < 0) return -errno;
  int copy = (int)syscall(__NR_pidfd_getfd, pidfd, fd, 0), failed = result(copy);
  close(pidfd);
  if (copy >= 0) close(copy);
  return failed;
}

static int try_memory(pid_t pid, struct trial *trial, bool writes) {
  uint64_t word = 0;
  struct iovec local = {&word, sizeof word}, remote = {&trial->word, sizeof trial->word};
  return result(writes ? process_vm_writev(pid, &local, 1, &remote, 1, 0) : process_vm_readv(pid, &local, 1, &remote, 1, 0));
}

static int try_openat2(void) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
  int fd = (int)syscall(__NR_openat2, AT_FDCWD, "/", &how, sizeof how), failed = result(fd);
  if (fd >= 0) close(fd);
  return failed;
}

static int try_memfd(void) {
  int fd = memfd_create("inpod-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING), failed = result(fd);
  if (fd >= 0) close(fd);
  return failed;
}

static int try_cookie(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  uint64_t cookie;
  socklen_t length = sizeof cookie;
  int failed = result(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length));
  close(fd);
  return failed;
}

/* Which process a thread is of, and what it runs. */
static int try_proc(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  return result(access(path, R_OK));
}

static void put_door(napi_env env, napi_value into, const char *name, int failed) {
  put(env, into, name, number(env, failed));
}

static void try_on(napi_env env, napi_value doors, pid_t pid, struct trial *trial) {
  put_door(env, doors, "seccomp", trial->seccomp);
  if (trial->seccomp == 0) {
    put_door(env, doors, "addfd-send", trial->addfd_send);
    put_door(env, doors, "wake-up", trial->wake_up);
    put_door(env, doors, "wait-killable", trial->wait_killable);
  }
  put_door(env, doors, "proc", try_proc(pid));
  put_door(env, doors, "pidfd_getfd", try_get_fd(pid, trial->ready[0]));
  put_door(env, doors, "process_vm_readv", try_memory(pid, trial, false));
  put_door(env, doors, "process_vm_writev", try_memory(pid, trial, true));
  put_door(env, doors, "ptrace", result(ptrace(PTRACE_SEIZE, pid, 0, 0)));
}

/* probeDoors() -> {name: 0 or -errno}; what could not be tried is left out. A millisecond. */
napi_value probe_doors(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value doors;
  napi_create_object(env, &doors);
  put_door(env, doors, "openat2", try_openat2());
  put_door(env, doors, "memfd_create", try_memfd());
  put_door(env, doors, "so-cookie", try_cookie());
  struct trial trial = {0};
  char *stack = malloc(STACK_BYTES);
  if (!stack || pipe2(trial.ready, O_CLOEXEC) != 0) {
    free(stack);
    return doors;
  }
  /* No handler of ours is to run in a process that has our memory. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = clone(try_filter, stack + STACK_BYTES, CLONE_VM, &trial);
  struct pollfd told = {trial.ready[0], POLLIN, 0};
  if (pid > 0) {
    if (poll_again(&told, TRIAL_MS) == 1) try_on(env, doors, pid, &trial);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR) continue;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(trial.ready[0]);
  close(trial.ready[1]);
  free(stack);
  return doors;
}
