#define _GNU_SOURCE
#include "netlink.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct request {
  struct nlmsghdr head;
  uint8_t body[1024];
};

int netlink_open(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  return fd < 0 ? -errno : fd;
}

static void *begin(struct request *request, int type, int flags, size_t body) {
  memset(request, 0, sizeof *request);
  request->head.nlmsg_len = NLMSG_LENGTH(body);
  request->head.nlmsg_type = (uint16_t)type;
  request->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
  return NLMSG_DATA(&request->head);
}

static struct rtattr *put(struct request *request, int type, const void *data, size_t length) {
  struct rtattr *attribute = (struct rtattr *)((uint8_t *)request + NLMSG_ALIGN(request->head.nlmsg_len));
  attribute->rta_type = (uint16_t)type;
  attribute->rta_len = (uint16_t)RTA_LENGTH(length);
  if (length) memcpy(RTA_DATA(attribute), data, length);
  request->head.nlmsg_len = NLMSG_ALIGN(request->head.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
  return attribute;
}

static void close_nest(struct request *request, struct rtattr *nest) {
  nest->rta_len = (uint16_t)((uint8_t *)request + request->head.nlmsg_len - (uint8_t *)nest);
}

static int ask(int netlink, struct request *request) {
  request->head.nlmsg_flags |= NLM_F_ACK;
  if (send(netlink, request, request->head.nlmsg_len, 0) < 0) return -errno;
  uint8_t answer[4096];
  ssize_t got = recv(netlink, answer, sizeof answer, 0);
  if (got < 0) return -errno;
  const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
  if ((size_t)got < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || head->nlmsg_type != NLMSG_ERROR) return -EPROTO;
  return ((const struct nlmsgerr *)NLMSG_DATA(head))->error;
}

int link_add_pair(int netlink, const char *name, const char *peer_name, int peer_namespace) {
  struct request request;
  begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
  put(&request, IFLA_IFNAME, name, strlen(name) + 1);
  struct rtattr *info = put(&request, IFLA_LINKINFO, NULL, 0);
  put(&request, IFLA_INFO_KIND, "veth", 4);
  struct rtattr *data = put(&request, IFLA_INFO_DATA, NULL, 0);
  struct rtattr *peer = put(&request, VETH_INFO_PEER, &(struct ifinfomsg){0}, sizeof(struct ifinfomsg));
  put(&request, IFLA_IFNAME, peer_name, strlen(peer_name) + 1);
  put(&request, IFLA_NET_NS_FD, &peer_namespace, sizeof peer_namespace);
  close_nest(&request, peer);
  close_nest(&request, data);
  close_nest(&request, info);
  return ask(netlink, &request);
}

int link_up(int netlink, int index) {
  struct request request;
  struct ifinfomsg *link = begin(&request, RTM_NEWLINK, 0, sizeof *link);
  link->ifi_index = index;
  link->ifi_flags = link->ifi_change = IFF_UP;
  return ask(netlink, &request);
}

int link_delete(int netlink, int index) {
  struct request request;
  struct ifinfomsg *link = begin(&request, RTM_DELLINK, 0, sizeof *link);
  link->ifi_index = index;
  return ask(netlink, &request);
}

static size_t size_of(const struct subnet *subnet) { return subnet->family == AF_INET6 ? 16 : 4; }

int address_add(int netlink, int index, const struct subnet *address) {
  struct request request;
  struct ifaddrmsg *message = begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
  message->ifa_family = (uint8_t)address->family;
  message->ifa_prefixlen = (uint8_t)address->length;
  message->ifa_index = (uint32_t)index;
  /* Duplicate address detection would take a second, and there are two on this link: both ours. */
  if (address->family == AF_INET6) message->ifa_flags = IFA_F_NODAD;
  put(&request, IFA_LOCAL, address->bytes, size_of(address));
  put(&request, IFA_ADDRESS, address->bytes, size_of(address));
  return ask(netlink, &request);
}

int route_add(int netlink, int index, const struct subnet *to, const struct subnet *gateway,
              const struct subnet *source) {
  struct request request;
  struct rtmsg *route = begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *route);
  route->rtm_family = (uint8_t)to->family;
  route->rtm_dst_len = (uint8_t)to->length;
  route->rtm_table = gateway ? RT_TABLE_MAIN : RT_TABLE_LOCAL;
  route->rtm_protocol = OUR_PROTOCOL;
  route->rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_HOST;
  route->rtm_type = gateway ? RTN_UNICAST : RTN_LOCAL;
  put(&request, RTA_DST, to->bytes, size_of(to));
  put(&request, RTA_OIF, &index, sizeof index);
  if (gateway) put(&request, RTA_GATEWAY, gateway->bytes, size_of(gateway));
  if (source) put(&request, RTA_PREFSRC, source->bytes, size_of(source));
  return ask(netlink, &request);
}

bool subnet_parse(const char *text, struct subnet *subnet) {
  char address[64];
  const char *slash = strchr(text, '/');
  size_t length = slash ? (size_t)(slash - text) : strlen(text);
  if (length >= sizeof address) return false;
  memcpy(address, text, length);
  address[length] = 0;
  *subnet = (struct subnet){.family = strchr(address, ':') ? AF_INET6 : AF_INET};
  if (inet_pton(subnet->family, address, subnet->bytes) != 1) return false;
  int whole = subnet->family == AF_INET6 ? 128 : 32;
  subnet->length = slash ? atoi(slash + 1) : whole;
  return subnet->length >= 0 && subnet->length <= whole;
}
