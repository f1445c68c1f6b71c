// What changes a file that is open.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "below.h"
#include "request.h"

// What one request copies: well within everybody's patience.
enum { COPY_LIMIT = 16 << 20 };

static int out_stat_of(struct out *out, int fd) {
  struct worker_stat stat;
  int error = stat_of(fd, &stat);
  if (!error) out_bytes(out, &stat, sizeof stat);
  return error;
}

// Once: a second write could land behind somebody else's. How much was written, with where that is, or -errno.
static ssize_t append(struct handle *handle, const void *bytes, size_t size, uint64_t *landed) {
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
  pthread_mutex_lock(&handle->position);
  // -1: at the descriptor's position, which moves. Only from that can be told where the end of the file was.
  ssize_t put;
  do put = handle->appends ? write(handle->fd, bytes, size) : pwritev2(handle->fd, &part, 1, -1, RWF_APPEND);
  while (put < 0 && errno == EINTR);
  if (put < 0) put = -errno;
  off_t end = put < 0 ? 0 : lseek(handle->fd, 0, SEEK_CUR);
  pthread_mutex_unlock(&handle->position);
  if (put >= 0) *landed = end - put;
  return put;
}

static ssize_t write_at(int fd, const uint8_t *bytes, size_t size, uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    ssize_t put = pwrite(fd, bytes + done, size - done, offset + done);
    if (put < 0 && errno == EINTR) continue;
    // A full disk in the middle: what was written is said, and whoever goes on learns why.
    if (put < 0 && !done) return -errno;
    if (put <= 0) break;
    done += put;
  }
  return done;
}

int write_handle(struct request *request, struct in *in, struct out *out) {
  in_u32(in);
  uint64_t offset = in_u64(in);
  size_t size = in->is_bad ? 0 : in->end - in->at;
  if (in->is_bad || size > WORKER_TRANSFER_LIMIT) return -EINVAL;
  struct handle *handle = request->handles[0];
  if (handle->fd < 0) return -EBADF;
  bool appends = request->header.flags & 1 || handle->appends;
  if (!appends && offset > INT64_MAX - size) return -EFBIG;
  ssize_t put = appends ? append(handle, in->at, size, &offset) : write_at(handle->fd, in->at, size, offset);
  if (put < 0) return put;
  out_u32(out, put);
  out_u64(out, offset);
  return out_stat_of(out, handle->fd);
}

int sync_handle(struct request *request, struct in *in, struct out *out) {
  (void)out;
  in_u32(in);
  if (!in_is_over(in)) return -EINVAL;
  int fd = request->handles[0]->fd;
  if (fd < 0) return -EBADF;
  return (request->header.flags & 1 ? fdatasync(fd) : fsync(fd)) ? -errno : 0;
}

int allocate_handle(struct request *request, struct in *in, struct out *out) {
  in_u32(in);
  uint32_t mode = in_u32(in);
  uint64_t offset = in_u64(in), length = in_u64(in);
  if (!in_is_over(in) || offset > INT64_MAX || length > INT64_MAX || mode > INT32_MAX) return -EINVAL;
  int fd = request->handles[0]->fd;
  if (fd < 0) return -EBADF;
  int result;
  do result = fallocate(fd, mode, offset, length);
  while (result && errno == EINTR);
  return result ? -errno : out_stat_of(out, fd);
}

int copy_handles(struct request *request, struct in *in, struct out *out) {
  in_u32(in);
  uint64_t from = in_u64(in);
  in_u32(in);
  uint64_t to = in_u64(in), length = in_u64(in);
  if (!in_is_over(in) || from > INT64_MAX || to > INT64_MAX) return -EINVAL;
  int from_fd = request->handles[0]->fd, to_fd = request->handles[1]->fd;
  if (from_fd < 0 || to_fd < 0) return -EBADF;
  loff_t from_at = from, to_at = to;
  ssize_t copied = copy_file_range(from_fd, &from_at, to_fd, &to_at, length < COPY_LIMIT ? length : COPY_LIMIT, 0);
  if (copied < 0) return -errno;
  out_u64(out, copied);
  return out_stat_of(out, to_fd);
}

int lock_handle(struct request *request, struct in *in, struct out *out) {
  (void)out;
  in_u32(in);
  uint8_t kind = in_u8(in);
  uint64_t offset = in_u64(in), length = in_u64(in);
  if (!in_is_over(in) || kind > 2 || offset > INT64_MAX || length > INT64_MAX) return -EINVAL;
  int fd = request->handles[0]->fd;
  if (fd < 0) return -EBADF;
  int result;
  if (request->header.flags & 1) {
    result = flock(fd, (kind == 0 ? LOCK_SH : kind == 1 ? LOCK_EX : LOCK_UN) | LOCK_NB);
  } else {
    // Of the open file, not of a process (fcntl(2)): all of our handles are one process's.
    struct flock range = {.l_type = kind == 0 ? F_RDLCK : kind == 1 ? F_WRLCK : F_UNLCK,
                          .l_whence = SEEK_SET, .l_start = offset, .l_len = length};
    result = fcntl(fd, F_OFD_SETLK, &range);
    // Both mean that somebody else has it.
    if (result && errno == EACCES) errno = EAGAIN;
  }
  return result ? -errno : 0;
}
