// Where a connection of this network namespace was redirected to, or from, by the kernel's connection tracking.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct tracked {
  uint8_t family; // 4, 6
  uint8_t is_reply; // asked by what the socket that accepted it knows, not by what its client has sent
  uint16_t client_port, port;
  uint8_t client[16], address[16]; // in network order; of IPv4 the first four bytes
};

struct other_end {
  uint8_t address[16];
  uint16_t port;
} __attribute__((packed));

// From what the client has sent: whom it reaches. From what the socket knows: whom it was for.
// 0, or errno with words in `detail`. ENOENT: the kernel does not track it, so nobody has redirected it. ENODATA: nor
// any other here.
int find_other_end(const struct tracked *tracked, struct other_end *other, char *detail, size_t size);
