/* What addresses, routes and links the machine has, a line for each: facts.ts reads it. */
#define _GNU_SOURCE
#include "netlink.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { MOST_ATTRIBUTES = 64 };

static void sort_attributes(struct rtattr **sorted, struct rtattr *first, int bytes) {
  memset(sorted, 0, MOST_ATTRIBUTES * sizeof *sorted);
  for (struct rtattr *each = first; RTA_OK(each, bytes); each = RTA_NEXT(each, bytes))
    if (each->rta_type < MOST_ATTRIBUTES) sorted[each->rta_type] = each;
}

static const char *address_text(int family, const struct rtattr *attribute, char *text) {
  if (attribute) inet_ntop(family, RTA_DATA(attribute), text, INET6_ADDRSTRLEN);
  else strcpy(text, family == AF_INET6 ? "::" : "0.0.0.0");
  return text;
}

static const char *name_of(const struct rtattr *index, char *name) {
  unsigned number = 0;
  if (index) memcpy(&number, RTA_DATA(index), sizeof number);
  return number && if_indextoname(number, name) ? name : "-";
}

static void print_address(const struct nlmsghdr *head) {
  struct ifaddrmsg *message = NLMSG_DATA(head);
  struct rtattr *some[MOST_ATTRIBUTES];
  char text[INET6_ADDRSTRLEN], name[IF_NAMESIZE];
  sort_attributes(some, IFA_RTA(message), (int)IFA_PAYLOAD(head));
  if (message->ifa_family != AF_INET && message->ifa_family != AF_INET6) return;
  const struct rtattr *own = some[IFA_LOCAL] ? some[IFA_LOCAL] : some[IFA_ADDRESS];
  printf("address %s/%d %s\n", address_text(message->ifa_family, own, text), message->ifa_prefixlen,
         if_indextoname(message->ifa_index, name) ? name : "-");
}

static void print_route(const struct nlmsghdr *head) {
  struct rtmsg *route = NLMSG_DATA(head);
  struct rtattr *some[MOST_ATTRIBUTES];
  char to[INET6_ADDRSTRLEN], gateway[INET6_ADDRSTRLEN], name[IF_NAMESIZE];
  sort_attributes(some, RTM_RTA(route), (int)RTM_PAYLOAD(head));
  if (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) return;
  if (route->rtm_flags & RTM_F_CLONED) return;
  unsigned table = route->rtm_table;
  if (some[RTA_TABLE]) memcpy(&table, RTA_DATA(some[RTA_TABLE]), sizeof table);
  if (table == RT_TABLE_LOCAL || route->rtm_type == RTN_LOCAL || route->rtm_type == RTN_BROADCAST ||
      route->rtm_type == RTN_MULTICAST || route->rtm_type == RTN_ANYCAST)
    return;
  printf("route %s/%d %s %s %u\n", address_text(route->rtm_family, some[RTA_DST], to), route->rtm_dst_len,
         name_of(some[RTA_OIF], name),
         some[RTA_GATEWAY] ? address_text(route->rtm_family, some[RTA_GATEWAY], gateway) : "-", route->rtm_protocol);
}

static int dump(int netlink, int type, void (*print)(const struct nlmsghdr *)) {
  struct {
    struct nlmsghdr head;
    struct rtgenmsg body;
  } request = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)),
                        .nlmsg_type = (uint16_t)type,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
  if (send(netlink, &request, request.head.nlmsg_len, 0) < 0) return -errno;
  for (;;) {
    _Alignas(struct nlmsghdr) uint8_t answer[32 << 10];
    ssize_t got = recv(netlink, answer, sizeof answer, 0);
    if (got <= 0) return got < 0 ? -errno : -EPROTO;
    int bytes = (int)got;
    for (struct nlmsghdr *head = (struct nlmsghdr *)answer; NLMSG_OK(head, (unsigned)bytes);
         head = NLMSG_NEXT(head, bytes)) {
      if (head->nlmsg_type == NLMSG_DONE) return 0;
      if (head->nlmsg_type == NLMSG_ERROR) return ((struct nlmsgerr *)NLMSG_DATA(head))->error;
      print(head);
    }
  }
}

int facts_print(int netlink) {
  int error = dump(netlink, RTM_GETADDR, print_address);
  return error ? error : dump(netlink, RTM_GETROUTE, print_route);
}
