#define _GNU_SOURCE
#include "target.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include "find.h"

static bool is_own_namespace(int namespace_fd, const char *own) {
  struct stat theirs, ours;
  return !fstat(namespace_fd, &theirs) && !stat(own, &ours) && theirs.st_ino == ours.st_ino &&
         theirs.st_dev == ours.st_dev;
}

static bool shares_namespace(int proc_fd, const char *path, const char *own) {
  int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
  bool is_own = fd >= 0 && is_own_namespace(fd, own);
  if (fd >= 0) close(fd);
  return is_own;
}

// Joins one namespace of the process: 0, or errno. `was_own` (may be NULL): nothing had to be done.
static int join(int proc_fd, const char *path, const char *own, int type, bool *was_own) {
  int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  bool is_own = is_own_namespace(fd, own);
  int error = !is_own && setns(fd, type) ? errno : 0;
  close(fd);
  if (was_own) *was_own = is_own;
  return error;
}

// The numbers after "\nName:" in /proc/PID/status; how many.
static size_t status_numbers(const char *status, const char *name, uint32_t *numbers, size_t max) {
  const char *at = strstr(status, name);
  if (!at) return 0;
  at += strlen(name);
  size_t count = 0;
  while (count < max) {
    at += strspn(at, " \t");
    if (*at < '0' || *at > '9') break;
    numbers[count++] = strtoul(at, (char **)&at, 10);
  }
  return count;
}

static int read_ids(int proc_fd, struct ids *ids) {
  char status[16384];
  ssize_t length = read_proc(proc_fd, "status", status, sizeof status);
  if (length < 0) return -length;
  // real, effective, saved, filesystem: files are judged by the last.
  uint32_t uids[4], gids[4];
  if (status_numbers(status, "\nUid:", uids, 4) != 4 || status_numbers(status, "\nGid:", gids, 4) != 4)
    return EIO;
  ids->uid = uids[3];
  ids->gid = gids[3];
  ids->group_count = status_numbers(status, "\nGroups:", ids->groups, MAX_GROUPS);
  return 0;
}

static int read_environ(int proc_fd, struct target *target) {
  target->environ = malloc(ENVIRON_LIMIT + 1);
  if (!target->environ) return ENOMEM;
  ssize_t length = read_proc(proc_fd, "environ", target->environ, ENVIRON_LIMIT + 1);
  if (length < 0) return -length;
  target->environ_length = length;
  if (length == ENVIRON_LIMIT) {
    while (target->environ_length && target->environ[target->environ_length - 1]) target->environ_length--;
    snprintf(target->missing_environment, WHY_LIMIT, "variables beyond %d bytes", ENVIRON_LIMIT);
  }
  return 0;
}

// Asked by a child, since enter needs its own UTS namespace no more than another one, but can be refused.
static void read_hostname(int proc_fd, char *hostname) {
  int pipe_fds[2];
  struct utsname own;
  uname(&own);
  snprintf(hostname, HOSTNAME_LIMIT, "%s", own.nodename);
  if (pipe2(pipe_fds, O_CLOEXEC)) return;
  pid_t child = fork();
  if (child == 0) {
    if (join(proc_fd, "ns/uts", "/proc/self/ns/uts", CLONE_NEWUTS, NULL) || uname(&own)) _exit(1);
    _exit(write(pipe_fds[1], own.nodename, strlen(own.nodename)) < 0);
  }
  close(pipe_fds[1]);
  struct pollfd readable = {.fd = pipe_fds[0], .events = POLLIN};
  if (child > 0 && poll(&readable, 1, 2000) == 1) {
    char name[HOSTNAME_LIMIT];
    ssize_t length = read(pipe_fds[0], name, sizeof name - 1);
    if (length > 0) snprintf(hostname, HOSTNAME_LIMIT, "%.*s", (int)length, name);
  }
  close(pipe_fds[0]);
  if (child > 0) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
}

// The process's directory in /proc, which stays with this process: after its end everything below it answers
// ESRCH, even when the number is used again. The descriptor, or -errno with `what`.
static int open_process(pid_t pid, struct target *target, char *what, size_t what_size) {
  *target = (struct target){.pid = pid, .pidfd = -1, .root_fd = -1, .mounts_fd = -1};
  char path[32];
  snprintf(path, sizeof path, "/proc/%d", pid);
  int proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct stat alive;
  if (proc_fd >= 0) target->pidfd = syscall(SYS_pidfd_open, pid, 0);
  if (proc_fd >= 0 && target->pidfd >= 0 && !fstatat(proc_fd, "stat", &alive, 0)) return proc_fd;
  int error = errno == ENOENT ? ESRCH : errno;
  snprintf(what, what_size, "process %d: %s", pid, strerror(error));
  if (proc_fd >= 0) close(proc_fd);
  return -error;
}

// The kernel shows both to whoever has the target's ids, or the right to look at any process.
static void explain_refusal(const struct target *target, char *missing, const char *of_what, int error) {
  int length = snprintf(missing, WHY_LIMIT, "%s: %s", of_what, strerror(error));
  if (target->ids.uid == getuid() && target->ids.gid == getgid()) return;
  snprintf(missing + length, WHY_LIMIT - length, " (the target runs as %u:%u, the agent as %u:%u)", target->ids.uid,
           target->ids.gid, getuid(), getgid());
}

