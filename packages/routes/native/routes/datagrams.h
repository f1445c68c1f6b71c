/* UDP inside the network namespace: what programs of the machine send, and answers that come from where they sent it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "frames.h"

/* Bound to a port of its own, and tells where each datagram was going. A descriptor or -errno. */
int datagrams_open(int family);

/* The next datagram's length, or -1: none. */
ssize_t datagrams_receive(int socket, struct ends *ends, void *payload, size_t size);

/* One that cannot be sent is lost, as UDP may lose it. */
void datagrams_answer(const struct ends *ends, const void *payload, size_t length);

/* Tells the destination by ICMP that nobody listens at the source. */
void datagrams_refuse(const struct ends *ends);
