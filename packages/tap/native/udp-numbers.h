/*
 * The numbers of descriptors that the tap gives to UDP sockets of the user's process: the filter knows by them which calls
 * with a message are about one. Below what select(2) knows and RLIMIT_NOFILE allows everywhere; above what most programs
 * ever reach.
 */
#pragma once

enum { FIRST_UDP = 900, LAST_UDP = 1023 };
