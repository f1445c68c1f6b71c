#define _GNU_SOURCE
#include "flush.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  IDLE_MS = 200,
  // A busy client may say its first words late, and takes a reset instead of an answer to them for a failure.
  SILENT_MS = 1000,
  // As in pass-through.ts.
  SEEN_BELOW = 28672,
  PATIENCE_S = 2,
  // What is more is seen by the next call.
  MAX_FOUND = 4096,
  MAX_LISTENERS = 64,
};
// As in the kernel's net/tcp_states.h.
enum { ESTABLISHED = 1, SYN_RECV = 3, TIME_WAIT = 6, CLOSE = 7, LISTEN = 10, NEW_SYN_RECV = 12 };
static const uint32_t OPEN = 1u << LISTEN | 1u << ESTABLISHED | 1u << SYN_RECV | 1u << NEW_SYN_RECV;
static const uint32_t ANY = ~(1u << TIME_WAIT | 1u << CLOSE | 1u << LISTEN);

struct found {
  uint8_t family;
  bool is_idle;
  struct inet_diag_sockid id;
};

// An address of all zeros: any.
struct listener {
  uint8_t family;
  __be32 address[4];
};

struct search {
  uint16_t local_port, peer_port; // 0: any
  uint32_t states;
  void (*on_socket)(struct search *, const struct inet_diag_msg *, const struct tcp_info *);
  uid_t own_uid;
  uint8_t own_ports[65536 / 8]; // of sockets of `own_uid` to the port
  struct listener listeners[MAX_LISTENERS];
  size_t listener_count;
  struct found found[MAX_FOUND];
  size_t count, beyond;
};

static bool is_own_port(const struct search *search, uint16_t port) {
  return search->own_ports[port / 8] & 1 << port % 8;
}

// Of what is passed on the pod sees the client's address, with a port that no client has, or its own.
static bool is_own(const struct search *search, const struct inet_diag_sockid *id) {
  uint16_t port = ntohs(id->idiag_dport);
  if (port <= UINT16_MAX - SEEN_BELOW && is_own_port(search, port + SEEN_BELOW)) return true;
  return is_own_port(search, port) && !memcmp(id->idiag_src, id->idiag_dst, sizeof id->idiag_src);
}

static void note_own(struct search *search, const struct inet_diag_msg *socket, const struct tcp_info *info) {
  (void)info;
  uint16_t port = ntohs(socket->id.idiag_sport);
  if (socket->idiag_uid == search->own_uid) search->own_ports[port / 8] |= 1 << port % 8;
}

// A server that was sent something last may be at work on its answer. The kernel's times are in jiffies: of a first
// request that came with its connection only what was never sent tells; and an answer within a jiffy is one.
static bool is_idle(const struct inet_diag_msg *socket, const struct tcp_info *info) {
  if (socket->idiag_state != ESTABLISHED || socket->idiag_rqueue || socket->idiag_wqueue || info->tcpi_unacked)
    return false;
  if (info->tcpi_last_data_sent < IDLE_MS || info->tcpi_last_data_recv < IDLE_MS) return false;
  if (!info->tcpi_bytes_received) return info->tcpi_data_segs_out || info->tcpi_last_data_recv >= SILENT_MS;
  return info->tcpi_data_segs_out && info->tcpi_last_data_recv >= info->tcpi_last_data_sent;
}

static bool is_address(const struct listener *listener, uint8_t family, const __be32 *address) {
  // Of IPv4 the kernel leaves the rest zero.
  return listener->family == family && !memcmp(listener->address, address, sizeof listener->address);
}

static void note_listener(struct search *search, const struct inet_diag_msg *socket) {
  for (size_t each = 0; each < search->listener_count; each++)
    if (is_address(&search->listeners[each], socket->idiag_family, socket->id.idiag_src)) return;
  if (search->listener_count == MAX_LISTENERS) return;
  struct listener *listener = &search->listeners[search->listener_count++];
  listener->family = socket->idiag_family;
  memcpy(listener->address, socket->id.idiag_src, sizeof listener->address);
}

// A socket that has the port for a connection of its own to somewhere was not accepted from a listener: the kernel
// lets both have one port on different addresses only. Who is accepted has the listener's family.
static bool is_incoming(const struct search *search, const struct found *found) {
  static const __be32 any[4];
  for (size_t each = 0; each < search->listener_count; each++)
    if (is_address(&search->listeners[each], found->family, any) ||
        is_address(&search->listeners[each], found->family, found->id.idiag_src))
      return true;
  return false;
}

static void note_found(struct search *search, const struct inet_diag_msg *socket, const struct tcp_info *info) {
  if (socket->idiag_state == LISTEN) {
    note_listener(search, socket);
    return;
  }
  if (search->count == MAX_FOUND) {
    search->beyond++;
    return;
  }
  search->found[search->count++] =
      (struct found){.family = socket->idiag_family, .is_idle = is_idle(socket, info), .id = socket->id};
}

