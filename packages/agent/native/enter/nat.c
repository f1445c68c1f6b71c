#define _GNU_SOURCE
#include "nat.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_S = 2, NESTED = NLA_F_NESTED, TYPE = NLA_TYPE_MASK };

struct message {
  struct nlmsghdr header;
  struct nfgenmsg family;
  uint8_t attributes[200];
};

static struct nlattr *put(struct message *message, uint16_t type, const void *bytes, size_t length) {
  struct nlattr *attribute = (void *)((uint8_t *)message + message->header.nlmsg_len);
  *attribute = (struct nlattr){.nla_len = NLA_HDRLEN + length, .nla_type = type};
  if (length) memcpy((uint8_t *)attribute + NLA_HDRLEN, bytes, length);
  message->header.nlmsg_len += NLA_ALIGN(attribute->nla_len);
  return attribute;
}

static void end(struct message *message, struct nlattr *nest) {
  nest->nla_len = (uint8_t *)message + message->header.nlmsg_len - (uint8_t *)nest;
}

// Where packets of a direction come from and go to. Ports are in network order, too.
struct tuple {
  uint8_t family, protocol;
  uint16_t from_port, to_port;
  const uint8_t *from, *to;
};

static void put_tuple(struct message *message, uint16_t type, const struct tuple *given) {
  bool is_ipv6 = given->family == 6;
  size_t length = is_ipv6 ? 16 : 4;
  struct nlattr *tuple = put(message, type | NESTED, NULL, 0);
  struct nlattr *ip = put(message, CTA_TUPLE_IP | NESTED, NULL, 0);
  put(message, is_ipv6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, given->from, length);
  put(message, is_ipv6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, given->to, length);
  end(message, ip);
  struct nlattr *protocol = put(message, CTA_TUPLE_PROTO | NESTED, NULL, 0);
  put(message, CTA_PROTO_NUM, &given->protocol, sizeof given->protocol);
  put(message, CTA_PROTO_SRC_PORT, &given->from_port, sizeof given->from_port);
  put(message, CTA_PROTO_DST_PORT, &given->to_port, sizeof given->to_port);
  end(message, protocol);
  end(message, tuple);
}

// A tuple's direction is that of its packets: what the socket knows is seen from its answers.
static void put_tracked(struct message *message, const struct tracked *tracked) {
  bool is_reply = tracked->is_reply;
  uint16_t client_port = htons(tracked->client_port), port = htons(tracked->port);
  struct tuple sent = {tracked->family, IPPROTO_TCP, client_port, port, tracked->client, tracked->address};
  struct tuple answers = {tracked->family, IPPROTO_TCP, port, client_port, tracked->address, tracked->client};
  put_tuple(message, is_reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG, is_reply ? &answers : &sent);
}

// NULL: there is none of that type, of that length at least.
static const struct nlattr *find(const void *bytes, size_t length, uint16_t type, size_t wanted) {
  const uint8_t *at = bytes;
  while (length >= NLA_HDRLEN) {
    const struct nlattr *attribute = (const void *)at;
    if (attribute->nla_len < NLA_HDRLEN || attribute->nla_len > length) return NULL;
    if ((attribute->nla_type & TYPE) == type && attribute->nla_len >= NLA_HDRLEN + wanted) return attribute;
    size_t step = NLA_ALIGN(attribute->nla_len);
    if (step >= length) return NULL;
    at += step, length -= step;
  }
  return NULL;
}

static const struct nlattr *inside(const struct nlattr *nest, uint16_t type, size_t wanted) {
  return nest ? find((const uint8_t *)nest + NLA_HDRLEN, nest->nla_len - NLA_HDRLEN, type, wanted) : NULL;
}

// The end that is not the client's, of the tuple that was not asked for.
static int read_other(const struct nlmsghdr *header, const struct tracked *tracked, struct other_end *other) {
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg))) return EPROTO;
  const uint8_t *attributes = (const uint8_t *)NLMSG_DATA(header) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
  size_t length = NLMSG_PAYLOAD(header, sizeof(struct nfgenmsg)), address_length = tracked->family == 6 ? 16 : 4;
  bool is_reply = tracked->is_reply;
  uint16_t address_type = tracked->family == 6 ? (is_reply ? CTA_IP_V6_DST : CTA_IP_V6_SRC)
                                               : (is_reply ? CTA_IP_V4_DST : CTA_IP_V4_SRC);
  const struct nlattr *tuple = find(attributes, length, is_reply ? CTA_TUPLE_ORIG : CTA_TUPLE_REPLY, 0);
  const struct nlattr *address = inside(inside(tuple, CTA_TUPLE_IP, 0), address_type, address_length);
  const struct nlattr *port = inside(inside(tuple, CTA_TUPLE_PROTO, 0),
                                     is_reply ? CTA_PROTO_DST_PORT : CTA_PROTO_SRC_PORT, sizeof(uint16_t));
  if (!address || !port) return EPROTO;
  *other = (struct other_end){0};
  memcpy(other->address, (const uint8_t *)address + NLA_HDRLEN, address_length);
  uint16_t network_order;
  memcpy(&network_order, (const uint8_t *)port + NLA_HDRLEN, sizeof network_order);
  other->port = ntohs(network_order);
  return 0;
}

