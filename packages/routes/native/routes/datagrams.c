#define _GNU_SOURCE
#include "datagrams.h"
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

enum { RECEIVE_BUFFER = 1 << 20 };

static socklen_t to_address(union address *address, uint8_t family, const uint8_t *bytes, uint16_t port) {
  memset(address, 0, sizeof *address);
  if (family == 6) {
    address->v6.sin6_family = AF_INET6;
    memcpy(&address->v6.sin6_addr, bytes, 16);
    address->v6.sin6_port = htons(le16toh(port));
    return sizeof address->v6;
  }
  address->v4.sin_family = AF_INET;
  memcpy(&address->v4.sin_addr, bytes, 4);
  address->v4.sin_port = htons(le16toh(port));
  return sizeof address->v4;
}

static uint16_t from_address(const union address *address, uint8_t *bytes) {
  if (address->any.sa_family == AF_INET6) {
    memcpy(bytes, &address->v6.sin6_addr, 16);
    return htole16(ntohs(address->v6.sin6_port));
  }
  memcpy(bytes, &address->v4.sin_addr, 4);
  return htole16(ntohs(address->v4.sin_port));
}

static int failed(int fd) {
  int error = -errno;
  close(fd);
  return error;
}

int datagrams_open(int family) {
  int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int on = 1, buffer = RECEIVE_BUFFER;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on)) return failed(fd);
  if (family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, &on, sizeof on)
                         : setsockopt(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, &on, sizeof on))
    return failed(fd);
  union address any;
  static const uint8_t zero[16];
  socklen_t length = to_address(&any, family == AF_INET6 ? 6 : 4, zero, 0);
  if (bind(fd, &any.any, length)) return failed(fd);
  return fd;
}

ssize_t datagrams_receive(int socket, struct ends *ends, void *payload, size_t size) {
  union address source, destination;
  union {
    struct cmsghdr head;
    uint8_t space[CMSG_SPACE(sizeof(union address))];
  } control;
  struct iovec io = {payload, size};
  struct msghdr message = {.msg_name = &source,
                           .msg_namelen = sizeof source,
                           .msg_iov = &io,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
  ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT);
  struct cmsghdr *head = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
  if (!head) return -1;
  memcpy(&destination, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
  memset(ends, 0, sizeof *ends);
  ends->family = source.any.sa_family == AF_INET6 ? 6 : 4;
  ends->source_port = from_address(&source, ends->source);
  ends->destination_port = from_address(&destination, ends->destination);
  return got;
}

/* To an address of the cluster: IPv6 does not take for its own what only a route says is local. */
static int bind_to(int fd, const union address *address, socklen_t length) {
  int on = 1;
  if (address->any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on)) return -1;
  return bind(fd, &address->any, length);
}

/* Bound to addresses of the cluster, for answers; an old one goes when there is no room. */
enum { ANSWERING = 256 };
static struct {
  union address address;
  int fd; /* 0: none */
  unsigned long used;
} answering[ANSWERING];
static unsigned long clock_of_use;

static int answering_socket(const struct ends *ends) {
  union address address;
  socklen_t length = to_address(&address, ends->family, ends->source, ends->source_port);
  size_t oldest = 0;
  for (size_t i = 0; i < ANSWERING; i++) {
    if (answering[i].fd && !memcmp(&answering[i].address, &address, sizeof address)) {
      answering[i].used = ++clock_of_use;
      return answering[i].fd;
    }
    if (answering[i].used < answering[oldest].used) oldest = i;
  }
  int fd = socket(address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind_to(fd, &address, length)) {
    close(fd);
    return -1;
  }
  if (answering[oldest].fd) close(answering[oldest].fd);
  answering[oldest].fd = fd;
  answering[oldest].address = address;
  answering[oldest].used = ++clock_of_use;
  return fd;
}

void datagrams_answer(const struct ends *ends, const void *payload, size_t length) {
  union address to;
  socklen_t size = to_address(&to, ends->family, ends->destination, ends->destination_port);
  int fd = answering_socket(ends);
  if (fd >= 0) sendto(fd, payload, length, MSG_DONTWAIT | MSG_NOSIGNAL, &to.any, size);
}

static uint16_t checksum(const void *bytes, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < length; i += 2) {
    uint16_t word;
    memcpy(&word, (const uint8_t *)bytes + i, sizeof word);
    sum += word;
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static struct udphdr refused(const struct ends *ends) {
  return (struct udphdr){.source = htons(le16toh(ends->destination_port)),
                         .dest = htons(le16toh(ends->source_port)),
                         .len = htons(sizeof(struct udphdr))};
}

/* RFC 792: the head of what was refused, by which the kernel finds the socket that had sent it. */
static void refuse_4(const struct ends *ends, int fd, const union address *to) {
  struct {
    struct icmphdr icmp;
    struct iphdr ip;
    struct udphdr udp;
  } message = {
      .icmp = {.type = ICMP_DEST_UNREACH, .code = ICMP_PORT_UNREACH},
      .ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .tot_len = htons(28)},
      .udp = refused(ends),
  };
  memcpy(&message.ip.saddr, ends->destination, 4);
  memcpy(&message.ip.daddr, ends->source, 4);
  message.ip.check = checksum(&message.ip, sizeof message.ip);
  message.icmp.checksum = checksum(&message, sizeof message);
  sendto(fd, &message, sizeof message, MSG_DONTWAIT, &to->any, sizeof to->v4);
}

/* RFC 4443; the kernel knows the checksum. */
static void refuse_6(const struct ends *ends, int fd, const union address *to) {
  struct {
    struct icmp6_hdr icmp;
    struct ip6_hdr ip;
    struct udphdr udp;
  } message = {
      .icmp = {.icmp6_type = ICMP6_DST_UNREACH, .icmp6_code = ICMP6_DST_UNREACH_NOPORT},
      .udp = refused(ends),
  };
  message.ip.ip6_flow = htonl(6U << 28);
  message.ip.ip6_plen = htons(sizeof(struct udphdr));
  message.ip.ip6_nxt = IPPROTO_UDP;
  message.ip.ip6_hlim = 64;
  memcpy(&message.ip.ip6_src, ends->destination, 16);
  memcpy(&message.ip.ip6_dst, ends->source, 16);
  sendto(fd, &message, sizeof message, MSG_DONTWAIT, &to->any, sizeof to->v6);
}

void datagrams_refuse(const struct ends *ends) {
  bool is_6 = ends->family == 6;
  union address from, to;
  socklen_t length = to_address(&from, ends->family, ends->source, 0);
  to_address(&to, ends->family, ends->destination, 0); /* raw(7): the port is none */
  int fd = socket(from.any.sa_family, SOCK_RAW | SOCK_CLOEXEC, is_6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
  if (fd < 0) return;
  if (!bind_to(fd, &from, length)) (is_6 ? refuse_6 : refuse_4)(ends, fd, &to);
  close(fd);
}