static int ask(int netlink, uint16_t type, uint16_t flags, const struct inet_diag_req_v2 *request) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
  } message = {.header = {.nlmsg_len = sizeof message, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags},
               .request = *request};
  return send(netlink, &message, sizeof message, 0) < 0 ? errno : 0;
}

// The kernel's own tcp_info may be shorter than ours.
static struct tcp_info info_of(const struct nlmsghdr *header) {
  struct tcp_info info = {0};
  const struct inet_diag_msg *socket = NLMSG_DATA(header);
  int left = NLMSG_PAYLOAD(header, sizeof *socket);
  for (const struct rtattr *attribute = (const void *)(socket + 1); RTA_OK(attribute, left);
       attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type != INET_DIAG_INFO) continue;
    size_t length = RTA_PAYLOAD(attribute);
    memcpy(&info, RTA_DATA(attribute), length < sizeof info ? length : sizeof info);
  }
  return info;
}

// `search`: NULL where no sockets are asked for. 0: goes on; 1: that was the last; negative: -errno.
static int take_messages(struct search *search, const void *bytes, unsigned length) {
  for (const struct nlmsghdr *header = bytes; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
    if (header->nlmsg_type == NLMSG_DONE) return 1;
    if (header->nlmsg_type == NLMSG_ERROR) {
      const struct nlmsgerr *error = NLMSG_DATA(header);
      if (header->nlmsg_len < NLMSG_LENGTH(sizeof *error)) return -EPROTO;
      return error->error ? error->error : 1;
    }
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY) continue;
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg))) return -EPROTO;
    struct tcp_info info = info_of(header);
    if (search) search->on_socket(search, NLMSG_DATA(header), &info);
  }
  return 0;
}

static int take_answer(int netlink, struct search *search) {
  _Alignas(struct nlmsghdr) char bytes[32 << 10];
  for (;;) {
    ssize_t got = recv(netlink, bytes, sizeof bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN ? ETIMEDOUT : errno;
    int end = take_messages(search, bytes, got);
    if (end) return end < 0 ? -end : 0;
  }
}

static int look(int netlink, struct search *search) {
  // Of IPv6 are also those of IPv4 to a socket for both. A kernel without it knows none (ENOENT).
  for (int each = 0; each < 2; each++) {
    struct inet_diag_req_v2 request = {
        .sdiag_family = each ? AF_INET6 : AF_INET,
        .sdiag_protocol = IPPROTO_TCP,
        .idiag_ext = 1 << (INET_DIAG_INFO - 1),
        .idiag_states = search->states,
        .id = {.idiag_sport = htons(search->local_port), .idiag_dport = htons(search->peer_port)},
    };
    int error = ask(netlink, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request);
    if (!error) error = take_answer(netlink, search);
    if (error && !(each && error == ENOENT)) return error;
  }
  return 0;
}

// Its end is told by a reset; the server's next call fails with ECONNABORTED. ENOENT: it has ended by itself.
static int end_connection(int netlink, const struct found *found) {
  struct inet_diag_req_v2 request = {
      .sdiag_family = found->family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ANY, .id = found->id};
  int error = ask(netlink, SOCK_DESTROY, NLM_F_ACK, &request);
  return error ? error : take_answer(netlink, NULL);
}

static int end_found(int netlink, const struct search *search, bool all, struct flushed *flushed) {
  for (size_t each = 0; each < search->count; each++) {
    const struct found *found = &search->found[each];
    if (!is_incoming(search, found) || is_own(search, &found->id)) continue;
    if (!all && !found->is_idle) {
      flushed->left++;
      continue;
    }
    int error = end_connection(netlink, found);
    if (error && error != ENOENT) return error;
    if (!error) flushed->ended++;
  }
  flushed->left += search->beyond;
  return 0;
}

static int flush(int netlink, uint16_t port, uid_t own_uid, bool all, struct flushed *flushed) {
  static struct search search;
  search = (struct search){.local_port = port, .states = OPEN, .on_socket = note_found, .own_uid = own_uid};
  int error = look(netlink, &search);
  if (error || !search.count) return error;
  // Asked second: what we have begun to pass on meanwhile was not found, and what was found is still ours.
  search.local_port = 0;
  search.peer_port = port;
  search.states = ANY;
  search.on_socket = note_own;
  error = look(netlink, &search);
  return error ? error : end_found(netlink, &search, all, flushed);
}

int flush_connections(uint16_t port, uid_t own_uid, bool all, struct flushed *flushed, char *detail, size_t size) {
  *flushed = (struct flushed){0};
  int error = 0, netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (netlink < 0) error = errno;
  else {
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    error = flush(netlink, port, own_uid, all, flushed);
    close(netlink);
  }
  // No sock_diag, none for TCP, none that ends connections.
  if (error == EPROTONOSUPPORT || error == ENOENT) error = EOPNOTSUPP;
  if (error == EOPNOTSUPP) snprintf(detail, size, "this kernel cannot (CONFIG_INET_DIAG_DESTROY)");
  else if (error) snprintf(detail, size, "sock_diag: %s", strerror(error));
  return error;
}