// Of ours, what says where things lie in the agent's image and whose session it is.
static void leave_out_own_variables(struct target *target) {
  static const char *const own[] = {"PATH=", "HOME=", "INPOD_"};
  size_t kept = 0;
  for (size_t at = 0, length; at < target->environ_length; at += length) {
    const char *variable = target->environ + at;
    length = strlen(variable) + 1;
    bool is_own = false;
    for (size_t each = 0; each < sizeof own / sizeof *own; each++)
      if (!strncmp(variable, own[each], strlen(own[each]))) is_own = true;
    if (is_own) continue;
    memmove(target->environ + kept, variable, length);
    kept += length;
  }
  target->environ_length = kept;
}

static int join_namespaces(int proc_fd, pid_t pid, struct target *target, char *what, size_t what_size) {
  int error = join(proc_fd, "ns/user", "/proc/self/ns/user", CLONE_NEWUSER, NULL);
  if (error) {
    snprintf(what, what_size, "user namespace of process %d: %s", pid, strerror(error));
    return error;
  }
  target->uses_node_network = pid != 1 && shares_namespace(proc_fd, "ns/net", "/proc/1/ns/net");
  error = join(proc_fd, "ns/net", "/proc/self/ns/net", CLONE_NEWNET, &target->shares_network);
  if (error) snprintf(what, what_size, "network namespace of process %d: %s", pid, strerror(error));
  return error;
}

static void open_main_process(int proc_fd, struct target *target) {
  int refused = read_environ(proc_fd, target);
  if (refused) explain_refusal(target, target->missing_environment, "environ", refused);
  target->mounts_fd = openat(proc_fd, "ns/mnt", O_RDONLY | O_CLOEXEC);
  target->root_fd = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (target->root_fd < 0) explain_refusal(target, target->missing_files, "root directory", errno);
}

// That its end is the target's must not be believed.
static void forget_end(struct target *target) {
  close(target->pidfd);
  target->pidfd = -1;
}

int enter_target(pid_t pid, enum entry entry, struct target *target, char *what, size_t what_size) {
  int proc_fd = open_process(pid, target, what, what_size);
  if (proc_fd < 0) return -proc_fd;
  int error = 0;
  target->shares_network = true;
  if (entry < ENTER_POD && (error = join_namespaces(proc_fd, pid, target, what, what_size))) goto done;
  if ((error = read_ids(proc_fd, &target->ids))) {
    snprintf(what, what_size, "ids of process %d: %s", pid, strerror(error));
    goto done;
  }
  read_hostname(proc_fd, target->hostname);
  if (entry == ENTER_NETWORK) {
    snprintf(target->missing_files, WHY_LIMIT, "the container is not running");
    snprintf(target->missing_environment, WHY_LIMIT, "the container is not running");
  } else {
    open_main_process(proc_fd, target);
  }
  if (entry == ENTER_NOTHING) leave_out_own_variables(target);
  if (entry == ENTER_NETWORK || entry == ENTER_NOTHING) forget_end(target);
done:
  close(proc_fd);
  return error;
}

int follow_target(pid_t pid, const char *container_id, const char *pod_uid, struct target *target, char *what,
                  size_t what_size) {
  int proc_fd = open_process(pid, target, what, what_size);
  if (proc_fd < 0) return -proc_fd;
  int error = 0;
  if (!is_of_container(proc_fd, container_id, pod_uid)) {
    snprintf(what, what_size, "process %d is not of the container", pid);
    error = ESRCH;
  } else if (!shares_namespace(proc_fd, "ns/net", "/proc/self/ns/net")) {
    snprintf(what, what_size, "the container's network is not the one that was joined");
    error = ESTALE;
  } else if (!shares_namespace(proc_fd, "ns/user", "/proc/self/ns/user")) {
    snprintf(what, what_size, "the container's user namespace is not the one that was joined");
    error = ESTALE;
  } else if ((error = read_ids(proc_fd, &target->ids))) {
    snprintf(what, what_size, "ids of process %d: %s", pid, strerror(error));
  } else {
    read_hostname(proc_fd, target->hostname);
    open_main_process(proc_fd, target);
  }
  close(proc_fd);
  if (error) leave_target(target);
  return error;
}

void leave_target(struct target *target) {
  if (target->pidfd >= 0) close(target->pidfd);
  if (target->root_fd >= 0) close(target->root_fd);
  if (target->mounts_fd >= 0) close(target->mounts_fd);
  if (target->environ) explicit_bzero(target->environ, ENVIRON_LIMIT);
  free(target->environ);
  target->pidfd = target->root_fd = target->mounts_fd = -1;
  target->environ = NULL;
  target->environ_length = 0;
}

void list_addresses(char *text, size_t size) {
  struct ifaddrs *all;
  size_t length = 0;
  *text = 0;
  if (getifaddrs(&all)) return;
  for (struct ifaddrs *each = all; each; each = each->ifa_next) {
    char address[INET6_ADDRSTRLEN];
    if (!each->ifa_addr || each->ifa_flags & IFF_LOOPBACK) continue;
    int family = each->ifa_addr->sa_family;
    const void *bytes;
    if (family == AF_INET) bytes = &((struct sockaddr_in *)each->ifa_addr)->sin_addr;
    else if (family == AF_INET6) bytes = &((struct sockaddr_in6 *)each->ifa_addr)->sin6_addr;
    else continue;
    if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)bytes)) continue;
    if (!inet_ntop(family, bytes, address, sizeof address)) continue;
    if (length + strlen(address) + 2 > size) break;
    length += snprintf(text + length, size - length, "%s%s", length ? " " : "", address);
  }
  freeifaddrs(all);
}
