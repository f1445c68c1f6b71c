/*
 * Connects in progress. The process's socket is left in a real SYN_SENT towards a loopback listener whose
 * accept queue is full (the kernel drops its SYN), until the agent has an answer:
 *  - success: a socket of ours, bound to the same port as that listener, connects to the waiting one: a TCP
 *    simultaneous open (RFC 9293, section 3.5). It becomes the relay's end.
 *  - failure: connect(AF_UNSPEC) on the process's own socket, and then to a port that refuses: it is what a failed
 *    connect leaves, for poll(2) and for who does not ask. The true errno is put in where the program asks (verdicts.c).
 * A non-blocking connect returns at once, a blocking one stays held meanwhile: its socket is in progress too, because a
 * signal may take the program out of it at any time, and then the connect goes on behind its back (connect(2), EINTR).
 */
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static uint16_t full_port;
static bool starts_blocking;
/* Of 127.0.0.1 and [::1]: sockets of ours have them, and nobody listens. */
static uint16_t refusing_ports[2];

uint16_t connect_full_port(void) { return full_port; }
bool connect_starts_blocking(void) { return starts_blocking; }

/*
 * connect(2) that does not wait on a blocking socket either, and leaves its O_NONBLOCK alone, which all see who
 * share it: sending nothing by TCP Fast Open connects (RFC 7413), and MSG_DONTWAIT is about this call only.
 * Without a cookie, which our listener never gives, its SYN is a plain one.
 */
static int connect_at_once(int fd, const struct sockaddr *to, socklen_t length) {
  return sendto(fd, NULL, 0, MSG_FASTOPEN | MSG_DONTWAIT | MSG_NOSIGNAL, to, length) < 0 ? -errno : 0;
}

static struct sockaddr_in v4_loopback(uint16_t port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}
static struct sockaddr_in6 v6_loopback(uint16_t port) {
  return (struct sockaddr_in6){
      .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
}

static int reusable_socket(int domain) {
  int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  if (fd < 0) return -errno;
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (domain == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  return fd;
}

/* A listener with a queue of one, and the connection that fills it for ever. */
static int make_full(int domain, const struct sockaddr *address, socklen_t length, uint16_t *port) {
  int fd = reusable_socket(domain);
  if (fd < 0) return fd;
  struct sockaddr_storage bound;
  socklen_t bound_length = sizeof bound;
  if (bind(fd, address, length) != 0 || listen(fd, 0) != 0 ||
      getsockname(fd, (struct sockaddr *)&bound, &bound_length) != 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  int filler = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (filler < 0) return -errno;
  connect(filler, (struct sockaddr *)&bound, bound_length); /* stays for the life of the process */
  *port = address_port(&bound);
  return 0;
}

/* Of the life of the process. 0: there is none, as without IPv6. */
static uint16_t make_refusing(int domain, const struct sockaddr *address, socklen_t length) {
  struct sockaddr_storage bound;
  socklen_t bound_length = sizeof bound;
  int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return 0;
  if (bind(fd, address, length) == 0 && getsockname(fd, (struct sockaddr *)&bound, &bound_length) == 0)
    return address_port(&bound);
  close(fd);
  return 0;
}

int connect_complete(uint16_t user_port, bool v6only) {
  int fd = reusable_socket(v6only ? AF_INET6 : AF_INET);
  if (fd < 0) return fd;
  struct sockaddr_in from4 = v4_loopback(full_port), to4 = v4_loopback(user_port);
  struct sockaddr_in6 from6 = v6_loopback(full_port), to6 = v6_loopback(user_port);
  int failed = v6only ? bind(fd, (struct sockaddr *)&from6, sizeof from6)
                      : bind(fd, (struct sockaddr *)&from4, sizeof from4);
  if (!failed)
    failed = v6only ? connect(fd, (struct sockaddr *)&to6, sizeof to6)
                    : connect(fd, (struct sockaddr *)&to4, sizeof to4);
  if (failed && errno != EINPROGRESS) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

static int connect_start(int fd, bool blocking, const struct sockaddr *to, socklen_t length) {
  if (blocking) return connect_at_once(fd, to, length);
  return connect(fd, to, length) ? -errno : 0;
}

/* poll(2) is never restarted: a profiler's timer, for one, interrupts it all the time. */
int poll_again(struct pollfd *waiting, int timeout_ms) {
  int ready;
  do ready = poll(waiting, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  return ready;
}

/* One made-up connect: whether this kernel does all of it (gVisor may not). */
static bool probe(bool blocking) {
  int user = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
  struct sockaddr_in to = v4_loopback(full_port);
  struct sockaddr_storage local;
  socklen_t length = sizeof local;
  bool works = user >= 0 && connect_start(user, blocking, (struct sockaddr *)&to, sizeof to) == -EINPROGRESS;
  struct pollfd waiting = {user, POLLOUT, 0};
  works = works && poll_again(&waiting, 1) == 0 && getsockname(user, (struct sockaddr *)&local, &length) == 0;
  int ours = works ? connect_complete(address_port(&local), false) : -1;
  works = works && ours >= 0 && poll_again(&waiting, 200) == 1 && !(waiting.revents & (POLLERR | POLLHUP));
  if (user >= 0) close(user);
  if (ours >= 0) close(ours);
  return works;
}

uint16_t connect_prepare(void) {
  struct sockaddr_in v4 = v4_loopback(0);
  if (make_full(AF_INET, (struct sockaddr *)&v4, sizeof v4, &full_port) != 0) return full_port = 0;
  struct sockaddr_in6 v6 = v6_loopback(full_port);
  uint16_t same;
  make_full(AF_INET6, (struct sockaddr *)&v6, sizeof v6, &same); /* no IPv6 here: no such sockets either */
  struct sockaddr_in6 v6_any_port = v6_loopback(0);
  refusing_ports[0] = make_refusing(AF_INET, (struct sockaddr *)&v4, sizeof v4);
  refusing_ports[1] = make_refusing(AF_INET6, (struct sockaddr *)&v6_any_port, sizeof v6_any_port);
  if (!probe(false)) full_port = 0;
  starts_blocking = full_port && probe(true); /* not where net.ipv4.tcp_fastopen is 0 */
  return full_port;
}

int connect_pending(const struct op *op, int fd) {
  struct sockaddr_storage to;
  socklen_t length = address_loopback(op, full_port, &to);
  return connect_start(fd, !op->nonblocking, (struct sockaddr *)&to, length);
}

void connect_give_up(int fd) {
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  connect(fd, &none, sizeof none);
}

/*
 * The kernel answers a loopback SYN at once, but not to a socket that is in use, as by connect(2) itself: so that one is in
 * progress, and refused when the call is over. Giving up wakes the program, which may look in between and find less: hence
 * nothing else is done there.
 */
void connect_refuse(int fd, bool v6only) {
  struct op socket = {.domain = socket_option(fd, SOL_SOCKET, SO_DOMAIN), .v6only = v6only};
  bool blocking = !(fcntl(fd, F_GETFL) & O_NONBLOCK);
  uint16_t port = refusing_ports[socket.domain == AF_INET6 && v6only];
  struct sockaddr_storage to;
  socklen_t length = address_loopback(&socket, port, &to);
  connect_give_up(fd);
  if (port) connect_start(fd, blocking, (struct sockaddr *)&to, length);
}

void connect_reset(uint16_t user_port, bool v6only) {
  int ours = connect_complete(user_port, v6only);
  if (ours < 0) return;
  struct linger reset = {1, 0};
  setsockopt(ours, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(ours);
}
