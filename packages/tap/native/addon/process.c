#include "paths.h"
#include "programs.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A notification names a thread. Its process is read from /proc once and kept for a second, so that
 * a thread id that the kernel gives out again cannot stay wrong for long; a program's verdict holds until
 * its next exec.
 */
enum { ENTRIES = 4096, FRESH_NS = 1000000000, UNSETTLED_NS = 100000000 };

struct thread_entry {
  pid_t tid, tgid;
  int64_t read_ns;
};
struct process_entry {
  pid_t tgid;
  int pidfd;
  bool judged, skipped;
  bool told_closed;
  int64_t unsettled_until_ns; /* another thread may still run the old program while one executes */
};

static struct thread_entry threads[ENTRIES];
static struct process_entry processes[ENTRIES];
static char **skip_names;
static size_t skip_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static ssize_t read_proc(pid_t pid, const char *name, char *into, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t got = read(fd, into, size - 1);
  close(fd);
  if (got >= 0) into[got] = 0;
  return got;
}

static pid_t field(const char *status, const char *name) {
  const char *at = strstr(status, name);
  return at ? (pid_t)atoi(at + strlen(name)) : 0;
}

static struct process_entry *entry_locked(pid_t tgid) {
  struct process_entry *entry = &processes[(unsigned)tgid % ENTRIES];
  if (entry->tgid != tgid) {
    if (entry->tgid && entry->pidfd >= 0) close(entry->pidfd);
    *entry = (struct process_entry){.tgid = tgid, .pidfd = -1}; /* most programs never need one */
  }
  return entry;
}

pid_t process_of(pid_t tid) {
  struct thread_entry *entry = &threads[(unsigned)tid % ENTRIES];
  int64_t now = now_ns();
  pthread_mutex_lock(&mutex);
  pid_t known = entry->tid == tid && now - entry->read_ns < FRESH_NS ? entry->tgid : 0;
  pthread_mutex_unlock(&mutex);
  if (known) return known;
  char status[1024];
  if (read_proc(tid, "status", status, sizeof status) <= 0) return 0;
  pid_t tgid = field(status, "\nTgid:");
  pthread_mutex_lock(&mutex);
  *entry = (struct thread_entry){tid, tgid, now};
  pthread_mutex_unlock(&mutex);
  return tgid;
}

struct process_look process_look(pid_t tid) {
  char status[2048];
  if (read_proc(tid, "status", status, sizeof status) <= 0) return (struct process_look){0};
  return (struct process_look){field(status, "\nTgid:"), field(status, "\nThreads:") <= 1};
}

/* Who is alone remains so: its only thread is in our hands. */
void process_executes(pid_t tid, struct process_look before) {
  if (!before.tgid) return;
  pthread_mutex_lock(&mutex);
  struct process_entry *entry = entry_locked(before.tgid);
  entry->judged = entry->told_closed = false;
  entry->unsettled_until_ns = before.is_alone ? 0 : now_ns() + UNSETTLED_NS;
  threads[(unsigned)tid % ENTRIES] = (struct thread_entry){tid, before.tgid, now_ns()};
  pthread_mutex_unlock(&mutex);
}

static const char *last_part(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static bool is_skip_name(const char *name) {
  for (size_t i = 0; i < skip_count; i++)
    if (strcmp(skip_names[i], name) == 0) return true;
  return false;
}

bool process_is_skipped(pid_t tid, pid_t tgid, bool executes) {
  int64_t now = now_ns();
  pthread_mutex_lock(&mutex);
  struct process_entry *entry = entry_locked(tgid);
  bool known = entry->judged && now >= entry->unsettled_until_ns, skipped = entry->skipped;
  pthread_mutex_unlock(&mutex);
  if (known) return skipped;
  char path[64], executable[PATH_MAX], command[512];
  snprintf(path, sizeof path, "/proc/%d/exe", tid);
  ssize_t length = readlink(path, executable, sizeof executable - 1);
  if (length < 0) {
    if (errno == EACCES || errno == EPERM) process_is_closed(tid);
    return false;
  }
  executable[length] = 0;
  if (read_proc(tid, "cmdline", command, sizeof command) < 0) command[0] = 0;
  pthread_mutex_lock(&mutex);
  skipped = is_skip_name(last_part(executable)) || is_skip_name(last_part(command));
  entry = entry_locked(tgid);
  bool news = !entry->judged;
  entry->judged = true;
  entry->skipped = skipped;
  pthread_mutex_unlock(&mutex);
  if (news && (!executes || report_is_wanted())) emit_program(tgid, executable, skipped);
  if (news) program_tell_privileges(tid, executable);
  return skipped;
}

void process_is_closed(pid_t tid) {
  pid_t tgid = process_of(tid);
  if (!tgid) return;
  pthread_mutex_lock(&mutex);
  struct process_entry *entry = entry_locked(tgid);
  bool news = !entry->told_closed;
  entry->told_closed = true;
  pthread_mutex_unlock(&mutex);
  if (news) emit_limited_program(tid, "closed");
}

int process_get_fd(pid_t tgid, int fd) {
  pthread_mutex_lock(&mutex);
  struct process_entry *entry = entry_locked(tgid);
  int copy = (int)syscall(__NR_pidfd_getfd, entry->pidfd, fd, 0);
  if (copy < 0 && (errno == ESRCH || errno == EBADF)) {
    /* The process id may have a new owner since: a pidfd never follows it. */
    int fresh = (int)syscall(__NR_pidfd_open, tgid, 0);
    if (fresh >= 0) {
      if (entry->pidfd >= 0) close(entry->pidfd);
      entry->pidfd = fresh;
      copy = (int)syscall(__NR_pidfd_getfd, fresh, fd, 0);
    }
  }
  int error = errno;
  pthread_mutex_unlock(&mutex);
  return copy < 0 ? -error : copy;
}

void process_forget_ended(void) {
  static struct pollfd open[ENTRIES]; /* one thread calls this */
  int indices[ENTRIES], count = 0;
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < ENTRIES; i++)
    if (processes[i].tgid && processes[i].pidfd >= 0) {
      indices[count] = i;
      open[count++] = (struct pollfd){processes[i].pidfd, POLLIN, 0};
    }
  if (count > 0 && poll(open, (nfds_t)count, 0) > 0)
    for (int i = 0; i < count; i++)
      if (open[i].revents) {
        close(processes[indices[i]].pidfd);
        processes[indices[i]] = (struct process_entry){0};
      }
  pthread_mutex_unlock(&mutex);
}

void process_set_skips(char **names, size_t count) {
  pthread_mutex_lock(&mutex);
  skip_names = names;
  skip_count = count;
  for (size_t i = 0; i < ENTRIES; i++) processes[i].judged = false;
  pthread_mutex_unlock(&mutex);
}
