/*
 * shapes ADDRESS PORT FILE MODE [N]: processes of every shape, each of which is to find itself in the pod: FILE begins with
 * "greetings from the pod", and what is sent to ADDRESS:PORT comes back. Prints "MODE: so many of so many".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 60000, AT_ONCE = 32 };
static char **arguments;
extern char **environ;

static int is_pods_file(const char *path) {
  char text[32] = {0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text, sizeof text - 1) < 0) perror(path);
  if (fd >= 0) close(fd);
  return strncmp(text, "greetings from the pod", 22) == 0;
}

static int comes_back(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2]))};
  inet_pton(AF_INET, arguments[1], &to.sin_addr);
  char byte = 'x';
  int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), result;
  while ((result = connect(s, (void *)&to, sizeof to)) < 0 && errno == EINTR) continue;
  struct pollfd answer = {s, POLLIN, 0};
  int ok = result == 0 && send(s, &byte, 1, MSG_NOSIGNAL) == 1 && poll(&answer, 1, WAIT_MS) == 1 && recv(s, &byte, 1, 0) == 1;
  if (!ok) perror("connection");
  close(s);
  return ok;
}

static int visit(void) { return is_pods_file(arguments[3]) && comes_back(); }

static int gate[2]; /* opens for all at once */
static void pass_gate(void) {
  char byte;
  while (read(gate[0], &byte, 1) < 0 && errno == EINTR) continue;
}

static int good;
static void *thread(void *x) {
  pass_gate();
  if (visit()) __atomic_add_fetch(&good, 1, __ATOMIC_SEQ_CST);
  return x;
}
static int threads(int n) {
  pthread_t *all = calloc((size_t)n, sizeof *all);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  for (int i = 0; i < n; i++)
    if (pthread_create(&all[i], &small, thread, NULL)) return 0;
  close(gate[1]);
  for (int i = 0; i < n; i++) pthread_join(all[i], NULL);
  return good;
}

static int reap(void) {
  int status;
  while (waitpid(-1, &status, 0) < 0)
    if (errno != EINTR) return 0;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* All there at the same time. */
static int forks(int n) {
  int ok = 0;
  for (int i = 0; i < n; i++)
    if (fork() == 0) {
      close(gate[1]);
      pass_gate();
      _exit(!visit());
    }
  close(gate[1]);
  for (int i = 0; i < n; i++) ok += reap();
  return ok;
}

static int spawns(int n) {
  char *argv[] = {arguments[0], arguments[1], arguments[2], arguments[3], "visit", NULL};
  int ok = 0, running = 0;
  for (int i = 0; i < n; i++) {
    pid_t pid;
    if (i % 2 == 0 && posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0) return ok;
    if (i % 2 && vfork() == 0) {
      execv(argv[0], argv);
      _exit(1);
    }
    if (++running == AT_ONCE) ok += reap(), running--;
  }
  while (running-- > 0) ok += reap();
  return ok;
}

/* Executes itself, n times, and looks at the pod's file each time. */
static int executes(int n, int total) {
  if (!is_pods_file(arguments[3])) return total - n;
  if (n == 1) return comes_back() ? total : 0;
  char left[16], all[16];
  snprintf(left, sizeof left, "%d", n - 1);
  snprintf(all, sizeof all, "%d", total);
  execl(arguments[0], arguments[0], arguments[1], arguments[2], arguments[3], "executes", left, all, NULL);
  return 0;
}

/* A reaper of its own gets the orphan, and sees how it ended. */
static int orphan(void) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1)) return 0;
  pid_t child = fork();
  if (child == 0) {
    if (fork() == 0) {
      close(gate[1]);
      pass_gate();
      _exit(getppid() == (pid_t)atoi(getenv("REAPER")) && visit() ? 0 : 1);
    }
    _exit(0);
  }
  int ok = reap();
  close(gate[1]);
  return ok + reap();
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) perror(path);
  close(fd);
}

