#define _GNU_SOURCE
#include "find.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"

ssize_t read_proc(int proc_fd, const char *path, char *buffer, size_t size) {
  int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  size_t length = 0;
  while (length < size - 1) {
    ssize_t got = read(fd, buffer + length, size - 1 - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      int error = errno;
      close(fd);
      return -error;
    }
    if (got == 0) break;
    length += got;
  }
  close(fd);
  buffer[length] = 0;
  return length;
}

// "NSpid:\t4711\t1": ids from the outermost pid namespace we see to the process's own.
static bool is_first_of_its_pid_namespace(int proc_fd, const char *pid) {
  char path[64], status[8192];
  snprintf(path, sizeof path, "%.20s/status", pid);
  if (read_proc(proc_fd, path, status, sizeof status) <= 0) return false;
  char *line = strstr(status, "\nNSpid:");
  if (!line) return false;
  line += strlen("\nNSpid:");
  line[strcspn(line, "\n")] = 0;
  char *last = strrchr(line, '\t');
  return last && !strcmp(last + 1, "1");
}

// Field 22 of /proc/PID/stat, in clock ticks since boot; the name before it may hold spaces and brackets.
static unsigned long long start_time(int proc_fd, const char *pid) {
  char path[64], stat[2048];
  snprintf(path, sizeof path, "%.20s/stat", pid);
  if (read_proc(proc_fd, path, stat, sizeof stat) <= 0) return ~0ull;
  char *at = strrchr(stat, ')');
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  return at ? strtoull(at, NULL, 10) : ~0ull;
}

// What a cgroup's path must contain; "" is in every one.
struct wanted {
  char container_id[129], pod_uid[129];
  char pod_uid_underscores[129]; // systemd's cgroup driver writes underscores, since a dash nests slices
};

static struct wanted want(const char *container_id, const char *pod_uid) {
  struct wanted wanted;
  snprintf(wanted.container_id, sizeof wanted.container_id, "%s", container_id);
  snprintf(wanted.pod_uid, sizeof wanted.pod_uid, "%s", pod_uid);
  snprintf(wanted.pod_uid_underscores, sizeof wanted.pod_uid_underscores, "%s", pod_uid);
  for (char *c = wanted.pod_uid_underscores; *c; c++)
    if (*c == '-') *c = '_';
  return wanted;
}

static bool is_wanted(int proc_fd, const char *path, const struct wanted *wanted) {
  char cgroup[16384];
  return read_proc(proc_fd, path, cgroup, sizeof cgroup) > 0 && strstr(cgroup, wanted->container_id) &&
         (strstr(cgroup, wanted->pod_uid) || strstr(cgroup, wanted->pod_uid_underscores));
}

static pid_t find_once(const struct wanted *wanted) {
  DIR *proc = opendir("/proc");
  if (!proc) return 0;
  pid_t found = 0;
  unsigned long long oldest = ~0ull;
  for (struct dirent *entry; (entry = readdir(proc));) {
    pid_t pid = atoi(entry->d_name);
    char path[64];
    if (pid <= 0 || pid == getpid()) continue;
    snprintf(path, sizeof path, "%.20s/cgroup", entry->d_name);
    if (!is_wanted(dirfd(proc), path, wanted)) continue;
    if (is_first_of_its_pid_namespace(dirfd(proc), entry->d_name)) {
      found = pid;
      break;
    }
    // `kubectl exec` processes share the cgroup, but are younger.
    unsigned long long started = start_time(dirfd(proc), entry->d_name);
    if (started < oldest) {
      oldest = started;
      found = pid;
    }
  }
  closedir(proc);
  return found;
}

pid_t find_container(const char *container_id, int64_t timeout_ms) {
  struct wanted wanted = want(container_id, "");
  int64_t deadline = now_ms() + timeout_ms;
  for (;;) {
    pid_t pid = find_once(&wanted);
    int left = ms_until(deadline);
    if (pid || !left) return pid;
    // The kernel tells nobody without CAP_NET_ADMIN about new processes.
    poll(NULL, 0, left < 100 ? left : 100);
  }
}

pid_t find_container_of_pod(const char *container_id, const char *pod_uid) {
  struct wanted wanted = want(container_id, pod_uid);
  return find_once(&wanted);
}

bool is_of_container(int proc_fd, const char *container_id, const char *pod_uid) {
  struct wanted wanted = want(container_id, pod_uid);
  return is_wanted(proc_fd, "cgroup", &wanted);
}

pid_t find_pod(const char *pod_uid) {
  struct wanted wanted = want("", pod_uid);
  return find_once(&wanted);
}
