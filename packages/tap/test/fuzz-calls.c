/*
 * What the tap reads from a program's memory, at random. `fuzz-calls SEED COUNT` makes calls one after the other and prints
 * each one's errno: under the tap the same as without it. `fuzz-calls SEED COUNT race` has threads that change memory and
 * descriptors meanwhile, and prints "alive".
 *
 * Known, and not tried here: where a path cannot be read and a flag is wrong too, the tap says EFAULT and the kernel EINVAL.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, SOCKETS = 6, NOBODY = 65534 };

static __thread uint64_t state;
static uint32_t any(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}
static uint32_t below(uint32_t limit) { return any() % limit; }

static uint8_t *page;      /* and nothing mapped behind it */
static uint8_t *forbidden; /* PROT_NONE */
static uint8_t *constant;  /* PROT_READ */
static int sockets[SOCKETS];

static void open_sockets(void) {
  static const int kinds[SOCKETS][2] = {{AF_INET, SOCK_STREAM}, {AF_INET, SOCK_DGRAM},  {AF_INET6, SOCK_STREAM},
                                        {AF_INET6, SOCK_DGRAM}, {AF_UNIX, SOCK_STREAM}, {AF_UNIX, SOCK_DGRAM}};
  for (int i = 0; i < SOCKETS; i++) {
    if (sockets[i] > 0) close(sockets[i]);
    sockets[i] = socket(kinds[i][0], kinds[i][1] | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  }
}

/* Where nothing can be read. */
static uint64_t bad_address(void) {
  static const uint64_t known[] = {0, 1, 0xffff800000000000, 0x8000000000000000, UINT64_MAX, 0xffffffffff600000 - PAGE};
  switch (below(3)) {
    case 0: return (uint64_t)(uintptr_t)forbidden + below(PAGE);
    case 1: return (uint64_t)(uintptr_t)page + PAGE + below(PAGE);
    default: return known[below(sizeof known / sizeof *known)];
  }
}

/* `length` bytes that can be read, that end where nothing is mapped, or (seldom) go beyond. */
static uint8_t *room(size_t length) {
  if (length > PAGE) length = PAGE;
  size_t at = below(2) ? PAGE - length : below((uint32_t)(PAGE - length + 1));
  if (below(8) == 0 && length > 1) at = PAGE - 1 - below((uint32_t)length - 1);
  return page + at;
}

/* Never anything but loopback, and a port that nobody has. */
static uint64_t socket_address(uint64_t *length) {
  static const size_t lengths[] = {0, 1, 2, 3, 15, 16, 17, 24, 27, 28, 29, 110, 111, 128, 129, 4096};
  union {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un name;
    struct sockaddr_storage any;
  } address;
  memset(&address, 0, sizeof address);
  switch (below(6)) {
    case 0:
    case 1:
      address.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(below(2)), .sin_addr = {htonl(0x7f000001)}};
      *length = sizeof address.v4;
      break;
    case 2:
    case 3:
      address.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(below(2)), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
      *length = sizeof address.v6;
      break;
    case 4:
      address.name = (struct sockaddr_un){.sun_family = AF_UNIX};
      snprintf(address.name.sun_path, sizeof address.name.sun_path, "socket-%u", below(4));
      *length = sizeof address.name;
      break;
    default:
      address.any.ss_family = (sa_family_t)(below(2) ? below(48) : any());
      *length = sizeof address.any;
  }
  if (below(3) == 0) *length = lengths[below(sizeof lengths / sizeof *lengths)];
  uint64_t given = *length;
  switch (below(12)) {
    case 0: *length = (uint32_t)-1; break;
    case 1: *length |= (uint64_t)any() << 32; break; /* an int: the rest of the register is nothing */
    default: break;
  }
  if (below(6) == 0) return bad_address();
  uint8_t *at = room(given > sizeof address ? sizeof address : given);
  for (size_t i = 0; i < sizeof address && at + i < page + PAGE; i++) at[i] = ((uint8_t *)&address)[i];
  return (uint64_t)(uintptr_t)at;
}

