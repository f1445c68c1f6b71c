// The bytes of requests and answers, little-endian as the machines that we run on are.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "worker.h"

enum { PATH_ROOM = WORKER_PATH_LIMIT + 1, NAME_ROOM = 256 };

// What is left of a request's body. `is_bad`: something was missing or could not be; what was read is then nothing.
struct in {
  const uint8_t *at, *end;
  bool is_bad;
};
uint8_t in_u8(struct in *in);
uint16_t in_u16(struct in *in);
uint32_t in_u32(struct in *in);
uint64_t in_u64(struct in *in);
// u16 length · bytes, into `room` bytes with a NUL behind. Empty, or with a NUL in it: bad.
void in_text(struct in *in, char *text, size_t room);
// "/" or "/a/b": no empty component, no "." and no "..". Else bad.
void in_path(struct in *in, char path[PATH_ROOM]);
// Nothing bad, and nothing left.
bool in_is_over(const struct in *in);

// An answer under way, its header included. Grows; `is_lost`: for want of memory.
struct out {
  uint8_t *bytes;
  size_t length, room;
  bool is_lost;
};
// `size` bytes to be written to, or NULL.
void *out_space(struct out *out, size_t size);
void out_bytes(struct out *out, const void *bytes, size_t size);
void out_u8(struct out *out, uint8_t value);
void out_u32(struct out *out, uint32_t value);
void out_u64(struct out *out, uint64_t value);
void out_text(struct out *out, const char *text, size_t length);
// Everything from `length` on was not meant.
void out_cut(struct out *out, size_t length);
