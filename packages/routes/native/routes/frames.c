#define _GNU_SOURCE
#include "frames.h"
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int inbox_read(struct inbox *inbox, int fd) {
  ssize_t got = read(fd, inbox->bytes + inbox->filled, sizeof inbox->bytes - inbox->filled);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  if (got == 0) return -1;
  inbox->filled += (size_t)got;
  return 1;
}

ssize_t inbox_next(struct inbox *inbox, const uint8_t **frame) {
  uint32_t length;
  if (inbox->filled < sizeof length) return 0;
  memcpy(&length, inbox->bytes, sizeof length);
  length = le32toh(length);
  if (length == 0 || length > MAX_FRAME) return -1;
  if (inbox->filled < sizeof length + length) return 0;
  *frame = inbox->bytes + sizeof length;
  return (ssize_t)length;
}

void inbox_drop(struct inbox *inbox, size_t length) {
  length += sizeof(uint32_t);
  inbox->filled -= length;
  memmove(inbox->bytes, inbox->bytes + length, inbox->filled);
}

bool outbox_is_empty(const struct outbox *outbox) { return outbox->from == outbox->filled; }

void outbox_put(struct outbox *outbox, uint8_t kind, const void *head, size_t head_length, const void *rest,
                size_t length) {
  uint32_t total = htole32((uint32_t)(1 + head_length + length));
  memcpy(outbox->bytes, &total, sizeof total);
  outbox->bytes[sizeof total] = kind;
  memcpy(outbox->bytes + sizeof total + 1, head, head_length);
  if (length) memcpy(outbox->bytes + sizeof total + 1 + head_length, rest, length);
  outbox->from = 0;
  outbox->filled = sizeof total + 1 + head_length + length;
}

bool outbox_flush(struct outbox *outbox, int fd) {
  while (!outbox_is_empty(outbox)) {
    ssize_t put = write(fd, outbox->bytes + outbox->from, outbox->filled - outbox->from);
    if (put > 0) outbox->from += (size_t)put;
    else if (put < 0 && errno == EAGAIN) return true;
    else if (put < 0 && errno != EINTR) return false;
  }
  return true;
}
