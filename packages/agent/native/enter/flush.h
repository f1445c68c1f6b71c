// Ends connections of the pod's own server to a port, by sock_diag(7), so that its clients come again.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct flushed {
  uint32_t ended; // now
  uint32_t left; // that are open still, or being opened
};

// Established connections whose local port is `port`, but for those whose other end is a socket of `own_uid` in
// this network namespace: what we pass on. Not `all`: only idle ones, which wait for nothing and have been quiet
// for IDLE_MS. Half-closed ones end by themselves.
//
// 0, or errno with words in `detail`. EOPNOTSUPP: this kernel cannot (CONFIG_INET_DIAG_DESTROY).
int flush_connections(uint16_t port, uid_t own_uid, bool all, struct flushed *flushed, char *detail, size_t size);
