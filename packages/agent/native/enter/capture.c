#define _GNU_SOURCE
#include "capture.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "packet-filter.h"
#include "reader.h"

const char *capture_missing(void) {
  return has_capability(CAP_NET_RAW) ? NULL : "packet sockets: Operation not permitted (needs CAP_NET_RAW)";
}

static int set_filter(int socket, bool is_ipv6, const struct mirrored *ports, size_t count) {
  struct sock_filter program[PACKET_FILTER_LIMIT];
  struct sock_fprog filter = {.len = packet_filter(program, is_ipv6, ports, count), .filter = program};
  return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) ? errno : 0;
}

// The kernel puts fragments of IPv4 together before the filter sees them, as it does for the target: so it does for the
// members of a group, of which this is the only one. Where it cannot (UNIQUEID: 4.12), they are told as missed.
static void defragment(int fd) {
  uint32_t fanout = (uint32_t)(PACKET_FANOUT_CPU | PACKET_FANOUT_FLAG_DEFRAG | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
  setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &fanout, sizeof fanout);
}

// Bound to one protocol, and not to all of them, it sees no outgoing packet, and one of a VLAN or a tunnel only
// where it is unpacked: each packet once, on loopback too. SOCK_DGRAM: whatever the interface, it begins with IP.
static int open_socket(bool is_ipv6) {
  int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int version = TPACKET_V3;
  struct tpacket_req3 ring = {
      .tp_block_size = RING_BLOCK,
      .tp_block_nr = RING_BLOCKS[is_ipv6],
      .tp_frame_size = RING_BLOCK,
      .tp_frame_nr = RING_BLOCKS[is_ipv6],
      .tp_retire_blk_tov = RING_TIMEOUT_MS,
  };
  struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(is_ipv6 ? ETH_P_IPV6 : ETH_P_IP)};
  // Without a filter it would begin with whatever comes.
  int error = set_filter(fd, is_ipv6, NULL, 0);
  if (!error && (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
                 setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) ||
                 bind(fd, (struct sockaddr *)&all, sizeof all)))
    error = errno;
  if (!error) {
    if (!is_ipv6) defragment(fd);
    return fd;
  }
  close(fd);
  return -error;
}

static void close_sockets(struct capture *capture) {
  for (int each = 0; each < CAPTURE_SOCKETS; each++) {
    if (capture->sockets[each] > 0) close(capture->sockets[each]);
    capture->sockets[each] = 0;
  }
}

static int start(struct capture *capture, char *detail, size_t size) {
  if (capture->is_over) {
    snprintf(detail, size, "the reader of packets has ended");
    return EPIPE;
  }
  int error = 0;
  for (int each = 0; each < CAPTURE_SOCKETS && !error; each++) {
    capture->sockets[each] = open_socket(each == 1);
    if (capture->sockets[each] < 0) error = -capture->sockets[each];
  }
  if (error) snprintf(detail, size, "packet sockets: %s", strerror(error));
  else {
    // FORCE goes beyond the system's limit, where we may.
    int queue = READER_QUEUE;
    if (setsockopt(capture->reader_socket, SOL_SOCKET, SO_SNDBUFFORCE, &queue, sizeof queue))
      setsockopt(capture->reader_socket, SOL_SOCKET, SO_SNDBUF, &queue, sizeof queue);
    capture->reader = start_reader(capture);
    if (capture->reader > 0) {
      close(capture->reader_socket);
      capture->reader_socket = -1;
      return 0;
    }
    error = -capture->reader;
    capture->reader = 0;
    snprintf(detail, size, "the reader of packets: %s", strerror(error));
  }
  close_sockets(capture);
  return error;
}

// The kernel puts the new program in the old one's place: no packet finds none.
static int apply(struct capture *capture, char *detail, size_t size) {
  for (int each = 0; each < CAPTURE_SOCKETS; each++) {
    int error = set_filter(capture->sockets[each], each == 1, capture->mirrored, capture->count);
    if (!error) continue;
    snprintf(detail, size, "the filter of packets: %s", strerror(error));
    return error;
  }
  return 0;
}

static size_t find(const struct capture *capture, struct mirrored wanted) {
  size_t at = 0;
  while (at < capture->count &&
         (capture->mirrored[at].port != wanted.port || capture->mirrored[at].protocol != wanted.protocol))
    at++;
  return at;
}

int capture_add(struct capture *capture, struct mirrored wanted, char *detail, size_t size) {
  if (find(capture, wanted) < capture->count) return 0;
  if (capture->count == MAX_MIRRORED) {
    snprintf(detail, size, "%d ports are mirrored already", MAX_MIRRORED);
    return ENOSPC;
  }
  int error = capture->reader ? 0 : start(capture, detail, size);
  if (error) return error;
  capture->mirrored[capture->count++] = wanted;
  error = apply(capture, detail, size);
  if (error) capture->count--;
  return error;
}

int capture_remove(struct capture *capture, struct mirrored wanted, char *detail, size_t size) {
  size_t at = find(capture, wanted);
  if (at == capture->count) return 0;
  capture->mirrored[at] = capture->mirrored[--capture->count];
  int error = apply(capture, detail, size);
  if (!error) return 0;
  capture->mirrored[capture->count++] = wanted;
  return error;
}

void capture_end(struct capture *capture) {
  if (capture->reader) {
    kill(capture->reader, SIGKILL);
    waitpid(capture->reader, NULL, 0);
  }
  capture->reader = 0;
  capture->is_over = true;
  capture->count = 0;
  close_sockets(capture);
}
