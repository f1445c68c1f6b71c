// Connections to the target's unix sockets: made here with its ids, and handed to Node by a socket of their own.
#pragma once
#include "request.h"

// Node's end is its IPC channel (NODE_CHANNEL_FD), the one way by which Node takes descriptors.
void connecting_begin(int channel);

// request body: u8 flags · u16 length · name
// answer: the name of the other end, as after sun_family. The connection has gone to Node before, with the request's id.
enum connect_unix_flags {
  CONNECT_ABSTRACT = 1, // a name of the target's network namespace, of any bytes; else a path
  CONNECT_DONT_WAIT = 2, // for room in the listener's queue
  CONNECT_SEQPACKET = 4, // what Node gets is a stream in which each record has its length before it
};
operation connect_unix;
