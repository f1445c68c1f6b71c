/*
 * inpod-preload.so: LD_PRELOAD for programs that somebody else starts (an IDE, a shell), which can be given variables and
 * nothing more. Before the program's own code runs it does from inside what the launcher does from outside: it installs
 * the filter in all threads and hands its listener to the session whose socket INPOD_PRELOAD names.
 *
 *   INPOD_PRELOAD=PID:PATH          of the session, and its socket
 *   INPOD_WITHOUT_SESSION=run       a program that cannot be in the session runs without, after a line on stderr;
 *                                   else it ends with 125
 *
 * What is said on the socket, the session first (src/programs.ts):
 *   session  G<groups>\n            the filter's groups; or N<why>\n and the end
 *   program  one byte and the listener (SCM_RIGHTS); or E<errno>\n
 *   session  k                      somebody answers now
 *
 * It needs no libc, so that it loads in programs of any: musl's loader does not even tell constructors their environment.
 * A weak symbol is used where there is one. It leaves nothing behind: no thread, descriptor, handler or child.
 */
#include "filter.h"
#include "raw.h"
#include "text.h"
#include <asm/resource.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/time_types.h>
#include <linux/wait.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CANNOT_TAP = 125, ANSWER_SECONDS = 10, LINE = 256, SIGNAL_SET_BYTES = 8, EACCES_ = 13, EAGAIN_ = 11, EINTR_ = 4, EBUSY_ = 16, EINVAL_ = 22, SIGKILL_ = 9 };

/* What was found in the environment. */
static struct {
  long pid;
  char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
  int is_wanted, runs_without;
  unsigned long mark; /* ../keeper/mark.h; 0: none */
} session;

static void say(const char *text) { raw3(__NR_write, 2, text, text_length(text)); }

/* ---- the environment ---- */

/* As keeper/mark.c and src/mark.ts: FNV-1a. */
static unsigned long mark_of(const char *entry) {
  unsigned long hash = 14695981039346656037ul;
  for (; *entry; entry++) hash = (hash ^ (unsigned char)*entry) * 1099511628211ul;
  return hash >> 2 | 1ul << 61;
}

static void read_variable(const char *entry) {
  const char *value, *path;
  if (text_after(entry, "INPOD_WITHOUT_SESSION=run") && text_length(entry) == sizeof "INPOD_WITHOUT_SESSION=run" - 1)
    session.runs_without = 1;
  if (text_after(entry, "INPOD_SESSION=")) session.mark = mark_of(entry);
  if (!(value = text_after(entry, "INPOD_PRELOAD="))) return;
  session.is_wanted = 1;
  session.pid = text_number(value, &path);
  if (*path++ != ':' || text_length(path) >= sizeof session.path) return; /* no path: told as a session that is gone */
  memcpy(session.path, path, text_length(path) + 1);
}

/* Programs of some libcs have it by now, those of others not yet. */
extern char **environ __attribute__((weak));

/* What the program was started with. Variables that are longer than ours may be are passed over. */
static void read_proc(void) {
  char text[4096];
  size_t kept = 0;
  int skips = 0;
  long fd = raw5(__NR_openat, AT_FDCWD, "/proc/self/environ", O_RDONLY | O_CLOEXEC, 0, 0);
  if (fd < 0) return;
  for (;;) {
    long got = raw3(__NR_read, fd, text + kept, sizeof text - kept);
    if (got == -EINTR_) continue;
    if (got <= 0) break;
    size_t end = kept + (size_t)got, begin = 0;
    for (size_t at = kept; at < end; at++) {
      if (text[at]) continue;
      if (!skips) read_variable(text + begin);
      skips = 0;
      begin = at + 1;
    }
    kept = end - begin;
    if (kept == sizeof text) {
      skips = 1;
      kept = 0;
    }
    for (size_t i = 0; i < kept; i++) text[i] = text[begin + i];
  }
  raw3(__NR_close, fd, 0, 0);
}

static void read_environment(void) {
  read_proc();
  if (session.is_wanted || !&environ || !environ) return;
  for (char **entry = environ; *entry; entry++) read_variable(*entry);
}

/* ---- the session ---- */

