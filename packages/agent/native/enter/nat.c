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

// A tuple's direction is that of its packets: what the socket knows is seen from its answers.
static void put_tuple(struct message *message, const struct tracked *tracked) {
  bool is_ipv6 = tracked->family == 6, is_reply = tracked->is_reply;
  size_t length = is_ipv6 ? 16 : 4;
  uint16_t client_port = htons(tracked->client_port), port = htons(tracked->port);
  uint8_t tcp = IPPROTO_TCP;
  struct nlattr *tuple = put(message, (is_reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG) | NESTED, NULL, 0);
  struct nlattr *ip = put(message, CTA_TUPLE_IP | NESTED, NULL, 0);
  put(message, is_ipv6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, is_reply ? tracked->address : tracked->client, length);
  put(message, is_ipv6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, is_reply ? tracked->client : tracked->address, length);
  end(message, ip);
  struct nlattr *protocol = put(message, CTA_TUPLE_PROTO | NESTED, NULL, 0);
  put(message, CTA_PROTO_NUM, &tcp, sizeof tcp);
  put(message, CTA_PROTO_SRC_PORT, is_reply ? &port : &client_port, sizeof port);
  put(message, CTA_PROTO_DST_PORT, is_reply ? &client_port : &port, sizeof port);
  end(message, protocol);
  end(message, tuple);
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

static int ask(int netlink, const struct tracked *tracked, struct other_end *other) {
  struct message question = {
      .header = {.nlmsg_len = NLMSG_LENGTH(sizeof question.family),
                 .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
                 .nlmsg_flags = NLM_F_REQUEST},
      .family = {.nfgen_family = tracked->family == 6 ? AF_INET6 : AF_INET, .version = NFNETLINK_V0},
  };
  put_tuple(&question, tracked);
  if (send(netlink, &question, question.header.nlmsg_len, 0) < 0) return errno;
  _Alignas(struct nlmsghdr) uint8_t bytes[4096];
  ssize_t got = recv(netlink, bytes, sizeof bytes, 0);
  if (got < 0) return errno == EAGAIN ? ETIMEDOUT : errno;
  const struct nlmsghdr *header = (const void *)bytes;
  if (!NLMSG_OK(header, (unsigned)got)) return EPROTO;
  if (header->nlmsg_type != NLMSG_ERROR) return read_other(header, tracked, other);
  const struct nlmsgerr *error = NLMSG_DATA(header);
  return header->nlmsg_len >= NLMSG_LENGTH(sizeof *error) && error->error ? -error->error : EPROTO;
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
    error = ask(netlink, tracked, other);
    close(netlink);
  }
  if (error && error != ENOENT) snprintf(detail, size, "ctnetlink: %s", strerror(error));
  return error;
}
