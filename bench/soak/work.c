/*
 * The soak's work in C. `work ITEM SEED ROUNDS` does one item and verifies its own answers: status 0, or 1 and a line of
 * what was wrong. Whoever is interrupted by signals (SIGCHLD, timers without SA_RESTART) makes its calls again, as signal(7)
 * says. `serve PORT` and `spin` run until they are ended.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, THREADS = 100 };

/* Again, when a signal came: before inpod has taken a call in hand it shows in calls that natively never say so, too. */
#define AGAIN(call) ({ long result_; do result_ = (call); while (result_ < 0 && errno == EINTR); result_; })

static struct sockaddr_in pod, echo_udp;
static const char *greeting, *settings, *name;

static void die(const char *format, ...) {
  int error = errno;
  va_list words;
  va_start(words, format);
  vprintf(format, words);
  va_end(words);
  printf(" (errno %d: %s)\n", error, strerror(error));
  fflush(stdout);
  _exit(1);
}

static uint32_t next(uint32_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 17;
  *seed ^= *seed << 5;
  return *seed;
}

static struct sockaddr_in address_of(const char *variable) {
  char text[64];
  snprintf(text, sizeof text, "%s", getenv(variable) ? getenv(variable) : "");
  char *colon = strchr(text, ':');
  if (!colon) die("%s is not set", variable);
  *colon = 0;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
  inet_pton(AF_INET, text, &address.sin_addr);
  return address;
}

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* By the clock: a signal each few milliseconds begins a timeout anew for ever. */
static bool is_ready(int fd, short events, int timeout_ms) {
  struct pollfd waiting = {fd, events, 0};
  long long until = now_ms() + timeout_ms, left = timeout_ms;
  int count;
  do {
    count = poll(&waiting, 1, (int)left);
    left = until - now_ms();
  } while (count < 0 && errno == EINTR && left > 0);
  return count == 1;
}

static void ready(int fd, short events, const char *what) {
  if (!is_ready(fd, events, PATIENCE_MS)) die("%s: nothing within %d ms", what, PATIENCE_MS);
}

static void write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t put = write(fd, bytes, length);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) {
      ready(fd, POLLOUT, "write");
      continue;
    }
    if (put <= 0) die("write");
    bytes += put;
    length -= (size_t)put;
  }
}

static void read_all(int fd, char *bytes, size_t length) {
  while (length > 0) {
    ready(fd, POLLIN, "read");
    ssize_t got = read(fd, bytes, length);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) die("read, %zu missing", length);
    bytes += got;
    length -= (size_t)got;
  }
}

/* A connect that a signal interrupts goes on behind the program's back: it asks again, or waits (connect(2), EINTR). */
static int dial_once(bool waits, bool *interrupted) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (waits ? 0 : SOCK_NONBLOCK), 0);
  if (fd < 0) die("socket");
  if (connect(fd, (struct sockaddr *)&pod, sizeof pod) == 0) return fd;
  *interrupted = errno == EINTR;
  if (errno == EINTR && fd % 2) {
    if (AGAIN(connect(fd, (struct sockaddr *)&pod, sizeof pod)) == 0 || errno == EISCONN) return fd;
    if (errno != EALREADY && errno != EINPROGRESS) die("connect, again");
  }
  if (errno != EINPROGRESS && errno != EALREADY && errno != EINTR) die("connect");
  ready(fd, POLLOUT, "connect");
  int error = 0;
  socklen_t length = sizeof error;
  if (AGAIN(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length))) die("SO_ERROR");
  errno = error;
  if (error) die("connect, later");
  return fd;
}

/* Before inpod has it in hand the signal finds the socket untouched (docs/how-it-works.md). */
static int dial(bool waits) {
  for (;;) {
    bool interrupted = false;
    int fd = dial_once(waits, &interrupted);
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    if (!interrupted || AGAIN(getpeername(fd, (struct sockaddr *)&peer, &length)) == 0 || errno != ENOTCONN) return fd;
    close(fd);
  }
}

