// Which packets are copied, as a program for the kernel (classic BPF): the others cost the pod a few instructions.
#pragma once
#include <linux/filter.h>
#include <stdbool.h>
#include "capture.h"

enum { PACKET_FILTER_LIMIT = 128 + 2 * MAX_MIRRORED };

// For a packet socket of type SOCK_DGRAM, whose packets begin with the IP header. The program's length.
size_t packet_filter(struct sock_filter *program, bool is_ipv6, const struct mirrored *ports, size_t count);