static uint64_t path(void) {
  static const char *const known[] = {"a", "b", "dir", "dir/a", "dir/./a", ".", "", "dir/", "a/b", "a//b", "\xff\xfe", "a\nb", "./link", "link/a"};
  char text[PAGE + 8];
  size_t length;
  switch (below(8)) {
    case 0: /* around NAME_MAX, and PATH_MAX */
      length = below(2) ? 254 + below(4) : 4090 + below(8);
      for (size_t i = 0; i < length; i++) text[i] = length > 300 && i % 2 ? '/' : 'n';
      text[length] = 0;
      break;
    case 1:
      length = below(40);
      for (size_t i = 0; i < length; i++) text[i] = (char)(1 + below(255));
      for (size_t i = 0; i < length; i++) if (text[i] == '/') text[i] = '_';
      text[length] = 0;
      break;
    default:
      strcpy(text, known[below(sizeof known / sizeof *known)]);
  }
  if (below(8) == 0) return bad_address();
  length = strlen(text) + 1;
  if (length > PAGE) length = PAGE;
  uint8_t *at = page + PAGE - length;
  memcpy(at, text, length);
  if (below(10) == 0) at[length - 1] = 'u'; /* unterminated, up to what is not mapped */
  return (uint64_t)(uintptr_t)at;
}

/* A place for an answer: some of it may be missing, or not writable. */
static uint64_t answer_room(size_t length) {
  switch (below(8)) {
    case 0: return bad_address();
    case 1: return (uint64_t)(uintptr_t)constant;
    default: {
      uint8_t *at = room(length);
      uint32_t size = below(4) ? below(200) : any(); /* where it is the address of a length */
      for (size_t i = 0; i < sizeof size && at + i < page + PAGE; i++) at[i] = (uint8_t)(size >> 8 * i);
      return (uint64_t)(uintptr_t)at;
    }
  }
}

static int descriptor(void) {
  switch (below(10)) {
    case 0: return -1;
    case 1: return 99;
    case 2: return 0;
    default: return sockets[below(SOCKETS)];
  }
}

static uint64_t message(void) {
  static struct mmsghdr messages[3];
  static struct iovec vectors[8];
  static uint8_t control[64];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < 3; i++) {
    struct msghdr *head = &messages[i].msg_hdr;
    uint64_t length = 0;
    head->msg_name = below(3) ? (void *)(uintptr_t)socket_address(&length) : NULL;
    head->msg_namelen = (socklen_t)length;
    for (int v = 0; v < 8; v++)
      vectors[v] = (struct iovec){(void *)(uintptr_t)(below(6) ? (uint64_t)(uintptr_t)room(64) : bad_address()),
                                  below(12) ? below(64) : (size_t)-1};
    head->msg_iov = below(10) ? vectors : (void *)(uintptr_t)bad_address();
    head->msg_iovlen = below(12) ? below(8) : below(2) ? 1024 + below(2) : (size_t)-1;
    for (size_t c = 0; c < sizeof control; c++) control[c] = (uint8_t)below(32);
    head->msg_control = below(3) ? NULL : below(4) ? control : (void *)(uintptr_t)bad_address();
    head->msg_controllen = head->msg_control ? (below(8) ? below(64) : (size_t)-1) : 0;
  }
  if (below(8) == 0) return bad_address();
  uint8_t *at = room(sizeof messages);
  for (size_t i = 0; i < sizeof messages && at + i < page + PAGE; i++) at[i] = ((uint8_t *)messages)[i];
  return (uint64_t)(uintptr_t)at;
}

