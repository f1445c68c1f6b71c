// What asks about one file and changes nothing.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "below.h"
#include "content.h"
#include "opening.h"
#include "queue.h"
#include "request.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

int look(struct request *request, struct in *in, struct out *out) {
  (void)request;
  char path[PATH_ROOM];
  in_path(in, path);
  uint32_t limit = in_u32(in);
  if (!in_is_over(in)) return -EINVAL;
  int fd = below_open(path);
  if (fd < 0) return fd;
  struct worker_stat stat;
  int error = stat_of(fd, &stat);
  if (limit && filesystem_of(fd) <= FILESYSTEM_PSEUDO) limit = 0;
  if (!error) out_file(out, fd, &stat, limit < WORKER_INLINE_LIMIT ? limit : WORKER_INLINE_LIMIT);
  close(fd);
  return error;
}

int read_link(struct request *request, struct in *in, struct out *out) {
  (void)request;
  char path[PATH_ROOM], target[PATH_ROOM];
  in_path(in, path);
  if (!in_is_over(in)) return -EINVAL;
  int fd = below_open(path);
  if (fd < 0) return fd;
  struct worker_stat stat;
  ssize_t length = stat_of(fd, &stat);
  // With an empty path the kernel would say ENOENT where readlink(2) says EINVAL.
  if (!length && !S_ISLNK(stat.mode)) length = -EINVAL;
  if (!length && (length = readlinkat(fd, "", target, sizeof target)) < 0) length = -errno;
  close(fd);
  if (length < 0) return length;
  if (length >= (ssize_t)sizeof target) return -ENAMETOOLONG;
  out_text(out, target, length);
  return 0;
}

int check_access(struct request *request, struct in *in, struct out *out) {
  (void)request, (void)out;
  char path[PATH_ROOM];
  in_path(in, path);
  uint16_t mode = in_u16(in);
  if (!in_is_over(in) || mode & ~(R_OK | W_OK | X_OK)) return -EINVAL;
  int fd = below_open(path);
  if (fd < 0) return fd;
  int error = syscall(SYS_faccessat2, fd, "", mode, AT_EMPTY_PATH) ? -errno : 0;
  if (error == -ENOSYS || error == -EPERM) {
    // Before Linux 5.8, or under a seccomp profile from then. Our effective ids are the real ones.
    char own[32];
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    error = faccessat(AT_FDCWD, own, mode, 0) ? -errno : 0;
  }
  close(fd);
  return error;
}

int stat_filesystem(struct request *request, struct in *in, struct out *out) {
  (void)request;
  char path[PATH_ROOM];
  in_path(in, path);
  if (!in_is_over(in)) return -EINVAL;
  int fd = below_open(path);
  if (fd < 0) return fd;
  struct statfs found;
  int error = fstatfs(fd, &found) ? -errno : 0;
  close(fd);
  if (error) return error;
  uint64_t numbers[] = {found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree};
  for (size_t each = 0; each < sizeof numbers / sizeof *numbers; each++) out_u64(out, numbers[each]);
  out_u32(out, found.f_bsize);
  out_u32(out, found.f_frsize ? found.f_frsize : found.f_bsize);
  out_u32(out, found.f_namelen);
  out_u32(out, found.f_type);
  return 0;
}

// Extended attributes are asked by a path: that of our own descriptor, which is followed once and no further.
static int xattr_of(struct in *in, struct out *out, bool of_name) {
  char path[PATH_ROOM], name[NAME_ROOM], own[32];
  in_path(in, path);
  if (of_name) in_text(in, name, sizeof name);
  if (!in_is_over(in)) return -EINVAL;
  int fd = below_open(path);
  if (fd < 0) return fd;
  snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
  size_t before = out->length;
  void *value = out_space(out, WORKER_XATTR_LIMIT);
  ssize_t length = -1;
  if (value) length = of_name ? getxattr(own, name, value, WORKER_XATTR_LIMIT) : listxattr(own, value, WORKER_XATTR_LIMIT);
  int error = length < 0 ? -errno : 0;
  close(fd);
  if (!error) out_cut(out, before + length);
  return error;
}

int get_xattr(struct request *request, struct in *in, struct out *out) {
  (void)request;
  return xattr_of(in, out, true);
}

int list_xattr(struct request *request, struct in *in, struct out *out) {
  (void)request;
  return xattr_of(in, out, false);
}

int open_handle(struct request *request, struct in *in, struct out *out) {
  char path[PATH_ROOM];
  in_u32(in); // its number, which the queue has taken
  in_path(in, path);
  uint32_t flags = in_u32(in);
  uint16_t mode = in_u16(in);
  struct worker_stat stat;
  int fd = in_is_over(in) ? open_file(path, flags, mode, &stat) : -EINVAL;
  queue_opened(request, fd, flags & OPEN_APPEND);
  if (fd < 0) return fd;
  out_bytes(out, &stat, sizeof stat);
  return 0;
}

int read_handle(struct request *request, struct in *in, struct out *out) {
  in_u32(in);
  uint64_t offset = in_u64(in);
  uint32_t size = in_u32(in);
  if (!in_is_over(in) || offset > INT64_MAX) return -EINVAL;
  if (size > WORKER_TRANSFER_LIMIT) size = WORKER_TRANSFER_LIMIT;
  int fd = request->handles[0]->fd;
  if (fd < 0) return -EBADF;
  size_t before = out->length, done = 0;
  char *bytes = out_space(out, size);
  if (!bytes) return -ENOMEM;
  while (done < size) {
    ssize_t got = pread(fd, bytes + done, size - done, offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && !done) return -errno;
    if (got <= 0) break;
    done += got;
  }
  out_cut(out, before + done);
  return 0;
}

int stat_handle(struct request *request, struct in *in, struct out *out) {
  in_u32(in);
  if (!in_is_over(in)) return -EINVAL;
  if (request->handles[0]->fd < 0) return -EBADF;
  struct worker_stat stat;
  int error = stat_of(request->handles[0]->fd, &stat);
  if (!error) out_bytes(out, &stat, sizeof stat);
  return error;
}

int seek_handle(struct request *request, struct in *in, struct out *out) {
  in_u32(in);
  uint64_t offset = in_u64(in);
  uint8_t whence = in_u8(in);
  if (!in_is_over(in) || offset > INT64_MAX || (whence != SEEK_DATA && whence != SEEK_HOLE)) return -EINVAL;
  struct handle *handle = request->handles[0];
  if (handle->fd < 0) return -EBADF;
  pthread_mutex_lock(&handle->position);
  off_t found = lseek(handle->fd, offset, whence);
  int error = found < 0 ? -errno : 0;
  pthread_mutex_unlock(&handle->position);
  if (!error) out_u64(out, found);
  return error;
}
