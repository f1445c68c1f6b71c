/* What a socket of the program is, and what connect, bind and listen mean as far as tables can tell. */
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  SIN6_LEN_RFC2133 = 24, /* without sin6_scope_id: as much as the kernel wants */
  CONNECT_DEADLINE_MS = 135000, /* above tcp_syn_retries' 127 s: the kernel's own verdict comes first */
};

static bool native_ports[65536]; /* bytes: written by JS, read by receivers */
static uint16_t relay_port;
static bool hides_nscd;

void sockets_set_native_port(uint16_t port, bool native) {
  __atomic_store_n(&native_ports[port], native, __ATOMIC_RELAXED);
}
void sockets_set_relay(uint16_t port) { relay_port = port; }
uint16_t sockets_relay(void) { return relay_port; }
void sockets_hide_nscd(bool hide) { hides_nscd = hide; }

int socket_option(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) ? -errno : value;
}

bool socket_is_readable(int fd) {
  struct pollfd ready = {fd, POLLIN, 0};
  return poll(&ready, 1, 0) > 0;
}

bool socket_is_nonblocking(int fd) { return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0; }

int socket_identify(struct op *op, int fd) {
  if (op->socket < 0) op->socket = process_get_fd(op->tgid, fd);
  if (op->socket < 0) {
    int failed = op->socket;
    op->socket = -1;
    return failed;
  }
  socklen_t length = sizeof op->cookie;
  if (getsockopt(op->socket, SOL_SOCKET, SO_COOKIE, &op->cookie, &length) == 0) return 0;
  close(op->socket);
  op->socket = -1;
  return -ENOTSOCK;
}

int socket_describe(struct op *op, int fd) {
  int failed = socket_identify(op, fd);
  if (failed) return failed;
  op->domain = socket_option(op->socket, SOL_SOCKET, SO_DOMAIN);
  op->type = socket_option(op->socket, SOL_SOCKET, SO_TYPE);
  op->protocol = socket_option(op->socket, SOL_SOCKET, SO_PROTOCOL);
  op->nonblocking = socket_is_nonblocking(op->socket);
  op->v6only = op->domain == AF_INET6 && socket_option(op->socket, IPPROTO_IPV6, IPV6_V6ONLY) > 0;
  return 0;
}

static bool is_internet(const struct op *op) { return op->domain == AF_INET || op->domain == AF_INET6; }
/* Go's listeners are Multipath TCP's (RFC 8684) since 1.24; towards our plain TCP they behave as TCP's. */
bool socket_is_tcp(const struct op *op) {
  return is_internet(op) && op->type == SOCK_STREAM &&
         (op->protocol == IPPROTO_TCP || op->protocol == IPPROTO_MPTCP);
}
bool socket_is_udp(const struct op *op) { return is_internet(op) && op->type == SOCK_DGRAM && op->protocol == IPPROTO_UDP; }

bool socket_read_address(struct op *op, int address_argument, int length_argument) {
  return address_read(op, op->args[address_argument], op->args[length_argument]);
}

bool address_read(struct op *op, uint64_t address, uint64_t length) {
  length = (uint32_t)length; /* an int, whatever else is in the register */
  memset(&op->address, 0, sizeof op->address);
  if (length < sizeof(sa_family_t) || length > sizeof op->address) return false;
  ssize_t got = memory_read(op->tid, address, &op->address, length);
  if (got != (ssize_t)length) {
    op->is_unreadable = got >= 0 || got == -EFAULT;
    return false;
  }
  op->address_length = (socklen_t)length;
  if (op->address.ss_family == AF_INET) return length >= sizeof(struct sockaddr_in);
  if (op->address.ss_family == AF_INET6) return length >= SIN6_LEN_RFC2133;
  return true;
}

static bool is_nscd(const struct op *op) {
  const struct sockaddr_un *name = (const struct sockaddr_un *)&op->address;
  return strncmp(name->sun_path, "/var/run/nscd/socket", sizeof name->sun_path) == 0 ||
         strncmp(name->sun_path, "/run/nscd/socket", sizeof name->sun_path) == 0;
}

/* Where the program has bound it, also when it is really elsewhere. */
static void find_local(struct op *op) {
  struct cookie_entry entry;
  socklen_t length = sizeof op->local;
  if (cookie_get(op->cookie, &entry) && entry.bound) op->local = entry.requested;
  else if (getsockname(op->socket, (struct sockaddr *)&op->local, &length) != 0) op->local.ss_family = 0;
}

