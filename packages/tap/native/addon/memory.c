#include "tap.h"
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

enum { PAGE = 4096 };

ssize_t memory_read(pid_t tid, uint64_t address, void *into, size_t length) {
  struct iovec local = {into, length}, remote = {(void *)(uintptr_t)address, length};
  ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
  if (got >= 0) return got;
  int error = errno;
  if (error == EPERM) process_is_closed(tid);
  return -error;
}

/* Page by page: the string may end just before an unmapped page. */
ssize_t memory_read_string(pid_t tid, uint64_t address, char *into, size_t size) {
  size_t length = 0;
  while (length < size) {
    size_t chunk = PAGE - (size_t)(address % PAGE);
    if (length == 0 && chunk > 256) chunk = 256;
    if (chunk > size - length) chunk = size - length;
    ssize_t got = memory_read(tid, address, into + length, chunk);
    if (got <= 0) return got < 0 ? got : -EFAULT;
    char *end = memchr(into + length, 0, (size_t)got);
    if (end) return end - into;
    length += (size_t)got;
    address += (uint64_t)got;
  }
  return -ENAMETOOLONG;
}

int memory_write(pid_t tid, uint64_t address, const void *from, size_t length) {
  return memory_write_both(tid, address, from, length, address, NULL, 0);
}

int memory_write_both(pid_t tid, uint64_t address, const void *from, size_t length, uint64_t second_address,
                      const void *second, size_t second_length) {
  struct iovec local[] = {{(void *)(uintptr_t)from, length}, {(void *)(uintptr_t)second, second_length}};
  struct iovec remote[] = {{(void *)(uintptr_t)address, length}, {(void *)(uintptr_t)second_address, second_length}};
  if (length + second_length == 0) return 0;
  ssize_t put = process_vm_writev(tid, local, 2, remote, 2, 0);
  if (put < 0) return -errno;
  return (size_t)put == length + second_length ? 0 : -EFAULT;
}