/* Sent and come back once, the same, and nothing after it. */
static void echo(uint32_t *seed, bool waits) {
  char sent[2048], got[2048];
  size_t length = 1 + next(seed) % sizeof sent;
  for (size_t i = 0; i < length; i++) sent[i] = (char)next(seed);
  int fd = dial(waits);
  struct sockaddr_in peer;
  socklen_t peer_length = sizeof peer;
  if (AGAIN(getpeername(fd, (struct sockaddr *)&peer, &peer_length)) || peer.sin_addr.s_addr != pod.sin_addr.s_addr)
    die("getpeername");
  write_all(fd, sent, length);
  read_all(fd, got, length);
  if (memcmp(sent, got, length)) die("another echo");
  if (shutdown(fd, SHUT_WR)) die("shutdown");
  ready(fd, POLLIN, "end");
  ssize_t more;
  do more = read(fd, got, 1);
  while (more < 0 && (errno == EINTR || errno == EAGAIN));
  if (more != 0) die("%zd after the echo", more);
  close(fd);
}

/* What every datagram of this program begins with. */
static uint64_t mark;

/*
 * The port may have been another program's, which was ended before its answer came: UDP brings that to whoever has the port
 * by then. A datagram of our own that comes again is another matter.
 */
static ssize_t receive_own(int fd, char *got, size_t room, struct sockaddr_in *from) {
  for (;;) {
    socklen_t length = sizeof *from;
    *from = echo_udp;
    ready(fd, POLLIN, "datagram");
    ssize_t came = AGAIN(recvfrom(fd, got, room, 0, (struct sockaddr *)from, &length));
    if (came < (ssize_t)sizeof mark || memcmp(got, &mark, sizeof mark) == 0) return came;
  }
}

static void udp(uint32_t *seed, bool connected) {
  int fd = (int)AGAIN(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd < 0) die("socket, udp");
  if (connected && AGAIN(connect(fd, (struct sockaddr *)&echo_udp, sizeof echo_udp))) die("connect, udp");
  for (int i = 0; i < 4; i++) {
    char sent[600], got[1024];
    size_t length = 8 + next(seed) % 500;
    length += sizeof mark;
    for (size_t j = 0; j < length; j++) sent[j] = (char)next(seed);
    memcpy(sent, &mark, sizeof mark);
    const struct sockaddr *to = connected ? NULL : (struct sockaddr *)&echo_udp;
    ssize_t put = AGAIN(sendto(fd, sent, length, 0, to, connected ? 0 : sizeof echo_udp));
    if (put != (ssize_t)length) die("sendto");
    struct sockaddr_in from;
    ssize_t came = receive_own(fd, got, sizeof got, &from);
    if (came != (ssize_t)length || memcmp(sent, got, length)) die("another datagram, the %d.: %zd of %zu, %s", i, came, length, connected ? "connected" : "not connected");
    if (from.sin_addr.s_addr != echo_udp.sin_addr.s_addr || from.sin_port != echo_udp.sin_port) die("another sender");
  }
  char more[1024];
  while (AGAIN(recv(fd, more, sizeof more, MSG_DONTWAIT)) >= 0)
    if (memcmp(more, &mark, sizeof mark) == 0) die("a datagram came twice");
  close(fd);
}

static void read_file(const char *path, const char *what) {
  char got[4096];
  int fd = (int)AGAIN(open(path, O_RDONLY | O_CLOEXEC));
  if (fd < 0) die("open %s", path);
  size_t length = 0;
  for (;;) {
    ssize_t more = read(fd, got + length, sizeof got - 1 - length);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) die("read %s", path);
    if (more == 0) break;
    length += (size_t)more;
  }
  close(fd);
  got[length] = 0;
  if (!strstr(got, what)) die("%s has %zu other bytes", path, length);
  struct stat is;
  if (AGAIN(stat(path, &is)) || (size_t)is.st_size != length) die("stat %s", path);
  if (AGAIN(stat("/app/not-there", &is)) == 0 || errno != ENOENT) die("stat of what is not there");
}
static void files(void) {
  read_file("/config/greeting", greeting);
  read_file("/app/settings.json", settings);
}