static void wait_for(int fd) {
  struct pollfd waiting = {.fd = fd, .events = POLLIN};
  struct __kernel_timespec limit = {.tv_sec = ANSWER_SECONDS};
  while (raw5(__NR_ppoll, &waiting, 1, &limit, 0, 0) == -EINTR_) continue;
}

/* A line of the session without its end, or -errno; 0: it has gone. */
static long read_line(int fd, char *line) {
  size_t length = 0;
  while (length < LINE - 1) {
    wait_for(fd);
    long got = raw6(__NR_recvfrom, fd, (long)(line + length), 1, MSG_DONTWAIT, 0, 0);
    if (got == -EINTR_) continue;
    if (got < 0) return got;
    if (got == 0 || line[length] == '\n') break;
    length++;
  }
  line[length] = 0;
  return (long)length;
}

/* -EAGAIN: it does not come to the door. Whoever waits there has no deadline (unix(7)) but that of sending. */
static int dial(void) {
  struct __kernel_old_timeval limit = {.tv_sec = ANSWER_SECONDS};
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  memcpy(to.sun_path, session.path, sizeof session.path);
  if (!*session.path) return -1;
  long fd = raw3(__NR_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return (int)fd;
  raw5(__NR_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  long failed;
  while ((failed = raw3(__NR_connect, fd, &to, sizeof to)) == -EINTR_) continue;
  if (failed == 0) return (int)fd;
  raw3(__NR_close, fd, 0, 0);
  return (int)failed;
}

static long send_listener(int control, int listener) {
  union {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr head;
  } space = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
  memcpy(CMSG_DATA(&space.head), &listener, sizeof listener);
  char byte = 'L';
  struct iovec io = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &io, .msg_iovlen = 1, .msg_control = space.room, .msg_controllen = sizeof space.room};
  return raw3(__NR_sendmsg, control, &message, MSG_NOSIGNAL);
}

static long send_errno(int control, int error) {
  char text[] = "E000\n";
  for (int at = 3; at > 0; at--, error /= 10) text[at] = (char)('0' + error % 10);
  return raw6(__NR_sendto, control, (long)text, sizeof text - 1, MSG_NOSIGNAL, 0, 0);
}

/*
 * With the filter the program can send nothing until somebody answers its calls. So a child without it, which shares our
 * descriptors, waits for the listener's number and sends it. It has no signal for its end: the program never hears of it.
 */
static void be_messenger(int control, int ready, long program) {
  int listener;
  long sent = -1;
  /* Whoever kills the program now leaves nothing: its end of the pipe is open in us, too. */
  raw5(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL_, 0, 0, 0);
  if (raw3(__NR_getppid, 0, 0, 0) == program && raw3(__NR_read, ready, &listener, sizeof listener) == sizeof listener)
    sent = listener < 0 ? send_errno(control, -listener) : send_listener(control, listener);
  for (;;) raw3(__NR_exit_group, sent > 0 && listener >= 0 ? 0 : 1, 0, 0);
}

/* The listener, or -errno. All threads get the filter, or none. */
static int install(unsigned groups) {
  static struct filter filter;
  filter_build(&filter, groups);
  struct {
    unsigned short length;
    struct sock_filter *code;
  } program = {filter.length, filter.code};
  long all = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, flags = all | (long)filter_flags(groups);
  long fd = raw3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (fd == -EINVAL_) {
    flags = all | (long)filter_flags(groups | FILTER_INTERRUPTIBLE);
    fd = raw3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  }
  /* Without no_new_privs only with CAP_SYS_ADMIN. */
  if (fd == -EACCES_ && raw5(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
    fd = raw3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  return (int)fd;
}

/*
 * Yama (kernel.yama.ptrace_scope=1) lets only ancestors read a program's memory, and the session is none. What is allowed
 * here is allowed for one process: each child needs its own. Elsewhere this is EINVAL.
 */
static void let_session_look(void) { raw5(__NR_prctl, PR_SET_PTRACER, session.pid, 0, 0, 0); }

/* glibc's and musl's, of which a program has one: children by fork(2), which load nothing. */
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *) __attribute__((weak));
extern int pthread_atfork(void (*)(void), void (*)(void), void (*)(void)) __attribute__((weak));

static void let_session_look_in_children(void) {
  if (&__register_atfork) __register_atfork(NULL, NULL, let_session_look, NULL);
  else if (&pthread_atfork) pthread_atfork(NULL, NULL, let_session_look);
}

/* So that the program and its children are known as the session's when they have cleared their environment, too. */
static void carry_mark(void) {
  unsigned long limits[2];
  if (!session.mark || raw5(__NR_prlimit64, 0, RLIMIT_LOCKS, 0, limits, 0) != 0) return;
  limits[0] = session.mark < limits[1] ? session.mark : limits[1];
  raw5(__NR_prlimit64, 0, RLIMIT_LOCKS, limits, 0, 0);
}

/* The session's own words, the errno, or neither. */
static void without_session(const char *what, const char *why, int error) {
  char digits[] = "errno 000";
  for (int at = 8, rest = error; at > 5; at--, rest /= 10) digits[at] = (char)('0' + rest % 10);
  say("inpod: this program is not in the place of the pod: ");
  say(what);
  if (*why || error) say(": ");
  say(*why ? why : error == EBUSY_ ? "something else watches them already" : error ? digits : "");
}

static void run_or_end(void) {
  if (session.runs_without) {
    say("; it runs on this machine alone (INPOD_WITHOUT_SESSION=run)\n");
    return;
  }
  say("; so it is ended (unset LD_PRELOAD, or INPOD_WITHOUT_SESSION=run to let it run without)\n");
  for (;;) raw3(__NR_exit_group, CANNOT_TAP, 0, 0);
}

/* The filter is there and nobody answers: every trapped call would fail. */
static void end(void) {
  say("; it is ended\n");
  for (;;) raw3(__NR_exit_group, CANNOT_TAP, 0, 0);
}

/* From a program that the session takes to one whose calls it answers. */
static void enter(int control, unsigned groups) {
  char line[LINE];
  int ready[2], status = 1;
  long failed = raw3(__NR_pipe2, ready, O_CLOEXEC, 0);
  if (failed == 0) {
    let_session_look();
    long program = raw3(__NR_getpid, 0, 0, 0), child = raw5(__NR_clone, CLONE_FILES, 0, 0, 0, 0);
    if (child == 0) be_messenger(control, ready[0], program);
    int listener = child < 0 ? (int)child : install(groups);
    if (child > 0) {
      raw3(__NR_write, ready[1], &listener, sizeof listener);
      while (raw5(__NR_wait4, child, &status, __WALL, 0, 0) == -EINTR_) continue;
    }
    failed = listener < 0 ? listener : 0;
    if (listener >= 0 && (status != 0 || read_line(control, line) <= 0 || line[0] != 'k')) {
      without_session("the session has not taken it over", "", 0);
      end();
    }
    if (listener >= 0) {
      raw3(__NR_close, listener, 0, 0);
      carry_mark();
    }
    raw3(__NR_close, ready[0], 0, 0);
    raw3(__NR_close, ready[1], 0, 0);
  }
  raw3(__NR_close, control, 0, 0);
  if (failed == 0) return;
  without_session("its system calls cannot be watched", "", (int)-failed);
  run_or_end();
}

static const char NO_ANSWER[] = "its session does not answer";

/* Signals wait: what a handler does in between would be done in the messenger, too. */
static void join(void) {
  char line[LINE];
  const char *rest;
  int control = dial();
  if (control < 0) {
    without_session(control == -EAGAIN_ ? NO_ANSWER : "its session is gone", "", 0);
    run_or_end();
    return;
  }
  long got = read_line(control, line);
  if (got > 1 && line[0] == 'G') {
    enter(control, (unsigned)text_number(line + 1, &rest));
    return;
  }
  raw3(__NR_close, control, 0, 0);
  without_session(got > 1 ? "the session does not take it" : NO_ANSWER, got > 1 ? line + 1 : "", 0);
  run_or_end();
}

__attribute__((constructor)) static void begin(void) {
  unsigned long all = ~0ul, before;
  read_environment();
  if (!session.is_wanted) return;
  /* A child of a program that is in a session has its filter. */
  if (raw5(__NR_prctl, FILTER_ASK, 0, 0, 0, 0) == -FILTER_EALREADY) {
    let_session_look();
  } else {
    raw5(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, &before, SIGNAL_SET_BYTES, 0);
    join();
    raw5(__NR_rt_sigprocmask, 2, &before, 0, SIGNAL_SET_BYTES, 0);
  }
  let_session_look_in_children();
}
