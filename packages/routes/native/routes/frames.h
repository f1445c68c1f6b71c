/*
 * What the CLI and this program tell each other, over stdin and stdout:
 *   u32 bytes of the rest, little-endian · u8 kind · the rest
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
  FRAME_READY = 'r',       /* to the CLI: text, "LINK IPV4 INNER_IPV4 IPV6 INNER_IPV6" */
  FRAME_DATAGRAM = 'd',    /* both ways: struct ends · payload */
  FRAME_UNREACHABLE = 'u', /* from the CLI: struct ends; its source has refused a datagram of its destination */
  FRAME_GUARD = 'g',       /* from the CLI: "DIRECTORY\0PATH\0": what is to be restored should the CLI die */
  MAX_FRAME = 66 << 10,
};

/* Ports are little-endian. */
struct ends {
  uint8_t family; /* 4 or 6 */
  uint8_t source[16];
  uint16_t source_port;
  uint8_t destination[16];
  uint16_t destination_port;
} __attribute__((packed));

struct inbox {
  uint8_t bytes[2 * MAX_FRAME];
  size_t filled;
};

struct outbox {
  uint8_t bytes[MAX_FRAME + 8];
  size_t from, filled;
};

/* 0: there was nothing, 1: something came, -1: the other end is closed. */
int inbox_read(struct inbox *inbox, int fd);

/* The next whole frame's length with its kind, at `frame`; 0: not yet; -1: it is none of ours. */
ssize_t inbox_next(struct inbox *inbox, const uint8_t **frame);

/* Forgets the frame that inbox_next() showed. */
void inbox_drop(struct inbox *inbox, size_t length);

bool outbox_is_empty(const struct outbox *outbox);

/* Only into an empty one. */
void outbox_put(struct outbox *outbox, uint8_t kind, const void *head, size_t head_length, const void *rest,
                size_t length);

/* As much as goes now. False: nobody reads any more. */
bool outbox_flush(struct outbox *outbox, int fd);