/* In namespaces of its own; as another user than root with one for users, too. */
static int apart(int flags, int (*work)(void)) {
  char map[64];
  uid_t uid = getuid();
  gid_t gid = getgid();
  if (unshare(flags | (uid ? CLONE_NEWUSER : 0))) {
    perror("unshare");
    return 0;
  }
  if (uid) {
    write_file("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %d 1", (int)uid);
    write_file("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "0 %d 1", (int)gid);
    write_file("/proc/self/gid_map", map);
  }
  if (fork() == 0) _exit(!work());
  return reap();
}

static int first_process(void) { return getpid() == 1 && visit(); }

/* In an empty network there is no way to anywhere, and no relay: the kernel's own word, and no hang. */
static int no_network(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2]))};
  inet_pton(AF_INET, arguments[1], &to.sin_addr);
  int failed = connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&to, sizeof to);
  if (failed && errno == ENETUNREACH) return is_pods_file(arguments[3]);
  fprintf(stderr, "in an empty network: %d %s\n", failed, strerror(errno));
  return 0;
}

/* Names are those of its new root, in which there is such a file; connections are the pod's all the same. */
static int other_root(void) {
  char text[32] = {0};
  if (chroot(getenv("ROOT")) || chdir("/")) return 0;
  int fd = open("/config/greeting", O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) < 0) perror("/config/greeting in the new root");
  if (strcmp(text, "of the new root\n") != 0) fprintf(stderr, "it is: %s\n", text);
  return strcmp(text, "of the new root\n") == 0 && comes_back();
}

static int without_descriptors(void) {
  int out = dup(1);
  if (out < 0 || syscall(SYS_close_range, 0, out - 1, 0) || syscall(SYS_close_range, out + 1, ~0u, 0)) return 0;
  int ok = visit() + visit();
  dup2(out, 1);
  return ok == 2;
}

static int few_descriptors(void) {
  struct rlimit few = {6, 6};
  if (setrlimit(RLIMIT_NOFILE, &few)) return 0;
  int ok = 0;
  for (int i = 0; i < 10; i++) ok += visit();
  /* and at the limit: the errno is the kernel's */
  while (dup(0) >= 0) continue;
  errno = 0;
  if (open(arguments[3], O_RDONLY) >= 0 || errno != EMFILE) {
    perror("open at the limit");
    return 0;
  }
  return ok == 10;
}

int main(int argc, char **argv) {
  if (argc < 5 || pipe2(gate, O_CLOEXEC)) return 2;
  arguments = argv;
  alarm(100);
  const char *mode = argv[4];
  int n = argc > 5 ? atoi(argv[5]) : 1, ok = 0, total = n;
  if (!strcmp(mode, "visit")) return !visit();
  if (!strcmp(mode, "threads")) ok = threads(n);
  if (!strcmp(mode, "forks")) ok = forks(n);
  if (!strcmp(mode, "spawns")) ok = spawns(n);
  if (!strcmp(mode, "executes")) ok = executes(n, total = argc > 6 ? atoi(argv[6]) : n);
  if (!strcmp(mode, "orphan")) {
    char self[16];
    snprintf(self, sizeof self, "%d", getpid());
    setenv("REAPER", self, 1);
    ok = orphan();
    total = 2;
  }
  if (!strcmp(mode, "pid-namespace")) ok = apart(CLONE_NEWPID, first_process);
  if (!strcmp(mode, "mount-namespace")) ok = apart(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC, visit);
  if (!strcmp(mode, "network-namespace")) ok = apart(CLONE_NEWNET, no_network);
  if (!strcmp(mode, "chroot")) ok = apart(CLONE_NEWNS, other_root);
  if (!strcmp(mode, "without-descriptors")) ok = without_descriptors();
  if (!strcmp(mode, "few-descriptors")) ok = few_descriptors();
  printf("%s: %d of %d\n", mode, ok, total);
  return 0;
}