static struct message message_of(uint16_t type, uint8_t family, uint16_t flags) {
  return (struct message){
      .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct nfgenmsg)),
                 .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | type,
                 .nlmsg_flags = NLM_F_REQUEST | flags},
      .family = {.nfgen_family = family == 6 ? AF_INET6 : AF_INET, .version = NFNETLINK_V0},
  };
}

struct answer {
  _Alignas(struct nlmsghdr) uint8_t bytes[4096];
};

// 0: `answer` begins with what was asked for, or, of a request that wants no more, with nothing to read.
static int request(int netlink, const struct message *message, struct answer *answer) {
  if (send(netlink, message, message->header.nlmsg_len, 0) < 0) return errno;
  ssize_t got = recv(netlink, answer->bytes, sizeof answer->bytes, 0);
  if (got < 0) return errno == EAGAIN ? ETIMEDOUT : errno;
  const struct nlmsghdr *header = (const void *)answer->bytes;
  if (!NLMSG_OK(header, (unsigned)got)) return EPROTO;
  if (header->nlmsg_type != NLMSG_ERROR) return 0;
  const struct nlmsgerr *error = NLMSG_DATA(header);
  return header->nlmsg_len >= NLMSG_LENGTH(sizeof *error) ? -error->error : EPROTO;
}

static int ask(int netlink, const struct tracked *tracked, struct other_end *other) {
  struct message question = message_of(IPCTNL_MSG_CT_GET, tracked->family, 0);
  put_tracked(&question, tracked);
  struct answer answer;
  int error = request(netlink, &question, &answer);
  return error ? error : read_other((const void *)answer.bytes, tracked, other);
}

// Fills in `tuple`, which points into `local`.
static int send_to_itself(uint8_t family, struct sockaddr_storage *local, struct tuple *tuple) {
  struct sockaddr_in *v4 = (void *)local;
  struct sockaddr_in6 *v6 = (void *)local;
  bool is_ipv6 = family == 6;
  socklen_t length = is_ipv6 ? sizeof *v6 : sizeof *v4;
  if (is_ipv6) *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  else *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(local->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
  if (fd < 0) return errno;
  if (bind(fd, (struct sockaddr *)local, length) || getsockname(fd, (struct sockaddr *)local, &length) ||
      sendto(fd, NULL, 0, 0, (struct sockaddr *)local, length) < 0)
    error = errno;
  close(fd);
  const uint8_t *address = is_ipv6 ? (const uint8_t *)&v6->sin6_addr : (const uint8_t *)&v4->sin_addr;
  uint16_t port = is_ipv6 ? v6->sin6_port : v4->sin_port;
  *tuple = (struct tuple){family, IPPROTO_UDP, port, port, address, address};
  return error;
}

// Nothing is tracked when the last rule that needs it is gone, but what was tracked then stays known until it times out,
// and a client that has the same port again is no more what is written there. A datagram shows it: the kernel has noted
// that before sendto(2) returns.
static bool tracks_now(int netlink, uint8_t family) {
  struct sockaddr_storage local;
  struct tuple tuple;
  struct answer answer;
  if (send_to_itself(family, &local, &tuple)) return true;
  struct message question = message_of(IPCTNL_MSG_CT_GET, family, 0);
  put_tuple(&question, CTA_TUPLE_ORIG, &tuple);
  int error = request(netlink, &question, &answer);
  if (error) return error != ENOENT;
  struct message removal = message_of(IPCTNL_MSG_CT_DELETE, family, NLM_F_ACK);
  put_tuple(&removal, CTA_TUPLE_ORIG, &tuple);
  request(netlink, &removal, &answer);
  return true;
}

// Asked otherwise, a kernel that tracks nothing would load the module for it.
static bool tracks_anything(void) {
  char text[32] = "";
  int fd = open("/proc/sys/net/netfilter/nf_conntrack_count", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  return got > 0 && atol(text) > 0;
}

int find_other_end(const struct tracked *tracked, struct other_end *other, char *detail, size_t size) {
  if (!tracks_anything()) return ENODATA;
  int error = 0, netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (netlink < 0) error = errno;
  else {
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    error = tracked->is_reply || tracks_now(netlink, tracked->family) ? ask(netlink, tracked, other) : ENODATA;
    close(netlink);
  }
  if (error && error != ENOENT && error != ENODATA) snprintf(detail, size, "ctnetlink: %s", strerror(error));
  return error;
}