static long one_call(int *nr, int *on) {
  uint64_t length = 0, at;
  int fd = descriptor();
  *on = fd;
  switch (below(27)) {
    case 0: at = socket_address(&length); return syscall(*nr = SYS_connect, fd, at, length);
    case 1: at = socket_address(&length); return syscall(*nr = SYS_bind, fd, at, length);
    case 2: case 3: at = socket_address(&length);
      return syscall(*nr = SYS_sendto, fd, below(5) ? (uint64_t)(uintptr_t)room(32) : bad_address(), below(64), MSG_DONTWAIT | MSG_NOSIGNAL, at, length);
    case 4: case 5: return syscall(*nr = SYS_sendmsg, fd, message(), MSG_DONTWAIT | MSG_NOSIGNAL);
    case 6: return syscall(*nr = SYS_sendmmsg, fd, message(), below(4), MSG_DONTWAIT | MSG_NOSIGNAL);
    case 7: at = answer_room(32); return syscall(*nr = SYS_recvfrom, fd, at, 32, MSG_DONTWAIT, answer_room(16), answer_room(4));
    case 8: return syscall(*nr = SYS_recvmsg, fd, message(), MSG_DONTWAIT);
    case 9: return syscall(*nr = SYS_recvmmsg, fd, message(), below(4), MSG_DONTWAIT, NULL);
    case 10: at = answer_room(4); return syscall(*nr = below(2) ? SYS_getsockname : SYS_getpeername, fd, answer_room(28), at);
    case 11: at = answer_room(4); return syscall(*nr = SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, answer_room(4), at);
    case 12: {
      at = path();
      long opened = syscall(*nr = SYS_openat, AT_FDCWD, at, below(2) ? O_RDONLY : O_WRONLY | O_CREAT | (int)below(2) * O_EXCL, 0600);
      if (opened >= 0) close((int)opened);
      return opened >= 0 ? 0 : opened;
    }
    case 13: at = path(); return syscall(*nr = SYS_statx, AT_FDCWD, at, 0, STATX_ALL, answer_room(256));
    case 14: {
      at = path();
      uint64_t into = answer_room(144);
      return syscall(*nr = SYS_newfstatat, AT_FDCWD, at, into, below(2) * AT_SYMLINK_NOFOLLOW);
    }
    case 15: at = path(); return syscall(*nr = SYS_readlinkat, AT_FDCWD, at, answer_room(64), 64) < 0 ? -1 : 0;
    case 16: at = path(); return syscall(*nr = SYS_faccessat, AT_FDCWD, at, below(8));
    case 17: at = path(); return syscall(*nr = SYS_mkdirat, AT_FDCWD, at, 0700);
    case 18: at = path(); return syscall(*nr = SYS_unlinkat, AT_FDCWD, at, below(2) * AT_REMOVEDIR);
    case 19: at = path(); return syscall(*nr = SYS_truncate, at, below(100));
    case 20: at = path(); return syscall(*nr = SYS_utimensat, AT_FDCWD, at, NULL, below(2) * AT_SYMLINK_NOFOLLOW);
    case 21: at = path(); return syscall(*nr = SYS_fchmodat, AT_FDCWD, at, 0700);
    case 22: {
      struct open_how how = {.flags = O_RDONLY | (below(2) ? O_PATH : 0)};
      memcpy(page, &how, sizeof how);
      at = path();
      long opened = syscall(*nr = SYS_openat2, AT_FDCWD, at, below(6) ? (uint64_t)(uintptr_t)page : bad_address(), below(6) ? sizeof how : below(40));
      if (opened >= 0) close((int)opened);
      return opened >= 0 ? 0 : opened;
    }
    case 23: return syscall(*nr = SYS_execve, bad_address(), NULL, NULL);
    case 24: at = answer_room(4); return syscall(*nr = SYS_accept4, fd, answer_room(28), at, 0);
    case 25: {
      long copy = below(2) ? syscall(*nr = SYS_dup, fd)
                           : syscall(*nr = SYS_fcntl, fd, below(2) ? F_DUPFD : F_DUPFD_CLOEXEC, below(4) ? below(900) : below(2) ? -1 : 1 << 30);
      if (copy >= 0) close((int)copy);
      return copy >= 0 ? 0 : copy;
    }
    default: {
      at = path();
      char second[] = "link";
      return syscall(*nr = below(2) ? SYS_symlinkat : SYS_linkat, at, AT_FDCWD, below(4) ? second : (char *)(uintptr_t)bad_address(), AT_FDCWD, 0);
    }
  }
}

