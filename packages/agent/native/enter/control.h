// What Node may ask of enter: fixed small questions. No text of it ever reaches nft.
//
// A stream socket, since libuv knows no SOCK_SEQPACKET. Integers are little-endian.
//   request, 12 bytes: u8 operation · u8 IP protocol (of MIRROR and UNMIRROR) · u16 port · u16 relay port · u16 0 · u32 id (not 0)
//     of CONTAINER, 64 more: the container's id, lower-case hexadecimal digits, then NULs
//     of PASS and PASSED, with our own port for the relay's, 64 more: u8 0, 4 or 6 (IP version) · u8 0 ·
//       u16 client's port · u8[16] client's address · u8[44] 0
//     of OTHER_END, with 0 for the relay port, 64 more: u8 4 or 6 (IP version) · u8 1 if asked by what the accepting
//       socket knows · u16 client's port · u8[16] client's address · u8[16] address of `port` · u8[28] 0
//     of FLUSH, u16 1 for the relay port: not only idle ones
//   message: u32 length of the rest · u32 id (0: an event) · u8 operation or event · u8[3] 0 · i32 errno · payload
// The payload of a failure or an event is words for people. That of DESCRIBE:
//   u32 uid · u32 gid · seven times (u32 length · bytes): hostname, addresses (space-separated), environ
//   (NUL-ended), what is missing of incoming, files, environment, mirror (empty: nothing)
// That of OTHER_END: u8[16] address · u16 port. That of FLUSH: u32 how many connections were ended · u32 how many are left.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "capture.h"
#include "life.h"
#include "rules.h"

enum control_operation {
  CONTROL_STEAL = 1,
  CONTROL_RELEASE = 2,
  CONTROL_RELEASE_ALL = 3,
  CONTROL_DRAINED = 4,
  CONTROL_DESCRIBE = 5,
  CONTROL_PASS = 9, // see rules_pass()
  CONTROL_PASSED = 10,
  CONTROL_CONTAINER = 6, // the target's container was started again: see life_renew()
  CONTROL_MIRROR = 7,
  CONTROL_UNMIRROR = 8,
  CONTROL_FLUSH = 11, // of a stolen port: see flush_connections()
  CONTROL_STEAL_UDP = 14, // as STEAL and RELEASE
  CONTROL_RELEASE_UDP = 15,
  CONTROL_OTHER_END = 12, // see find_other_end()
};
enum control_event {
  CONTROL_TARGET_GONE = 1, // errno 0: its container may be started again; ESRCH: for good
  CONTROL_RULES_LOST = 2, // nft has ended: no port is stolen any more
  CONTROL_WORKER_GONE = 3, // also in place of the first CONTROL_WORKER_READY
  CONTROL_WORKER_READY = 4, // its payload is the worker's mark
  CONTROL_CAPTURE_LOST = 5, // no port is mirrored any more, for good
};

struct control {
  int socket;
  struct life *life;
  struct rules *rules;
  struct capture *capture;
  const char *missing_incoming; // empty: nothing known
  uid_t node_uid;
  uint8_t partial[12 + CONTAINER_ID_LIMIT];
  size_t partial_length;
};

// Answers what has arrived. 0, or errno when Node has closed its end, takes no answers, or has sent no request.
int control_serve(struct control *control);
int control_event(struct control *control, enum control_event event, int error, const char *words);
// Whether there is a file worker.
int control_worker_event(struct control *control);
