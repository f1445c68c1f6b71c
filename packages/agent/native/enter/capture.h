// Mirroring: copies of the packets that arrive at some ports of the network namespace we are in. We have the right
// to open the two packet sockets (packet(7)) and say which ports they are for; a child without any right (reader.h)
// reads them. Nothing of the target's network is changed: no rule, no connection tracking, no outgoing packet seen.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "privilege.h"

enum { MAX_MIRRORED = 64, CAPTURE_SOCKETS = 2 };

struct mirrored {
  uint16_t port;
  uint8_t protocol; // IPPROTO_TCP, IPPROTO_UDP
};

struct capture {
  const struct ids *reader_ids;
  int reader_socket; // the reader's end of what Node reads; -1: it has it
  int sockets[CAPTURE_SOCKETS]; // IPv4, IPv6
  pid_t reader; // 0: none
  bool is_over; // the reader has ended, and with it all mirroring
  struct mirrored mirrored[MAX_MIRRORED];
  size_t count;
};

// What prevents mirroring here, in words; NULL: nothing known.
const char *capture_missing(void);

// Each 0, or errno with words in `detail`; after a failure what is mirrored is what was before. Idempotent.
int capture_add(struct capture *capture, struct mirrored wanted, char *detail, size_t size);
int capture_remove(struct capture *capture, struct mirrored wanted, char *detail, size_t size);

// The reader has ended, or is to end.
void capture_end(struct capture *capture);