static volatile int is_over;

static void *change_memory(void *argument) {
  state = (uint64_t)(uintptr_t)argument;
  while (!is_over) {
    uint8_t *at = page;
    if (below(3) == 0) mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    else if (below(20) == 0) mprotect(at, PAGE, PROT_NONE), mprotect(at, PAGE, PROT_READ | PROT_WRITE);
    else syscall(SYS_getrandom, at + below(PAGE - 64), 64, 0);
  }
  return NULL;
}

static void *change_descriptors(void *argument) {
  state = (uint64_t)(uintptr_t)argument;
  while (!is_over) {
    int *which = &sockets[below(SOCKETS)];
    if (below(2)) dup2(sockets[below(SOCKETS)], *which);
    else {
      close(*which);
      *which = socket(below(2) ? AF_INET : AF_INET6, (below(2) ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
    }
  }
  return NULL;
}

static void *make_calls(void *argument) {
  state = (uint64_t)(uintptr_t)argument;
  int nr, on;
  while (!is_over) one_call(&nr, &on);
  return NULL;
}

/* Executed, and ended, in the middle of other threads' calls. */
static void end_in_the_middle(uint64_t seed) {
  pid_t child = fork();
  if (child != 0) {
    waitpid(child, NULL, 0);
    return;
  }
  pthread_t unused;
  for (int i = 0; i < 4; i++) pthread_create(&unused, NULL, make_calls, (void *)(uintptr_t)(seed + (uint64_t)i));
  usleep(2000);
  if (seed % 2) execl("/bin/true", "true", NULL);
  _exit(0);
}

static void on_segv(int signal) {
  (void)signal; /* a page that another thread has just taken away */
  pthread_exit(NULL);
}

static int race(uint64_t seed, int rounds) {
  signal(SIGSEGV, on_segv);
  signal(SIGBUS, on_segv);
  for (int i = 0; i < rounds; i++) {
    pthread_t all[5];
    is_over = 0;
    void *(*const jobs[5])(void *) = {change_memory, change_descriptors, make_calls, make_calls, make_calls};
    for (int t = 0; t < 5; t++) pthread_create(&all[t], NULL, jobs[t], (void *)(uintptr_t)(seed * 31 + (uint64_t)(i * 5 + t)));
    for (int e = 0; e < 4; e++) end_in_the_middle(seed + (uint64_t)e);
    is_over = 1;
    for (int t = 0; t < 5; t++) pthread_join(all[t], NULL);
    open_sockets();
  }
  puts("alive");
  return 0;
}

int main(int argc, char **argv) {
  const char *folder = getenv("FUZZ_FOLDER");
  if (argc < 3 || chdir(folder)) return 2;
  /* Never with rights: a path that another thread rewrites may be any. */
  if (getuid() == 0 && (chown(".", NOBODY, NOBODY) || setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
                        setresuid(NOBODY, NOBODY, NOBODY) || prctl(PR_SET_DUMPABLE, 1)))
    return 2;
  state = strtoull(argv[1], NULL, 10);
  signal(SIGPIPE, SIG_IGN);
  umask(022);
  page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(page + PAGE, PAGE, PROT_NONE);
  forbidden = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  constant = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fclose(stdin);
  open("/dev/null", O_RDONLY);
  open_sockets();
  if (argc > 3) return race(state, atoi(argv[2]));
  for (int i = 0; i < atoi(argv[2]); i++) {
    if (i % 40 == 0) open_sockets();
    int nr = 0, on = 0, which = -1;
    memset(page, 0, PAGE); /* pointers of the call before are others in each run */
    errno = 0;
    long result = one_call(&nr, &on);
    int error = result < 0 ? errno : 0;
    for (int s = 0; s < SOCKETS; s++) if (sockets[s] == on) which = s;
    printf("%d call %d on %d: %d\n", i, nr, which, error);
  }
  return 0;
}