static void resolve(void) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
  int failed;
  /* A signal in the resolver's poll is told as EAI_SYSTEM or a timeout by some of glibc's ways */
  if ((failed = getaddrinfo(name, "80", &hints, &found))) die("%s: %s", name, gai_strerror(failed));
  if (((struct sockaddr_in *)found->ai_addr)->sin_addr.s_addr != echo_udp.sin_addr.s_addr) die("another address");
  freeaddrinfo(found);
  failed = getaddrinfo("nobody.nowhere.example", "80", &hints, &found);
  if (failed != EAI_NONAME && failed != EAI_NODATA) die("a name that is not there: %s", gai_strerror(failed));
}

static void mixed(uint32_t *seed) {
  switch (next(seed) % 5) {
    case 0: echo(seed, true); break;
    case 1: echo(seed, false); break;
    case 2: udp(seed, true); break;
    case 3: udp(seed, false); break;
    default: files();
  }
}

static volatile sig_atomic_t signals_seen;
static void on_signal(int signal) {
  (void)signal;
  signals_seen++;
}
static void handle(int signal) {
  struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
  sigaction(signal, &action, NULL);
}

static void *thread(void *argument) {
  uint32_t seed = (uint32_t)(uintptr_t)argument;
  mixed(&seed);
  mixed(&seed);
  return NULL;
}
static void threads(uint32_t *seed) {
  pthread_t all[THREADS];
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 128 * 1024);
  for (int i = 0; i < THREADS; i++)
    if (pthread_create(&all[i], &small, thread, (void *)(uintptr_t)(next(seed) | 1))) die("pthread_create");
  for (int i = 0; i < THREADS; i++) pthread_join(all[i], NULL);
}

static void timer(uint32_t *seed) {
  handle(SIGALRM);
  struct itimerval every = {{0, 1500}, {0, 1500}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &every, NULL); /* whatever it does is interrupted */
  for (int i = 0; i < 10; i++) mixed(seed);
  setitimer(ITIMER_REAL, &never, NULL);
  if (signals_seen == 0) die("no timer has come");
}

/* As timer(), for each of several threads by itself, whatever the others do. */
static void *alarmed(void *argument) {
  uint32_t seed = (uint32_t)(uintptr_t)argument;
  struct sigevent to = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
  to._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  long us = 300 + next(&seed) % 1500;
  struct itimerspec every = {{0, us * 1000}, {0, us * 1000}};
  timer_t alarm;
  if (timer_create(CLOCK_MONOTONIC, &to, &alarm) || timer_settime(alarm, 0, &every, NULL)) die("timer");
  for (int i = 0; i < 4; i++) {
    udp(&seed, i % 2);
    mixed(&seed);
  }
  timer_delete(alarm);
  return NULL;
}
static void alarms(uint32_t *seed) {
  enum { COUNT = 8 };
  pthread_t all[COUNT];
  handle(SIGUSR1);
  for (int i = 0; i < COUNT; i++)
    if (pthread_create(&all[i], NULL, alarmed, (void *)(uintptr_t)(next(seed) | 1))) die("pthread_create");
  for (int i = 0; i < COUNT; i++) pthread_join(all[i], NULL);
}

/* Children end while the parent is in calls of its own: SIGCHLD interrupts them. */
static void forks(uint32_t *seed) {
  enum { CHILDREN = 20 };
  handle(SIGCHLD);
  for (int i = 0; i < CHILDREN; i++) {
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
      mixed(seed);
      _exit(40 + i);
    }
    next(seed);
    if (i % 4 == 0) mixed(seed);
  }
  unsigned ended = 0;
  for (int i = 0; i < CHILDREN; i++) {
    int status;
    pid_t child;
    do child = wait(&status);
    while (child < 0 && errno == EINTR);
    if (child < 0 || !WIFEXITED(status)) die("wait: status %x", status);
    int number = WEXITSTATUS(status) - 40;
    if (number < 0 || number >= CHILDREN || ended & 1u << number) die("child ended with %d", WEXITSTATUS(status));
    ended |= 1u << number;
  }
}

