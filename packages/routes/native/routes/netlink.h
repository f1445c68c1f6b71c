/* rtnetlink(7): one request, one acknowledgement; and what the kernel lists. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An address or a subnet. Bytes in network order; IPv4 has the first four. */
struct subnet {
  int family;
  uint8_t bytes[16];
  int length;
};

/* Of rtm_protocol: by it `ip route show proto 73` tells whose a route is. Above RTPROT_STATIC, and nobody's. */
enum { OUR_PROTOCOL = 73 };

/* In the network namespace that this thread is in now, for good. A descriptor or -errno. */
int netlink_open(void);

/* All of these: 0 or -errno. */
int link_add_pair(int netlink, const char *name, const char *peer_name, int peer_namespace);
int link_up(int netlink, int index);
int link_delete(int netlink, int index);
int address_add(int netlink, int index, const struct subnet *address);
/* `gateway` NULL: the subnet's addresses are this machine's own. */
int route_add(int netlink, int index, const struct subnet *to, const struct subnet *gateway, const struct subnet *source);

/* One line for each address, route and link there is, on stdout. */
int facts_print(int netlink);

/* "10.0.0.0/8", "::1". */
bool subnet_parse(const char *text, struct subnet *subnet);
