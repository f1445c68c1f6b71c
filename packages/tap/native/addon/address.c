#include "tap.h"
#include <string.h>

uint16_t address_port(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)address)->sin_port);
  if (address->ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
  return 0;
}

/* 0.0.0.0 and :: mean this machine to connect(2). */
bool address_is_loopback(const struct sockaddr_storage *address) {
  uint32_t v4;
  if (address->ss_family == AF_INET) {
    v4 = ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr);
  } else if (address->ss_family == AF_INET6) {
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
    if (IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_UNSPECIFIED(v6)) return true;
    if (!IN6_IS_ADDR_V4MAPPED(v6)) return false;
    memcpy(&v4, v6->s6_addr + 12, 4);
    v4 = ntohl(v4);
  } else {
    return false;
  }
  return v4 == 0 || v4 >> 24 == 127;
}

static void map_v4(struct in6_addr *into, const void *v4) {
  memset(into, 0, sizeof *into);
  into->s6_addr[10] = into->s6_addr[11] = 0xff;
  memcpy(into->s6_addr + 12, v4, 4);
}

socklen_t address_loopback(const struct op *op, uint16_t port, struct sockaddr_storage *into) {
  memset(into, 0, sizeof *into);
  uint32_t loopback = htonl(INADDR_LOOPBACK);
  if (op->domain == AF_INET) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)into;
    *v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {loopback}};
    return sizeof *v4;
  }
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)into;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  if (op->v6only) v6->sin6_addr = in6addr_loopback;
  else map_v4(&v6->sin6_addr, &loopback);
  return sizeof *v6;
}

socklen_t address_for_domain(int domain, const struct sockaddr_storage *from, struct sockaddr_storage *into) {
  if (domain == AF_INET6 && from->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)into;
    memset(into, 0, sizeof *into);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = v4->sin_port;
    map_v4(&v6->sin6_addr, &v4->sin_addr);
    return sizeof *v6;
  }
  *into = *from;
  return from->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}