static void executes(uint32_t *seed, int left) {
  files();
  mixed(seed);
  if (left == 0) return;
  char seed_text[16], left_text[16];
  snprintf(seed_text, sizeof seed_text, "%u", next(seed) | 1);
  snprintf(left_text, sizeof left_text, "%d", left - 1);
  execl("/proc/self/exe", "work", "exec", seed_text, left_text, NULL);
  die("exec");
}

/* Threads that have calls in flight are ended by another's exec (execve(2)); the new program goes on. */
static void *in_flight(void *argument) {
  uint32_t seed = (uint32_t)(uintptr_t)argument;
  for (;;) mixed(&seed);
  return NULL;
}
static void thread_executes(uint32_t *seed) {
  for (int i = 0; i < 8; i++) {
    pthread_t unused;
    if (pthread_create(&unused, NULL, in_flight, (void *)(uintptr_t)(next(seed) | 1))) die("pthread_create");
  }
  mixed(seed);
  executes(seed, 1);
}

/* To be ended, stopped and continued by others, in the middle of whatever it does; with children of its own. */
static void spin(uint32_t *seed) {
  pid_t parent = getpid();
  for (int i = 0; i < 2; i++) {
    next(seed);
    pid_t child = fork();
    if (child > 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (child < 0 || getppid() != parent) _exit(1);
    break;
  }
  for (;;) mixed(seed);
}

static void serve_one(int fd, struct sockaddr_in peer) {
  char line[64], address[32];
  size_t length = 0;
  while (length < sizeof line - 1) {
    struct pollfd waiting = {fd, POLLIN, 0};
    if (poll(&waiting, 1, PATIENCE_MS) != 1) return;
    ssize_t got = read(fd, line + length, 1);
    if (got <= 0) return;
    if (line[length] == '\n') break;
    length++;
  }
  line[length] = 0;
  inet_ntop(AF_INET, &peer.sin_addr, address, sizeof address);
  char answer[128];
  int answer_length = snprintf(answer, sizeof answer, "%s %s:%d\n", line, address, ntohs(peer.sin_port));
  (void)!write(fd, answer, (size_t)answer_length);
}

static void serve(int port) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128)) die("listen");
  for (;;) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int one = accept4(fd, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
    if (one < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (one < 0) die("accept");
    serve_one(one, peer);
    close(one);
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *item = argv[1];
  uint32_t seed = (uint32_t)strtoul(argv[2], NULL, 10) | 1;
  int rounds = argc > 3 ? atoi(argv[3]) : 1;
  signal(SIGPIPE, SIG_IGN);
  if (getrandom(&mark, sizeof mark, 0) != sizeof mark) die("getrandom");
  if (strcmp(item, "serve") == 0) serve(atoi(argv[2]));
  pod = address_of("SOAK_ECHO");
  echo_udp = address_of("SOAK_UDP");
  greeting = getenv("SOAK_GREETING");
  settings = getenv("SOAK_SETTINGS");
  name = getenv("SOAK_NAME");
  if (strcmp(item, "exec") == 0) {
    executes(&seed, rounds);
  } else {
    for (int i = 0; i < rounds; i++) {
      if (strcmp(item, "tcp") == 0) echo(&seed, i % 2);
      else if (strcmp(item, "udp") == 0) udp(&seed, i % 2);
      else if (strcmp(item, "dns") == 0) resolve();
      else if (strcmp(item, "files") == 0) files();
      else if (strcmp(item, "mixed") == 0) mixed(&seed);
      else if (strcmp(item, "threads") == 0) threads(&seed);
      else if (strcmp(item, "timer") == 0) timer(&seed);
      else if (strcmp(item, "alarms") == 0) alarms(&seed);
      else if (strcmp(item, "forks") == 0) forks(&seed);
      else if (strcmp(item, "thread-exec") == 0) thread_executes(&seed);
      else if (strcmp(item, "spin") == 0) spin(&seed);
      else return 2;
    }
  }
  puts("ok");
  return 0;
}
