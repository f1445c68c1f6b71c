// Ports of a network namespace, each for one agent at a time: tables of several agents do not see each other.
#pragma once
#include <stdint.h>

// A descriptor that holds the port for as long as it is open, or -errno: EADDRINUSE when another agent has it.
// `suffix`: "/udp", or nothing for TCP.
int claim_port(uint16_t port, const char *suffix);
