#define _GNU_SOURCE
#include "reader.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "child.h"

// A header and a packet each; IOV_MAX is 1024.
enum { BATCH = 500 };

struct __attribute__((packed)) record {
  uint32_t length;
  uint8_t kind, flags;
  uint16_t reserved;
};

struct ring {
  int socket;
  uint8_t *blocks;
  unsigned count, next;
};

static int output;

static void write_all(struct iovec *parts, size_t count) {
  while (count) {
    ssize_t sent = writev(output, parts, count);
    if (sent < 0 && errno == EINTR) continue;
    // Node has ended.
    if (sent < 0) _exit(0);
    while (count && (size_t)sent >= parts->iov_len) sent -= parts->iov_len, parts++, count--;
    if (count) parts->iov_base = (uint8_t *)parts->iov_base + sent, parts->iov_len -= sent;
  }
}

static struct record record_of(uint8_t kind, uint8_t flags, uint32_t length) {
  return (struct record){.length = sizeof(struct record) - sizeof(uint32_t) + length, .kind = kind, .flags = flags};
}

// The kernel counts from the last time it was asked.
static void tell_lost(const struct ring *ring) {
  struct tpacket_stats_v3 counted;
  socklen_t size = sizeof counted;
  if (getsockopt(ring->socket, SOL_PACKET, PACKET_STATISTICS, &counted, &size) || !counted.tp_drops) return;
  struct record record = record_of(READER_LOST, 0, sizeof counted.tp_drops);
  write_all((struct iovec[]){{&record, sizeof record}, {&counted.tp_drops, sizeof counted.tp_drops}}, 2);
}

static void pass_on(const struct tpacket_block_desc *block) {
  static struct record records[BATCH];
  static struct iovec parts[2 * BATCH];
  const uint8_t *at = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
  for (uint32_t left = block->hdr.bh1.num_pkts; left;) {
    size_t count = 0;
    for (; left && count < BATCH; left--, count++) {
      const struct tpacket3_hdr *packet = (const void *)at;
      // CSUMNOTREADY: never was on a wire, and gets none.
      bool is_checked = packet->tp_status & (TP_STATUS_CSUM_VALID | TP_STATUS_CSUMNOTREADY);
      records[count] = record_of(READER_PACKET, is_checked ? 0 : READER_CHECKSUM_UNKNOWN, packet->tp_snaplen);
      parts[2 * count] = (struct iovec){&records[count], sizeof records[count]};
      parts[2 * count + 1] = (struct iovec){(uint8_t *)at + packet->tp_net, packet->tp_snaplen};
      at += packet->tp_next_offset;
    }
    write_all(parts, 2 * count);
  }
}

static bool drain(struct ring *ring) {
  struct tpacket_block_desc *block = (void *)(ring->blocks + (size_t)ring->next * RING_BLOCK);
  if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) return false;
  pass_on(block);
  __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
  ring->next = (ring->next + 1) % ring->count;
  tell_lost(ring);
  return true;
}

static void pass_all_on(struct ring *rings) {
  for (;;) {
    bool is_idle = true;
    for (int each = 0; each < CAPTURE_SOCKETS; each++)
      if (drain(&rings[each])) is_idle = false;
    if (!is_idle) continue;
    struct pollfd ready[CAPTURE_SOCKETS + 1] = {{.fd = output}};
    for (int each = 0; each < CAPTURE_SOCKETS; each++)
      ready[each + 1] = (struct pollfd){.fd = rings[each].socket, .events = POLLIN};
    poll(ready, CAPTURE_SOCKETS + 1, -1);
    if (ready[0].revents & (POLLHUP | POLLERR)) _exit(0);
    // A packet socket tells so once when an interface goes down; the rings stay.
    for (int each = 0; each < CAPTURE_SOCKETS; each++) {
      int error;
      socklen_t size = sizeof error;
      if (ready[each + 1].revents & POLLERR) getsockopt(rings[each].socket, SOL_SOCKET, SO_ERROR, &error, &size);
    }
  }
}

// It holds sockets whose filter anybody who has them could change (SO_ATTACH_FILTER takes no right): from here on it
// can do what pass_all_on() does, and nothing else. A second wall: where the kernel has no such filter, the first one stands.
static void confine(void) {
#ifdef __x86_64__
  enum { ARCH = AUDIT_ARCH_X86_64 };
#else
  enum { ARCH = AUDIT_ARCH_AARCH64 };
#endif
#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
  struct sock_filter calls[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __NR_poll
      ALLOW(__NR_poll),
#endif
      ALLOW(__NR_ppoll),
      ALLOW(__NR_writev),
      ALLOW(__NR_getsockopt),
      ALLOW(__NR_restart_syscall),
      ALLOW(__NR_rt_sigreturn),
      ALLOW(__NR_exit_group),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
#undef ALLOW
  struct sock_fprog program = {.len = sizeof calls / sizeof *calls, .filter = calls};
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

struct reading {
  const struct capture *capture;
  struct ring rings[CAPTURE_SOCKETS];
};

static int map_rings(void *argument) {
  struct reading *reading = argument;
  int error = 0;
  for (int each = 0; each < CAPTURE_SOCKETS; each++) {
    int socket = reading->capture->sockets[each];
    size_t size = (size_t)RING_BLOCKS[each] * RING_BLOCK;
    void *blocks = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, socket, 0);
    if (blocks == MAP_FAILED) error = errno;
    reading->rings[each] = (struct ring){socket, blocks, RING_BLOCKS[each], 0};
  }
  return error;
}

static void run_reader(void *argument) {
  struct reading *reading = argument;
  output = reading->capture->reader_socket;
  confine();
  pass_all_on(reading->rings);
}

pid_t start_reader(const struct capture *capture) {
  struct reading reading = {.capture = capture};
  int kept[] = {capture->reader_socket, capture->sockets[0], capture->sockets[1]};
  return start_child(&(struct child){
      .ids = capture->reader_ids,
      .descriptors = kept,
      .descriptor_count = sizeof kept / sizeof *kept,
      .prepare = map_rings,
      .run = run_reader,
      .argument = &reading,
  });
}
