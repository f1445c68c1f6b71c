// The reader of captured packets: a child without any right, and with four system calls, whose input is foreign bytes.
// It looks into none of them: what the kernel has put into its rings goes to Node as it is.
//
// Stream to Node, integers little-endian:
//   record: u32 length of the rest · u8 kind · u8 flags · u16 0 · payload
//     packet (1): payload from the IP header on, cut where it is longer than a ring takes. Flag 1: nobody has
//                 looked at its checksum yet
//     lost (2):   u32, how many packets the kernel had no room for since the last such record
#pragma once
#include "capture.h"

enum reader_record { READER_PACKET = 1, READER_LOST = 2 };
enum { READER_CHECKSUM_UNKNOWN = 1 };

// A block is passed on when it is full, or after RING_TIMEOUT_MS when it holds anything: of a trickle each block has
// little. So there are many, for a reader that gets no processor for 0.6 s; and each holds the largest packet, even
// where a network has those beyond 64 KiB (BIG TCP: 192 KiB, as a rule). Kernel memory, 16 MiB and 4 MiB: pods with both
// families talk IPv4, as a rule.
enum { RING_BLOCK = 256 << 10, RING_TIMEOUT_MS = 10 };
static const unsigned RING_BLOCKS[CAPTURE_SOCKETS] = {64, 16};

// Bytes that wait for Node between the two.
enum { READER_QUEUE = 4 << 20 };

// Starts it on sockets that have their rings. The pid, or -errno.
pid_t start_reader(const struct capture *capture);
