/*
 * What is written into the program's memory as part of an answer. A signal can take the program out of its call at any time;
 * from then on the memory is its own again: a buffer on the stack is soon the next function's. So it is asked whether the
 * call still waits right before each write, with nothing in between. (The kernel has no way to do both at once.)
 */
#include "tap.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct told {
  struct told *next;
  uint64_t address;
  size_t length;
  uint8_t bytes[];
};

void told_free(struct told *told) {
  while (told) {
    struct told *next = told->next;
    free(told);
    told = next;
  }
}

static void keep(struct op *op, uint64_t address, const void *from, size_t length) {
  struct told *told = malloc(sizeof *told + length), **end = &op->told;
  if (!told) return;
  *told = (struct told){.address = address, .length = length};
  memcpy(told->bytes, from, length);
  while (*end) end = &(*end)->next;
  *end = told;
}

int op_tell(struct op *op, uint64_t address, const void *from, size_t length) {
  if (length == 0) return 0;
  keep(op, address, from, length); /* a call that is made again may join this op in the midst of it, and after it */
  return op_is_valid(op) ? memory_write(op->tid, address, from, length) : 0;
}

int told_write(struct op *op) {
  int failed = 0;
  for (struct told *told = op->told; told && !failed && op_is_valid(op); told = told->next)
    failed = memory_write(op->tid, told->address, told->bytes, told->length);
  return failed;
}

/* Both, or the first one, or a part of it. */
static int tell_both(struct op *op, uint64_t address, const void *from, size_t length, uint64_t second_address,
                     const void *second, size_t second_length) {
  keep(op, address, from, length);
  keep(op, second_address, second, second_length);
  return op_is_valid(op) ? memory_write_both(op->tid, address, from, length, second_address, second, second_length) : 0;
}

int op_tell_address(struct op *op, uint64_t address, uint64_t length_address, const struct sockaddr_storage *from,
                    socklen_t length) {
  if (!address) return 0;
  int32_t room = 0, whole = (int32_t)length;
  if (memory_read(op->tid, length_address, &room, sizeof room) != sizeof room) return -EFAULT;
  if (room < 0) return -EINVAL;
  size_t told = (socklen_t)room < length ? (size_t)room : length;
  return tell_both(op, address, from, told, length_address, &whole, sizeof whole);
}

void op_tell_again(void *argument) {
  struct op *op = argument;
  int failed = told_write(op);
  op_reply(op, failed ? 0 : op->value, failed ? -failed : op->error);
}