/* The kernel refuses the others: of another family, or IPv4 on a socket that is for IPv6 only. */
bool socket_takes_family(const struct op *op) {
  bool is_v6 = op->address.ss_family == AF_INET6;
  if (op->domain == AF_INET) return !is_v6;
  if (!is_v6) return socket_is_udp(op) && !op->v6only;
  return !(op->v6only && IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)&op->address)->sin6_addr));
}

void connect_ask(struct op *op) {
  if (op->local.ss_family == 0) find_local(op);
  op->keep_result = true;
  op_ask(op, OP_CONNECT, CONNECT_DEADLINE_MS, ETIMEDOUT);
}

static bool is_native(const struct op *op) {
  return address_is_loopback(&op->address) &&
         __atomic_load_n(&native_ports[address_port(&op->address)], __ATOMIC_RELAXED);
}

bool socket_refuses_unreadable(struct op *op) {
  if (!op->is_unreadable || (op->socket < 0 && socket_describe(op, (int)op->args[0]) != 0)) return false;
  op_reply(op, 0, EFAULT);
  return true;
}

bool handle_connect(struct op *op) {
  if (!socket_read_address(op, 1, 2)) return socket_refuses_unreadable(op);
  if (op->address.ss_family == AF_UNSPEC) {
    if (socket_describe(op, (int)op->args[0]) == 0 && socket_is_tcp(op)) cookie_settle(op->cookie);
    return false;
  }
  if (op->address.ss_family == AF_UNIX) {
    bool is_hidden = hides_nscd && is_nscd(op);
    if (!is_hidden && unix_is_asked(op)) {
      unix_connect(op);
      return true;
    }
    report_connect(op, is_hidden ? ENOENT : RESULT_UNKNOWN);
    if (!is_hidden) return false;
    op_reply(op, 0, ENOENT); /* its answers would be the developer's names, not the pod's */
    return true;
  }
  if (op->address.ss_family != AF_INET && op->address.ss_family != AF_INET6) return false;
  if (is_native(op)) {
    report_connect(op, RESULT_UNKNOWN);
    return false;
  }
  if (socket_describe(op, (int)op->args[0]) != 0) return false;
  if (!socket_is_tcp(op) && !socket_is_udp(op)) return false;
  return connect_begin(op);
}

/*
 * By its address alone, and without a word to whoever wants one. To a listener of the tree loopback may lead elsewhere, as
 * TypeScript knows.
 */
static bool stays_here(const struct op *op) {
  return destination_is_local(&op->address) && !report_is_wanted() &&
         !(address_is_loopback(&op->address) && cookies_have_listeners());
}

/* Its connect is under way or made, natively or by us. */
static bool is_begun(const struct op *op) {
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  if (op->protocol != IPPROTO_TCP || getsockopt(op->socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return false;
  return info.tcpi_state != TCP_CLOSE && info.tcpi_state != TCP_LISTEN;
}

bool connect_begin(struct op *op) {
  struct cookie_entry entry;
  if (op->address.ss_family != AF_INET && op->address.ss_family != AF_INET6) return false;
  if (is_native(op) || !socket_takes_family(op)) return false;
  /*
   * Before it is looked whether there is a connect already: TypeScript may begin one at any time, for a call that a signal
   * has interrupted, and then this is an address of loopback that the program knows nothing of.
   */
  find_local(op);
  bool is_pending = socket_is_tcp(op) && cookie_get(op->cookie, &entry) && entry.pending;
  if (is_pending || is_begun(op)) {
    /* A second connect() asks for the verdict (hiredis does), or waits for it. */
    receive_run(verdict_deliver, op);
    return true;
  }
  if (socket_is_tcp(op) && stays_here(op)) return false;
  connect_ask(op);
  return true;
}

bool handle_bind(struct op *op) {
  if (!socket_read_address(op, 1, 2)) return socket_refuses_unreadable(op);
  if (op->address.ss_family != AF_INET && op->address.ss_family != AF_INET6) return false;
  /* Any port of an address that this machine may not have: the pod's, for one. */
  if (address_port(&op->address) == 0 && address_is_loopback(&op->address)) return false;
  if (socket_describe(op, (int)op->args[0]) != 0 || !(socket_is_tcp(op) || socket_is_udp(op))) return false;
  op->keep_result = true;
  op_ask(op, OP_BIND, OP_LOCAL_MS, EADDRINUSE);
  return true;
}

bool handle_listen(struct op *op) {
  struct cookie_entry entry;
  if (socket_describe(op, (int)op->args[0]) != 0 || !socket_is_tcp(op)) return false;
  if (!cookie_get(op->cookie, &entry) || !entry.bound) return false;
  op->keep_result = true;
  op_ask(op, OP_LISTEN, OP_LOCAL_MS, EADDRINUSE);
  return true;
}
